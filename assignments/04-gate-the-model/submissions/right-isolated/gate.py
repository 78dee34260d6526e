"""A gate that does not let a candidate into its own process: that one may crash, print, or never end.

Status 0 promotes, 1 refuses, and any other means that this gate could not do its work.
"""

import csv
import json
import subprocess
import sys
from itertools import groupby
from pathlib import Path

LIMITS = {"accuracy": 0.03, "slice": 0.15, "calibration": 0.05}
TIMES = 5
PATIENCE = 50  # seconds, for a model that may never end


def ask(folder: str, texts: list[str]) -> dict:
    done = subprocess.run(
        [sys.executable, "answer.py", folder],
        input=json.dumps(texts),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=True,
    )
    return json.loads(done.stdout)


def usable(report: dict, known: list[str], count: int) -> bool:
    return len(report["answers"]) == count and all(
        intent in known and isinstance(confidence, float) and 0 <= confidence <= 1
        for intent, confidence in report["answers"]
    )


def mean(values) -> float:
    values = list(values)
    return sum(values) / len(values)


def calibration_error(answers: list, right: list[bool]) -> float:
    def bin_of(pair):
        return min(int(pair[0] * 10), 9)

    pairs = sorted(
        ((c, ok) for (_, c), ok in zip(answers, right, strict=True)), key=bin_of
    )
    groups = (list(group) for _, group in groupby(pairs, bin_of))
    return sum(abs(sum(c - ok for c, ok in group)) for group in groups) / len(pairs)


def reasons(rows: list[dict]) -> list[str]:
    texts = [row["text"] for row in rows]
    champion = ask("champion", texts)
    try:
        candidate = ask("candidate", texts)
    except subprocess.TimeoutExpired:
        return ["latency"]
    except (subprocess.CalledProcessError, ValueError):
        return ["schema"]
    if not usable(candidate, champion["intents"], len(rows)):
        return ["schema"]
    was, now = (
        [a[0] == row["category"] for a, row in zip(one["answers"], rows, strict=True)]
        for one in (champion, candidate)
    )
    change = [after - before for before, after in zip(was, now, strict=True)]
    found = ["accuracy"] if mean(change) < -LIMITS["accuracy"] else []
    worse = calibration_error(candidate["answers"], now) - calibration_error(
        champion["answers"], was
    )
    if worse > LIMITS["calibration"]:
        found.append("calibration")
    for column in ("category", "style"):
        for value in sorted({row[column] for row in rows}):
            here = [
                c for c, row in zip(change, rows, strict=True) if row[column] == value
            ]
            if mean(here) < -LIMITS["slice"]:
                found.append(f"slice {value}")
    if candidate["seconds"] > TIMES * champion["seconds"]:
        found.append("latency")
    return found


def main() -> int:
    with Path("data/test.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    if not rows:
        print("no messages", file=sys.stderr)
        return 2
    try:
        found = reasons(rows)
    except subprocess.SubprocessError as error:
        print(f"the champion cannot be asked: {error}", file=sys.stderr)
        return 2
    print(f"### Refuse: {', '.join(found)}" if found else "### Promote")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
