"""Hidden checks: what the public one does not ask for."""

from autograder.checks import Outcome, failed, passed
from autograder.probes.python import Returned
from autograder.work import Work

from .checks import assignment, calls


@assignment.check("warmup/mean", title="Finds the mean", points=2, hidden=True)
def mean(work: Work) -> Outcome:
    made = work.shared(calls)
    right = sum(made.values) / len(made.values)
    if isinstance(made.mean, Returned) and is_close(made.mean.value, right):
        return passed("The mean of seven numbers is right.")
    return failed(
        "The mean of seven numbers is wrong.",
        "Try it with numbers whose mean you know.",
        calls=str(made),
    )


def is_close(value: object, right: float) -> bool:
    return isinstance(value, float | int) and abs(value - right) < 1e-9


@assignment.check(
    "warmup/empty", title="Knows no mean of nothing", points=1, hidden=True
)
def empty(work: Work) -> Outcome:
    if work.shared(calls).mean_of_none == Returned(None):
        return passed("mean([]) is None.")
    return failed(
        "mean([]) is not None.", "Say None when there is nothing to divide by."
    )
