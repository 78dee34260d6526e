"""The one way to train at this desk: rows and parameters in, a model and its figures out.

The same rows and parameters give the same figures, whatever order the rows are in. A row is a mapping from
column to text, as `csv.DictReader` reads it; `text` is the message and `category` the answer.
"""

import csv
import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder
from sklearn.svm import LinearSVC

Row = dict[str, str]
FOLDS = 5


@dataclass(frozen=True)
class Trained:
    """`model` predicts categories from a data frame with `text` and the columns it was trained on."""

    held_out_accuracy: float
    """Share of the training messages, 0 to 1, answered rightly by models that had not seen them."""
    accuracy: float
    """Share of the test messages, 0 to 1, answered rightly by `model`."""
    right: list[bool]
    """Whether `model` answered each test message rightly, in the order of the test rows."""
    model: Pipeline


def read(path: str | Path) -> list[Row]:
    """The rows of a CSV file in UTF-8."""
    with Path(path).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def digest(train: Iterable[Row], test: Iterable[Row]) -> str:
    """SHA-256 (64 hex digits) of what the rows of both splits hold, whatever order they are in."""
    splits = [sorted(map(row_digest, rows)) for rows in (train, test)]
    return hashlib.sha256(json.dumps(splits).encode()).hexdigest()


def row_digest(row: Row) -> str:
    return hashlib.sha256(json.dumps(row, sort_keys=True).encode()).hexdigest()


def fit(
    train: Iterable[Row],
    test: Iterable[Row],
    *,
    C: float = 1.0,
    ngrams: int = 1,
    min_df: int = 1,
    columns: Iterable[str] = (),
) -> Trained:
    """Train on one split and be judged on the other.

    `C` (0.001 to 100): how far the model bends to the training messages. `ngrams` (1 to 3): up to how many
    words in a row make a feature. `min_df` (1 to 10): in how many messages a feature must occur. `columns`:
    what the model sees beside `text`.
    """
    known = pd.DataFrame(sorted(train, key=row_digest))
    folds = known["text"].map(fold).to_numpy()
    parameters = (C, ngrams, min_df, sorted(columns))
    held_out = np.zeros(len(known), dtype=bool)
    for number in range(FOLDS):
        others, own = known[folds != number], known[folds == number]
        held_out[folds == number] = answer(untrained(*parameters), others, own)
    model = untrained(*parameters)
    right = answer(model, known, pd.DataFrame(test))
    return Trained(float(held_out.mean()), float(right.mean()), right.tolist(), model)


def untrained(C: float, ngrams: int, min_df: int, columns: list[str]) -> Pipeline:
    words = TfidfVectorizer(ngram_range=(1, ngrams), min_df=min_df, sublinear_tf=True)
    features = make_column_transformer(
        (words, "text"), (OneHotEncoder(handle_unknown="ignore"), columns)
    )
    return make_pipeline(features, LinearSVC(C=C, random_state=0))


def answer(model: Pipeline, known: pd.DataFrame, asked: pd.DataFrame) -> np.ndarray:
    """Train on `known`; bool [rows of asked], whether each row of `asked` is answered rightly."""
    model.fit(known, known["category"])
    return model.predict(asked) == asked["category"].to_numpy()


def fold(text: str) -> int:
    """The fold in which a message is held out. It depends on the message alone, so it is always the same."""
    return int(hashlib.sha256(text.encode()).hexdigest(), 16) % FOLDS
