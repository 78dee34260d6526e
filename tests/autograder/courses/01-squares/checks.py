"""Public checks of an assignment that only the tests use."""

import json

from autograder.checks import Assignment, Outcome, failed, partly, passed
from autograder.errors import LearnerError
from autograder.work import Work

assignment = Assignment(
    "squares",
    title="Squares",
    submits=("squares.json", "total.txt"),
    given=("given/numbers.json",),
)


@assignment.check("squares/written", title="A table is handed in", points=2)
def written(work: Work) -> Outcome:
    if table(work):
        return passed("The table has entries.")
    return failed("The table is empty.", "Write an entry for each number.")


@assignment.check("squares/total", title="The total is right", points=3)
def total(work: Work) -> Outcome:
    path = work.folder / "total.txt"
    said = path.read_text().strip() if path.exists() else ""
    expected = sum(json.loads((work.folder / "numbers.json").read_text()))
    if said == str(expected):
        return passed(f"The total is {expected}.")
    if said.removeprefix("-") == str(expected):
        return partly(1 / 3, f"You wrote {said}.", "Look at the sign.")
    return failed(f"You wrote {said[:200]}.", "Add the numbers of numbers.json.")


def table(work: Work) -> dict[str, object]:
    try:
        return dict(json.loads((work.folder / "squares.json").read_text()))
    except (OSError, ValueError) as error:
        raise LearnerError(
            "squares.json is not JSON.", "Write it with json.dump."
        ) from error
