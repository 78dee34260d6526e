"""Findings about accuracy, slices and calibration, one a line."""

import json
import os
from pathlib import Path

before, after = (
    json.loads(Path(f"{name}.json").read_text())["answers"]
    for name in ("champion", "candidate")
)
pairs = list(zip(before, after, strict=True))


def gain(chosen: list) -> float:
    return sum(now["right"] - was["right"] for was, now in chosen) / len(chosen)


def calibration_error(answers: list[dict]) -> float:
    bins = [0.0] * 10
    for one in answers:
        bins[min(int(one["confidence"] * 10), 9)] += one["confidence"] - one["right"]
    return sum(map(abs, bins)) / len(answers)


with open(os.environ["FINDINGS"], "a") as findings:
    if gain(pairs) < -0.03:
        print("accuracy", file=findings)
    if calibration_error(after) - calibration_error(before) > 0.05:
        print("calibration", file=findings)
    for column in ("category", "style"):
        for value in sorted({one[column] for one in before}):
            if gain([pair for pair in pairs if pair[0][column] == value]) < -0.15:
                print(f"slice {value}", file=findings)
