"""May candidate/ replace champion/? Writes the decision to standard output.

Exit status 0: promote. 1: refuse. Anything else, or no decision: nothing could be judged.
"""

import csv
import math
import sys
import time
from dataclasses import dataclass

import numpy as np
from model import Model, load

FILE = "model.safetensors"
MARGIN, SLICE_MARGIN, CALIBRATION_MARGIN, TIMES = 0.03, 0.15, 0.05, 5
TIMED = 60  # messages, spread over the split
CANNOT_JUDGE = 2


@dataclass
class Measured:
    right: np.ndarray  # bool [messages]
    confidence: np.ndarray  # float [messages]

    @property
    def calibration_error(self) -> float:
        bins = np.minimum((self.confidence * 10).astype(int), 9)
        gaps = [(self.confidence - self.right)[bins == one].sum() for one in range(10)]
        return float(np.abs(gaps).sum() / len(self.right))


class Broken(Exception):
    """Nothing can be said about the candidate."""


def main() -> int:
    try:
        with open("data/test.csv", encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        if not rows:
            raise Broken("data/test.csv has no messages")
        champion = load(f"champion/{FILE}")
        before = measure(champion, rows)
    except (OSError, ValueError, KeyError, Broken) as error:
        print(f"Cannot judge: {error}", file=sys.stderr)
        return CANNOT_JUDGE
    try:
        candidate = load(f"candidate/{FILE}")
        after = measure(candidate, rows)
    except Exception as error:  # whatever it does is the candidate's fault
        print(f"Refuse: schema\n\nThe candidate cannot be used: {error}")
        return 1
    reasons, details = compare(before, after, rows)
    ratio = slowness(champion, candidate, [row["text"] for row in rows])
    details.append(f"{ratio:.1f} times the champion's time")
    if ratio > TIMES:
        reasons.append("latency")
    print(f"Refuse: {', '.join(reasons)}" if reasons else "Promote")
    print("", *(f"- {line}" for line in details), sep="\n")
    return 1 if reasons else 0


def measure(model: Model, rows: list[dict]) -> Measured:
    """Raises ValueError if an answer is outside the contract."""
    answers = model.predict([row["text"] for row in rows])
    for answer in answers:
        if not (math.isfinite(answer.confidence) and 0 <= answer.confidence <= 1):
            raise ValueError(f"{answer.confidence} is no confidence")
    return Measured(
        np.array(
            [a.intent == r["category"] for a, r in zip(answers, rows, strict=True)]
        ),
        np.array([answer.confidence for answer in answers]),
    )


def compare(
    before: Measured, after: Measured, rows: list[dict]
) -> tuple[list[str], list[str]]:
    reasons, details = [], []
    change = after.right.astype(float) - before.right
    details.append(f"accuracy {change.mean():+.1%}")
    if change.mean() <= -MARGIN:
        reasons.append("accuracy")
    worse = after.calibration_error - before.calibration_error
    details.append(f"calibration error {worse:+.1%}")
    if worse > CALIBRATION_MARGIN:
        reasons.append("calibration")
    for column in ("category", "style"):
        values = np.array([row[column] for row in rows])
        for value in np.unique(values):
            here = change[values == value]
            if here.mean() < -SLICE_MARGIN:
                reasons.append(f"slice {value}")
                details.append(f"{value}: {here.mean():+.1%} on {len(here)} messages")
    return reasons, details


def slowness(champion: Model, candidate: Model, texts: list[str]) -> float:
    """Candidate's time by champion's: in turns, and the median, so that other load drops out."""
    texts = texts[:: max(1, len(texts) // TIMED)]
    return float(
        np.median(
            [seconds(candidate, text) / seconds(champion, text) for text in texts]
        )
    )


def seconds(model: Model, text: str) -> float:
    start = time.perf_counter()
    model.predict([text])
    return time.perf_counter() - start


if __name__ == "__main__":
    sys.exit(main())
