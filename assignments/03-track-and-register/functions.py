"""The learner's functions in evidence.py: what they are asked, and how what they return compares."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from random import Random
from typing import Any

from autograder.checks import Outcome, failed, passed
from autograder.errors import LearnerError
from autograder.probes.python import Functions, Raised, Returned
from autograder.probes.transcript import error
from autograder.work import Work

from . import desk, drawn
from .drawn import Answers, Case, Choice, Messages, Tables

# For each check the function it asks, and what it asks that function.
ASKED: dict[str, tuple[str, Callable[[Random], list[Case]]]] = {
    "copies": (
        "copies",
        lambda draw: [desk.messages(), *(drawn.copied(draw) for _ in range(3))],
    ),
    "telling": ("telling", lambda draw: [desk.tables()]),
    "choose": ("choose", lambda draw: [drawn.tempting(draw) for _ in range(4)]),
    "difference": ("difference", lambda draw: [drawn.answers(draw) for _ in range(4)]),
    "no-false-alarm": ("copies", lambda draw: [drawn.alike(draw) for _ in range(3)]),
    "other-columns": ("telling", lambda draw: [drawn.tables(draw) for _ in range(3)]),
    "odd-runs": (
        "choose",
        lambda draw: [*(drawn.odd(draw) for _ in range(3)), drawn.hopeless(draw)],
    ),
}
Results = list[Returned | Raised]


@contextmanager
def asked(work: Work) -> Iterator[dict[str, tuple[list[Case], Results | LearnerError]]]:
    """For each check its cases and the results, for `work.shared`.

    One program answers all, because importing pandas again for each would take most of the time. If it does
    not come to its end, each check gets a program of its own: a function that hangs costs the others nothing.
    """
    cases = {id: draw(Random(f"{work.seed}/{id}")) for id, (_, draw) in ASKED.items()}
    try:
        results = iter(called(work, cases))
        yield {id: (each, [next(results) for _ in each]) for id, each in cases.items()}
    except LearnerError:
        yield {id: (each, alone(work, {id: each})) for id, each in cases.items()}


def called(work: Work, cases: dict[str, list[Case]]) -> Results:
    code = (work.folder / "evidence.py").read_text("utf-8", errors="replace")
    calls = [(ASKED[id][0], case.arguments) for id in cases for case in cases[id]]
    return Functions([code], work.sandbox, folder=work.folder).call_many(calls)


def alone(work: Work, cases: dict[str, list[Case]]) -> Results | LearnerError:
    try:
        return called(work, cases)
    except LearnerError as error:
        return error


def answers(work: Work, check: str) -> list[tuple[Any, Any]]:
    """Each case of a check with what the function returned. Raises LearnerError if it did not return."""
    cases, results = work.shared(asked)[check]
    if isinstance(results, LearnerError):
        raise results
    for result in results:
        if isinstance(result, Raised):
            raise LearnerError(
                f"`{ASKED[check][0]}` raised {error(result.kind, result.message)}.",
                "Call it with inputs like those the notebook describes.",
            )
    values = [result.value for result in results if isinstance(result, Returned)]
    return list(zip(cases, values, strict=True))


def missed_and_extra(case: Messages, places: Any) -> tuple[set[int], set[int]]:
    """The copies that `copies` did not name, and what it named that is none. Raises LearnerError."""
    if not isinstance(places, list) or not all(type(at) is int for at in places):
        raise LearnerError(
            "`copies` did not return a list of whole numbers.",
            "Return the places of the messages in train, from 0.",
        )
    return set(case.copies) - set(places), set(places) - set(case.copies)


def named_columns(case: Tables, got: Any) -> Outcome:
    """The outcome for what `telling` returned."""
    if isinstance(got, list) and sorted(map(str, got)) == case.telling:
        return passed("`telling` named the columns that give the category away.")
    named = f"{len(got)} columns" if isinstance(got, list) else "no list of columns"
    return failed(
        f"`telling` named {named}, and not just the {len(case.telling)} that tell.",
        "Learn from train which category each value mostly goes with, and count in test how often that is "
        "right. A value that train never showed says nothing. More than half is too good to be true.",
        got=got,
        right=case.telling,
    )


def chosen(cases: list[tuple[Choice, Any]]) -> Outcome:
    """The outcome for what `choose` returned."""
    wrong = [case for case, id in cases if id != case.best]
    if not wrong:
        return passed("`choose` named the run that had proved to be the best.")
    return failed(
        f"`choose` did not name the best run in {len(wrong)} of {len(cases)} cases.",
        "Look only at finished runs on the data with this digest that have a held_out_accuracy, and take the "
        "highest: it was measured without the test split. Where there is none, return None.",
        runs=wrong[0].runs,
        best=wrong[0].best,
    )


def gap_and_error(case: Answers, got: Any) -> Outcome | None:
    """What is wrong with what `difference` returned, if anything is."""
    gap, spread = desk.difference(case.before, case.after)
    stated = [number(value) for value in got] if isinstance(got, list) else []
    if len(stated) != 2 or not abs(stated[0] - gap) < 1e-6:
        return failed(
            "`difference` did not return the gap in accuracy first, and its error second.",
            "The gap is the share that `after` got right, minus that of `before`.",
        )
    # Dividing by n or by n - 1 is a matter of taste.
    if not abs(stated[1] - spread) <= 0.01 * spread:
        return failed(
            f"`difference` gave an error of {stated[1]:.4f} where it is {spread:.4f}.",
            "Both models answered the same messages: take the difference message by message (1, 0 or -1), "
            "then the standard error of its mean.",
        )
    return None


def number(value: Any) -> float:
    """NaN for what is none."""
    return float(value) if isinstance(value, int | float) else math.nan
