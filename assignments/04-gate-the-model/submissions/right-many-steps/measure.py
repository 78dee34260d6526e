"""Ask one of the two models everything, and write its answers to NAME.json: python measure.py candidate

A candidate that cannot be used is a finding. A champion that cannot be used breaks the run.
"""

import csv
import json
import os
import sys
import time

from model import load

name = sys.argv[1]
with open("data/test.csv", encoding="utf-8", newline="") as file:
    rows = list(csv.DictReader(file))
if not rows:
    sys.exit("data/test.csv has no messages")

try:
    model = load(f"{name}/model.safetensors")
    texts = [row["text"] for row in rows]
    model.predict(texts[:20])  # warm
    seconds = []
    for text in texts[::4]:
        start = time.perf_counter()
        model.predict([text])
        seconds.append(time.perf_counter() - start)
    answers = model.predict(texts)
    allowed = set(model.card["intents"])
    if name == "candidate":
        with open("champion.json") as file:
            allowed = set(json.load(file)["intents"])
    assert all(one.intent in allowed for one in answers), "an unknown intent"
    assert all(0 <= one.confidence <= 1 for one in answers), "a confidence out of range"
except Exception as error:
    if name == "candidate":
        with open(os.environ["FINDINGS"], "a") as file:
            print("schema", file=file)
    sys.exit(f"{name}: {error!r}")

report = {
    "intents": model.card["intents"],
    "median_seconds": sorted(seconds)[len(seconds) // 2],
    "answers": [
        {"right": one.intent == row["category"], "confidence": one.confidence, **row}
        for one, row in zip(answers, rows, strict=True)
    ],
}
with open(f"{name}.json", "w") as file:
    json.dump(report, file)
