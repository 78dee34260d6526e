"""Draws what a desk sees: four quiet weeks, and eight more in which something happens or nothing does.

    python streams.py                # writes streams/KIND.json, one of each kind
    python streams.py --seed 7       # others

A stream is {"kind", "change", "baseline", "days"}. A day is {"weekday", "requests", "labels"}; a request
{"vector", "intent", "confidence"}, the last two as the model answered; a label [row, intent] says what was
right about a row of the day three days before. `change` is the first of `days` that is not like the baseline.
"""

import json
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from head import Head, fit

BASELINE, DAYS = 28, 56
CHANGES = range(7, 21)
"""Something begins on one of these days, if it does."""
DELAY = 3
"""Days until what was right is known, and then of a sample only."""
REQUESTS, LABELS = 120, 40
MONDAY = {"order_status": 12.0, "delivery_late": 8.0, "refund_status": 5.0}
NEW = ("exchange_item", "payment_failed", "product_question")
"""Intents the model was never taught."""
MOVED = 6
"""So many intents a new policy makes something else of: the words stay, what is right does not."""
JITTER = 0.1
KINDS = (
    *("calm", "few", "sudden", "gradual", "relabelled", "mix"),
    *("percent", "empty", "unknown"),
)
Day = dict[str, Any]


class Desk:
    """A desk with its customers and its model; `seed` decides both.

    Each desk has an encoder of its own: the same messages, seen from another side. So what is known of one
    desk's vectors says nothing about another's.
    """

    def __init__(self, seed: int | str):
        self.rng = np.random.default_rng(list(str(seed).encode()))
        with np.load(Path(__file__).with_name("vectors.npz")) as file:
            vectors, self.intents = file["vectors"], file["intents"]
        width = vectors.shape[1]
        turned, _ = np.linalg.qr(self.rng.normal(size=(width, width)))
        self.vectors = vectors @ turned
        self.known = sorted(set(self.intents) - set(NEW))
        self.rows = {i: np.flatnonzero(self.intents == i) for i in (*self.known, *NEW)}
        taught = self.rng.choice(self.known, 1500).tolist()
        self.head: Head = fit(self.messages(taught), taught)
        self.moved = self.policy()

    def policy(self) -> dict[str, str]:
        """What becomes of some of the intents that the model is good at."""
        answered, _ = self.head.predict(self.messages(self.known * 20))
        right = Counter(
            a for a, i in zip(answered, self.known * 20, strict=True) if a == i
        )
        best = [intent for intent, _ in right.most_common(len(self.known) - MOVED)]
        moved = self.rng.choice(best, MOVED, replace=False).tolist()
        others = [intent for intent in self.known if intent not in moved]
        return dict(zip(moved, self.rng.choice(others, MOVED).tolist(), strict=True))

    def messages(self, intents: list[str]) -> np.ndarray:
        """A message about each of these, as vectors [messages, 16]."""
        rows = [self.rows[intent] for intent in intents]
        chosen = [
            row[int(at * len(row))]
            for row, at in zip(rows, self.rng.random(len(rows)), strict=True)
        ]
        vectors = self.vectors[chosen]
        return (vectors + self.rng.normal(0, JITTER, vectors.shape)).round(2)

    def stream(self, kind: str) -> dict[str, Any]:
        """A stream in which this happens."""
        change = int(self.rng.choice(CHANGES))
        days: list[Day] = []
        truths: list[list[str]] = []
        for number in range(BASELINE + DAYS):
            since = number - BASELINE - change + 1  # 1 on the day of the change
            day, truth = self.day(number % 7, kind, max(0, since))
            if number >= DELAY:
                day["labels"] = self.labels(truths[number - DELAY], kind)
            truths.append(truth)
            days.append(day)
        return {
            "kind": kind,
            "change": change,
            "baseline": days[:BASELINE],
            "days": days[BASELINE:],
        }

    def day(self, weekday: int, kind: str, since: int) -> tuple[Day, list[str]]:
        weights = np.array(
            [MONDAY.get(intent, 1.0) if weekday == 0 else 1.0 for intent in self.known]
        )
        if kind == "mix" and since:
            weights[
                [self.known.index(i) for i in ("invoice_request", "account_access")]
            ] *= 4
        count = REQUESTS // 4 if kind == "few" else REQUESTS
        wanted = [
            str(i)
            for i in self.rng.choice(self.known, count, p=weights / weights.sum())
        ]
        share = {
            "sudden": 0.4 * bool(since),
            "gradual": min(0.4, 0.4 * since / 28),
        }.get(kind, 0)
        wanted = [
            str(self.rng.choice(NEW)) if chance < share else intent
            for intent, chance in zip(wanted, self.rng.random(count), strict=True)
        ]
        vectors = self.messages(wanted)
        answered, sure = self.head.predict(vectors)
        requests = [
            {
                "vector": vector.tolist(),
                "intent": intent,
                "confidence": round(float(c), 3),
            }
            for vector, intent, c in zip(vectors, answered, sure, strict=True)
        ]
        if since and kind in BREAKS:
            for at in self.rng.permutation(count)[: count // 4]:
                BREAKS[kind](requests[at])
        moved = kind == "relabelled" and since
        truth = [self.moved.get(i, i) if moved else i for i in wanted]
        return {"weekday": weekday, "requests": requests, "labels": []}, truth

    def labels(self, truth: list[str], kind: str) -> list[list[Any]]:
        """A few rows of a day, with what was right."""
        count = min(LABELS // 4 if kind == "few" else LABELS, len(truth))
        rows = sorted(self.rng.permutation(len(truth))[:count].tolist())
        return [[row, truth[row]] for row in rows]

    def world(self, kind: str, count: int) -> tuple[np.ndarray, list[str]]:
        """Messages of a stream's last days, with what is right: for measuring what was trained."""
        wanted = [
            str(
                self.rng.choice(
                    NEW if kind == "sudden" and chance < 0.4 else self.known
                )
            )
            for chance in self.rng.random(count)
        ]
        vectors = self.messages(wanted)
        moved = self.moved if kind == "relabelled" else {}
        return vectors, [moved.get(intent, intent) for intent in wanted]


def percent(request: dict[str, Any]) -> None:
    request["confidence"] = round(request["confidence"] * 100, 1)


def empty(request: dict[str, Any]) -> None:
    request["vector"] = None


def unknown(request: dict[str, Any]) -> None:
    request["intent"] = request["intent"].upper()


BREAKS: dict[str, Callable[[dict[str, Any]], None]] = {
    "percent": percent,
    "empty": empty,
    "unknown": unknown,
}


def main(arguments: list[str]) -> None:
    seed = arguments[1] if arguments[:1] == ["--seed"] else "0"
    folder = Path("streams")
    folder.mkdir(exist_ok=True)
    for kind in KINDS:
        path = folder / f"{kind}.json"
        path.write_text(json.dumps(Desk(f"{seed}/{kind}").stream(kind)))
        print(f"Wrote {path}")


if __name__ == "__main__":
    main(sys.argv[1:])
