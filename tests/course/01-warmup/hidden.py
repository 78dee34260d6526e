"""Hidden checks: fresh lists in every run."""

from autograder.probes.python import Functions

from autograder.checks import Outcome, failed, passed
from autograder.work import Work

from .checks import assignment


@assignment.check("warmup/mean", title="Finds the mean", points=2, hidden=True)
def mean(work: Work) -> Outcome:
    values = work.random.choices(range(1000), k=7)
    answer = Functions(work.code, work.sandbox).call("mean", values)
    if isinstance(answer, float) and abs(answer - sum(values) / 7) < 1e-9:
        return passed("The mean of a list drawn for this run is right.", values=values)
    return failed(
        "The mean of a list drawn for this run is wrong.",
        "Try it with numbers whose mean you know.",
        values=values,
        answer=answer,
    )


@assignment.check(
    "warmup/empty", title="Knows no mean of nothing", points=1, hidden=True
)
def empty(work: Work) -> Outcome:
    if Functions(work.code, work.sandbox).call("mean", []) is None:
        return passed("mean([]) is None.")
    return failed(
        "mean([]) is not None.", "Say None when there is nothing to divide by."
    )
