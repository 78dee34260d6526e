"""Hidden checks: their inputs are drawn when the work is graded."""

from autograder.checks import Outcome, failed, passed
from autograder.work import Work

from .checks import assignment, table


@assignment.check("squares/any", title="Any number's square", points=1.5, hidden=True)
def any_number(work: Work) -> Outcome:
    secretly_drawn = work.random.randint(1, 50)
    said = table(work).get(str(secretly_drawn))
    if said == secretly_drawn * secretly_drawn:
        return passed("The square of a number drawn is right.", drawn=secretly_drawn)
    return failed(
        "The square of a number drawn is wrong.",
        "Look at your squares again.",
        drawn=secretly_drawn,
    )
