"""The streams of one grading, what the learner's monitor said of them, and what its rows train.

Each context manager that takes only `work` is for `work.shared`: made at the first check that asks, for all.
"""

import importlib.util
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from autograder.errors import LearnerError
from autograder.probes.python import Functions, Raised
from autograder.probes.transcript import error
from autograder.sandbox import Limits
from autograder.work import Work

GIVEN = Path(__file__).parent / "given"
WORDS = {"quiet", "look", "retrain"}
LIMITS = Limits(seconds=60, memory=2 << 30)
TRAINED_AFTER = 20  # days of the new world before rows are asked for
WITHIN = 0.08  # of the accuracy that plenty of good rows give
ROWS, MESSAGES = 1500, 2000


@cache
def streams() -> ModuleType:
    """streams.py as the judge has it, with the head.py beside it."""
    for name in ("head", "streams"):  # the second imports the first by its name
        spec = importlib.util.spec_from_file_location(name, GIVEN / f"{name}.py")
        assert spec
        assert spec.loader
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    sys.modules.pop("head")
    return sys.modules.pop("streams")


@dataclass(frozen=True)
class Watched:
    """A stream and one decision for each of its days."""

    stream: dict[str, Any]
    decisions: list[str]

    @property
    def change(self) -> int:
        return self.stream["change"]

    def alarms(self, first: int = 0) -> list[int]:
        """The days, from `first`, on which something was said."""
        return [n for n, word in self.days(first) if word != "quiet"]

    def retrains(self, first: int = 0) -> list[int]:
        return [n for n, word in self.days(first) if word == "retrain"]

    def days(self, first: int) -> list[tuple[int, str]]:
        return [(n, word) for n, word in enumerate(self.decisions) if n >= first]

    def evidence(self) -> dict[str, Any]:
        return {
            "kind": self.stream["kind"],
            "change": self.change,
            "said": self.decisions,
        }


@contextmanager
def watched(work: Work) -> Iterator[dict[str, Watched]]:
    """What has been watched so far, by the stream's name."""
    yield {}


def watch(work: Work, kind: str, number: int = 0) -> Watched:
    """The learner's decisions about a stream of this kind; the same one for every check that asks."""
    done = work.shared(watched)
    name = f"{kind}/{number}"
    if name not in done:
        stream = streams().Desk(f"{work.seed}/{name}").stream(kind)
        [decisions] = called(work, "watch", [(stream["baseline"], stream["days"])])
        done[name] = Watched(stream, checked(decisions, len(stream["days"])))
    return done[name]


def checked(decisions: Any, days: int) -> list[str]:
    """The decisions, if they are decisions. Raises LearnerError."""
    if not isinstance(decisions, list) or len(decisions) != days:
        count = (
            f"a list of {len(decisions)}" if isinstance(decisions, list) else "no list"
        )
        raise LearnerError(
            f"`watch` returned {count} for {days} days.",
            "Return one word for each of `days`, in their order.",
        )
    for word in decisions:
        if word not in WORDS:
            raise LearnerError(
                f"`watch` said {json.dumps(word)[:60]} of a day.",
                f"Say one of {', '.join(sorted(WORDS))}.",
            )
    return decisions


def called(work: Work, name: str, calls: Sequence[Sequence[Any]]) -> list[Any]:
    """What a function of monitor.py returned for each call, in one program. Raises LearnerError."""
    code = (work.folder / "monitor.py").read_text("utf-8", errors="replace")
    functions = Functions([code], work.sandbox, LIMITS, folder=work.folder)
    results = functions.call_many([(name, arguments) for arguments in calls])
    for result in results:
        if isinstance(result, Raised):
            raise LearnerError(
                f"`{name}` raised {error(result.kind, result.message)}.",
                "Draw streams with streams.py, and call it with each of them.",
            )
    return [result.value for result in results if not isinstance(result, Raised)]


@dataclass(frozen=True)
class Trained:
    """How often a model is right in the new world: as it was, on these rows, on plenty of good ones."""

    rows: int
    before: float
    after: float
    possible: float

    @property
    def good(self) -> bool:
        return self.after >= self.possible - WITHIN


def train(work: Work, kind: str) -> Trained:
    """Train on what `training_rows` chose. Raises LearnerError where it chose nothing to train on."""
    desk = streams().Desk(f"{work.seed}/rows/{kind}")
    stream = desk.stream(kind)
    days = stream["days"][: stream["change"] + TRAINED_AFTER]
    [rows] = called(work, "training_rows", [(stream["baseline"], days)])
    came = {
        tuple(request["vector"])
        for day in (*stream["baseline"], *days)
        for request in day["requests"]
    }
    vectors, intents = usable(rows, came)
    asked, right = desk.world(kind, MESSAGES)
    fit = streams().fit

    def accuracy(head: Any) -> float:
        return float((np.array(head.predict(asked)[0]) == np.array(right)).mean())

    return Trained(
        rows=len(rows),
        before=accuracy(desk.head),
        after=accuracy(fit(vectors, intents)),
        possible=accuracy(fit(*desk.world(kind, ROWS))),
    )


def usable(rows: Any, came: set[tuple[float, ...]]) -> tuple[np.ndarray, list[str]]:
    """Vectors and intents, of messages that came in. Raises LearnerError if they are none."""
    mend = (
        "Return [vector, intent] for each message to train on, of at least two intents."
    )
    if not isinstance(rows, list) or not rows:
        raise LearnerError("`training_rows` returned no list of rows.", mend)
    for row in rows:
        if (
            not isinstance(row, list)
            or len(row) != 2
            or not isinstance(row[0], list)
            or not all(type(x) in (int, float) for x in row[0])
            or not isinstance(row[1], str)
        ):
            raise LearnerError(
                f"`training_rows` returned the row {json.dumps(row)[:80]}.", mend
            )
        if tuple(row[0]) not in came:
            raise LearnerError(
                f"`training_rows` returned the vector {json.dumps(row[0])[:60]}, which no message had.",
                "Return vectors as they came in, from baseline and days.",
            )
    if len({intent for _, intent in rows}) < 2:
        raise LearnerError("All rows of `training_rows` have one intent.", mend)
    return np.array([vector for vector, _ in rows]), [intent for _, intent in rows]
