"""The smallest assignment there is: two functions in a notebook. Tests and benchmarks grade it."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from autograder.checks import Assignment, Outcome, failed, passed
from autograder.probes.python import Functions, Raised, Returned
from autograder.work import Work

assignment = Assignment("warmup", title="Warm-up", submits=(), seconds=60)


@dataclass(frozen=True)
class Calls:
    """All calls of one grading: starting a sandbox takes longer than they do."""

    values: list[int]
    total: Returned | Raised
    mean: Returned | Raised
    mean_of_none: Returned | Raised


@contextmanager
def calls(work: Work) -> Iterator[Calls]:
    values = random.Random(f"{work.seed}/calls").choices(range(1000), k=7)
    functions = Functions(work.code, work.sandbox)
    arguments = [("total", [values]), ("mean", [values]), ("mean", [[]])]
    yield Calls(values, *functions.call_many(arguments))


@assignment.check("warmup/total", title="Adds numbers", points=2)
def total(work: Work) -> Outcome:
    made = work.shared(calls)
    if made.total == Returned(sum(made.values)):
        return passed("The sum of seven numbers is right.")
    return failed(
        "The sum of seven numbers is wrong.", "Add the numbers.", calls=str(made)
    )
