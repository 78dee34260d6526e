"""The gate that most teams write first: is the candidate's accuracy as high as the champion's?"""

import csv
import sys

from model import load

with open("data/test.csv", encoding="utf-8", newline="") as file:
    rows = list(csv.DictReader(file))


def accuracy(folder: str) -> float:
    """Share of the messages that the model in this folder gets right."""
    model = load(f"{folder}/model.safetensors")
    answers = model.predict([row["text"] for row in rows])
    right = [a.intent == row["category"] for a, row in zip(answers, rows, strict=True)]
    return sum(right) / len(right)


champion, candidate = accuracy("champion"), accuracy("candidate")
if candidate < champion:
    print("Refuse: accuracy")
    sys.exit(1)
print("Promote")
