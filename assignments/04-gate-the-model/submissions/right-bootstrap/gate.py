"""One proof, that less than the margin is lost, and no alarm: the gate of the course's page on testing.

Ends with 0 to promote, with 1 and a decision to refuse, with 2 if nothing could be judged.
"""

import sys
import traceback

import numpy as np
from answers import Answers, Unusable, ask, messages, seconds
from model import load

MARGIN, SLICE_MARGIN, CALIBRATION_MARGIN = 0.03, 0.05, 0.03
ALPHA = 0.05
RESAMPLES = 2000
SMALLEST_SLICE = 10
TIMES_SLOWER = 5


def main() -> int:
    rows = messages("data/test.csv")
    champion = load("champion/model.safetensors")
    known = set(champion.card["intents"])
    before = ask(champion, rows, known)
    try:
        candidate = load("candidate/model.safetensors")
        after = ask(candidate, rows, known)
    except (OSError, Unusable) as error:
        return refuse(["schema"], str(error))
    except Exception as error:
        return refuse(["schema"], repr(error))
    reasons = judge(before, after, rows)
    texts = [row["text"] for row in rows[::8]]
    ratios = [seconds(candidate, text) / seconds(champion, text) for text in texts]
    if np.median(ratios) > TIMES_SLOWER:
        reasons.append("latency")
    if reasons:
        return refuse(reasons)
    print(
        f"Promote: accuracy {after.right.mean():.1%} against {before.right.mean():.1%}"
    )
    return 0


def refuse(reasons: list[str], detail: str = "") -> int:
    print(f"Refuse: {', '.join(reasons)}")
    if detail:
        print(f"\n`{detail}`")
    return 1


def judge(before: Answers, after: Answers, rows: list[dict]) -> list[str]:
    rng = np.random.default_rng(0)
    count = len(rows)
    weights = rng.multinomial(count, np.full(count, 1 / count), size=RESAMPLES)
    change = after.right.astype(float) - before.right
    reasons = []
    if share(weights @ change / count <= -MARGIN) > ALPHA:
        reasons.append("accuracy")
    errors = [np.abs(weights @ one.gaps).sum(axis=1) / count for one in (before, after)]
    if share(errors[1] - errors[0] <= CALIBRATION_MARGIN) <= ALPHA:
        reasons.append("calibration")
    p_values = {}
    for column in ("category", "style"):
        values = np.array([row[column] for row in rows])
        for value in np.unique(values):
            inside = (values == value).astype(float)
            if inside.sum() >= SMALLEST_SLICE:
                drawn = weights @ (inside * change) / np.maximum(weights @ inside, 1)
                p_values[value] = share(drawn >= -SLICE_MARGIN)
    # Holm: the smallest has to pass the strictest test, and the first that fails ends it.
    for rank, name in enumerate(sorted(p_values, key=p_values.__getitem__)):
        if p_values[name] * (len(p_values) - rank) > ALPHA:
            break
        reasons.append(f"slice {name}")
    return reasons


def share(agreeing: np.ndarray) -> float:
    return (agreeing.sum() + 1) / (len(agreeing) + 1)


if __name__ == "__main__":
    try:
        status = main()
    except Exception:
        traceback.print_exc()
        status = 2
    sys.exit(status)
