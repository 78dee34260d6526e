"""The smallest assignment there is: two functions in a notebook. Tests and benchmarks grade it."""

from autograder.probes.python import Functions

from autograder.checks import Assignment, Outcome, failed, passed
from autograder.work import Work

assignment = Assignment("warmup", title="Warm-up", submits=(), seconds=60)


@assignment.check("warmup/total", title="Adds numbers", points=2)
def total(work: Work) -> Outcome:
    answer = Functions(work.code, work.sandbox).call("total", [1, 2, 3])
    if answer == 6:
        return passed("total([1, 2, 3]) is 6.")
    return failed(f"total([1, 2, 3]) is {answer!r}.", "Add the numbers.")
