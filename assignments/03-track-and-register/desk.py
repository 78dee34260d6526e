"""What the judge knows of the desk's data: its own copies, its own cleaning, its own training."""

import importlib.util
import math
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from statistics import mean, stdev
from types import ModuleType

from autograder.errors import LearnerError

from .drawn import Messages, Tables
from .store import Run

GIVEN = Path(__file__).with_name("given")
LEAK = "reply"
OTHERS = ("channel", "reply", "ticket", "topic")  # columns a model can be shown
PARAMETERS = ("C", "ngrams", "min_df", "columns")
BOUNDS = {"C": (0.001, 100), "ngrams": (1, 3), "min_df": (1, 10)}
METRICS = ("held_out_accuracy", "accuracy")
# Another processor may add numbers up in another order and answer a few messages differently.
TOLERANCE = 0.012

Row = dict[str, str]


@cache
def trainer() -> ModuleType:
    """trainer.py, imported."""
    spec = importlib.util.spec_from_file_location("given_trainer", GIVEN / "trainer.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["given_trainer"] = module  # dataclasses look their module up by name
    spec.loader.exec_module(module)
    return module


@cache
def split(name: str) -> list[Row]:
    """The given `train` or `test`, leaks and all."""
    rows: list[Row] = trainer().read(GIVEN / f"{name}.csv")
    return rows


def words(text: str) -> str:
    """The message without case, punctuation and spacing."""
    return re.sub(r"[\W_]+", " ", text.lower()).strip()


@cache
def messages() -> Messages:
    """The messages of the given data, and which of them are copies."""
    train, test = ([row["text"] for row in split(name)] for name in ("train", "test"))
    there = {words(text) for text in test}
    places = [place for place, text in enumerate(train) if words(text) in there]
    return Messages(train, test, places)


def tables() -> Tables:
    """The given data, and the column that tells."""
    return Tables(split("train"), split("test"), [LEAK])


@dataclass(frozen=True)
class Data:
    """The desk's data after some cleaning; `left` says what is still wrong with it."""

    train: list[Row]
    test: list[Row]
    left: list[str]


@cache
def known() -> dict[str, Data]:
    """By digest: the data as it should be, as it was given, and what becomes of it if cleaning goes wrong."""
    found = {}
    for made in cleanings().values():
        for data in (made, without_leak(made)):
            found[trainer().digest(data.train, data.test)] = data
    return found


@cache
def cleanings() -> dict[str, Data]:
    """What can be done about the copies, with the column still there."""
    train, test = split("train"), split("test")
    all_left = "copies of test messages are still in train"
    some_left = f"{all_left}, in another case, spacing or punctuation"
    wrong_side = "messages were taken out of test, which must stay as it is"
    column = "a column that gives the answer away is still there"
    return {
        "gone": Data(others(train, test, words), test, [column]),
        "there": Data(train, test, [all_left, column]),
        "equal gone": Data(others(train, test, str), test, [some_left, column]),
        "gone from test": Data(train, others(test, train, words), [wrong_side, column]),
        "equal gone from test": Data(
            train, others(test, train, str), [wrong_side, some_left, column]
        ),
    }


def others(
    rows: list[Row], besides: list[Row], spelt: Callable[[str], str]
) -> list[Row]:
    """The rows whose message is not among `besides`."""
    there = {spelt(row["text"]) for row in besides}
    return [row for row in rows if spelt(row["text"]) not in there]


def without_leak(data: Data) -> Data:
    train, test = (
        [{key: row[key] for key in row if key != LEAK} for row in rows]
        for rows in (data.train, data.test)
    )
    return Data(train, test, data.left[:-1])


@cache
def clean_digest() -> str:
    return next(digest for digest, data in known().items() if not data.left)


@dataclass(frozen=True)
class Parameters:
    C: float
    ngrams: int
    min_df: int
    columns: tuple[str, ...]


BASELINE = Parameters(C=0.01, ngrams=1, min_df=2, columns=())


def parameters(run: Run) -> Parameters:
    """What a run says it was trained with. Raises LearnerError if the judge cannot train with that."""
    numbers = {name: bounded(run, name) for name in BOUNDS}
    if "columns" not in run.params:
        raise LearnerError(
            f"There is no parameter columns in {run}.",
            'Record it, as "" if the model sees only the text.',
        )
    # "topic,channel", '["topic"]', "()" and "None" are all in use.
    columns = set(re.findall(r"\w+", run.params["columns"])) - {"None"}
    if not columns <= set(OTHERS):
        raise LearnerError(
            f"By {run}, the model sees columns that the data does not have.",
            f"Record names out of {', '.join(OTHERS)}.",
        )
    return Parameters(
        C=numbers["C"],
        ngrams=int(numbers["ngrams"]),
        min_df=int(numbers["min_df"]),
        columns=tuple(sorted(columns)),
    )


def bounded(run: Run, name: str) -> float:
    least, most = BOUNDS[name]
    try:
        value = float(run.params[name])
    except (KeyError, ValueError):
        value = math.nan
    if not least <= value <= most or (name != "C" and value % 1):
        raise LearnerError(
            f"There is no parameter {name} from {least} to {most} in {run}.",
            "Record each parameter under the name it has in trainer.fit, defaults too.",
        )
    return value


@dataclass(frozen=True)
class Figures:
    held_out_accuracy: float
    accuracy: float
    right: tuple[bool, ...]


@lru_cache(maxsize=256)
def trained(digest: str, asked: Parameters) -> Figures:
    """The figures of one training, made once in the judge's life."""
    data = known()[digest]
    result = trainer().fit(
        data.train,
        data.test,
        C=asked.C,
        ngrams=asked.ngrams,
        min_df=asked.min_df,
        columns=asked.columns,
    )
    return Figures(result.held_out_accuracy, result.accuracy, tuple(result.right))


def retrained(run: Run) -> Figures:
    """What a run's parameters and data really give. Raises LearnerError if they cannot be made again."""
    digest = run.params.get("data_digest", "")
    asked = parameters(run)
    if digest not in known():
        raise LearnerError(
            f"The data_digest of {run} is that of neither the given nor the cleaned rows.",
            "Record what trainer.digest says of the very rows you train and test on.",
        )
    if not set(asked.columns) <= known()[digest].train[0].keys():
        raise LearnerError(
            f"By {run}, the model sees a column that the data of its digest does not have.",
            "Record digest and parameters from the same variables that go into trainer.fit.",
        )
    return trained(digest, asked)


def difference(before: Sequence[bool], after: Sequence[bool]) -> tuple[float, float]:
    """The gap in accuracy and its standard error, from the same messages answered by both."""
    each = [new - old for old, new in zip(before, after, strict=True)]
    return mean(each), stdev(each) / math.sqrt(len(each))
