"""Messages, and what a model answers to them."""

import csv
import time
from dataclasses import dataclass

import numpy as np
from model import Model


class Unusable(Exception):
    """An answer outside the contract."""


@dataclass
class Answers:
    right: np.ndarray  # bool [messages]
    gaps: (
        np.ndarray
    )  # float [messages, 10]: confidence minus right, in the confidence's bin


def messages(path: str) -> list[dict]:
    with open(path, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    if not rows:
        raise ValueError(f"{path} has no messages")
    return rows


def ask(model: Model, rows: list[dict], known: set[str]) -> Answers:
    if set(model.card["intents"]) != known:
        raise Unusable("its intents are not the champion's")
    answers = model.predict([row["text"] for row in rows])
    confidence = np.array([answer.confidence for answer in answers], dtype=float)
    if not ((confidence >= 0) & (confidence <= 1)).all():
        raise Unusable("a confidence is no number from 0 to 1")
    right = np.array(
        [a.intent == row["category"] for a, row in zip(answers, rows, strict=True)]
    )
    gaps = np.zeros((len(rows), 10))
    bins = np.minimum((confidence * 10).astype(int), 9)
    gaps[np.arange(len(rows)), bins] = confidence - right
    return Answers(right, gaps)


def seconds(model: Model, text: str) -> float:
    start = time.perf_counter()
    model.predict([text])
    return time.perf_counter() - start
