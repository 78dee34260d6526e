"""Draws what a desk sees: four quiet weeks, and seven more in which something happens or nothing does.

    python streams.py                # writes streams/KIND.json, one of each kind
    python streams.py --seed 7       # others

A stream is {"kind", "change", "baseline", "days"}. A day is {"weekday", "requests", "labels"}; a request
{"vector", "intent", "confidence"}, the last two as the model answered; a label [row, intent] says what was
right about a row of the day three days before. `change` is the first of `days` that is not like the baseline.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from head import Head, fit

BASELINE, DAYS = 28, 49
DELAY = 3
"""Days until what was right is known, and then of a sample only."""
REQUESTS, LABELS = 120, 40
MONDAY = {"order_status": 12.0, "delivery_late": 8.0, "refund_status": 5.0}
NEW = ("exchange_item", "payment_failed", "product_question")
"""Intents the model was never taught."""
MOVED = {
    "refund_request": "return_item",
    "refund_status": "return_item",
    "warranty_repair": "item_damaged",
    "charged_twice": "invoice_request",
    "delivered_not_received": "delivery_late",
    "wrong_or_missing_item": "item_damaged",
}
"""What a new policy of the desk makes of some messages: the words stay, what is right does not."""
JITTER = 0.1
KINDS = (
    *("calm", "few", "sudden", "gradual", "relabelled", "mix"),
    *("percent", "empty", "unknown"),
)
Day = dict[str, Any]


class Desk:
    """A desk with its customers and its model; `seed` decides both."""

    def __init__(self, seed: int | str):
        self.rng = np.random.default_rng(list(str(seed).encode()))
        with np.load(Path(__file__).with_name("vectors.npz")) as file:
            self.vectors, self.intents = file["vectors"], file["intents"]
        self.known = sorted(set(self.intents) - set(NEW))
        self.rows = {i: np.flatnonzero(self.intents == i) for i in (*self.known, *NEW)}
        taught = self.rng.choice(self.known, 1500).tolist()
        self.head: Head = fit(self.messages(taught), taught)

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
        change = int(self.rng.integers(10, 15))
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
        truth = [MOVED.get(intent, intent) if moved else intent for intent in wanted]
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
        moved = MOVED if kind == "relabelled" else {}
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
