"""Asks one model, in a process of its own: python answer.py FOLDER < messages.json > answers.json"""

import json
import statistics
import sys
import time

from model import load

model = load(f"{sys.argv[1]}/model.safetensors")
answers, seconds = [], []
for text in json.load(sys.stdin):
    start = time.perf_counter()
    answers += model.predict([text])
    seconds.append(time.perf_counter() - start)
json.dump(
    {
        "seconds": statistics.median(seconds),
        "intents": model.card["intents"],
        "answers": [[answer.intent, answer.confidence] for answer in answers],
    },
    sys.stdout,
)
