"""The smallest assignment, `tests/course/01-warmup`, as three graders know it, and seeded answers to it.

The judge takes its own released notebook. nbgrader and otter-grader get notebooks with the same one answer
cell and assert tests that ask the same: `total` of a known list, `mean` of a list drawn for the run, `mean`
of nothing.
"""

import random
from dataclasses import dataclass
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_notebook

from autograder import assignments
from autograder.assign import released_notebook

COURSE = Path(__file__).parents[1] / "tests" / "course"
NAME = "warmup"
ANSWER = "functions"
POINTS = {"total": 2, "mean": 2, "empty": 1}
MAX_POINTS = sum(POINTS.values())

NOTHING_DONE = """\
def total(values):
    raise NotImplementedError


def mean(values):
    raise NotImplementedError
"""
REFERENCE = """\
def total(values):
    return sum(values)


def mean(values):
    return sum(values) / len(values) if values else None
"""
ASSERTIONS = {
    "total": "assert total([1, 2, 3]) == 6",
    "mean": """\
import random

values = random.choices(range(1000), k=7)
answer = mean(values)
assert isinstance(answer, float)
assert abs(answer - sum(values) / 7) < 1e-9""",
    "empty": "assert mean([]) is None",
}
HIDDEN = ("mean", "empty")

TOTALS = {  # body of the function: whether it is right
    "return sum(values)": True,
    "return sum(value for value in values)": True,
    "result = 0\n    for value in values:\n        result += value\n    return result": True,
    "return len(values)": False,
    "return sum(values[1:])": False,
    "raise NotImplementedError": False,
}
MEANS = {  # body of the function: whether the mean, and the mean of nothing, are right
    "return sum(values) / len(values) if values else None": (True, True),
    "if not values:\n        return None\n    return sum(values) / len(values)": (
        True,
        True,
    ),
    "return sum(values) / len(values)": (True, False),
    "return sum(values) / (len(values) + 1) if values else None": (False, True),
    "return max(values)": (False, False),
    "raise NotImplementedError": (False, False),
}


@dataclass(frozen=True)
class Submission:
    """A learner, what stands in their answer cell, and the points it is worth."""

    learner: str
    answer: str
    points: float


def submissions(count: int, *, seed: int = 1) -> list[Submission]:
    """`count` submissions, some right, some wrong, no two the same; always these for the same seed."""
    draw = random.Random(seed)
    return [one_of_many(f"learner-{number:02}", draw) for number in range(count)]


def one_of_many(learner: str, draw: random.Random) -> Submission:
    total, total_right = draw.choice(list(TOTALS.items()))
    mean, mean_right = draw.choice(list(MEANS.items()))
    answer = f"# {learner}\ndef total(values):\n    {total}\n\n\ndef mean(values):\n    {mean}"
    earned = zip(POINTS.values(), (total_right, *mean_right), strict=True)
    return Submission(learner, answer, sum(points * right for points, right in earned))


def answer_cell(notebook: NotebookNode) -> NotebookNode:
    """The cell with the learner's code, in the judge's notebook as in nbgrader's."""
    (cell,) = (cell for cell in notebook.cells if grade_id(cell) == ANSWER)
    return cell


def grade_id(cell: NotebookNode) -> str | None:
    return cell.metadata.get("nbgrader", {}).get("grade_id")


def answered(released: NotebookNode, answer: str) -> NotebookNode:
    """A copy of a released notebook with the answer cell filled in."""
    notebook = nbformat.from_dict(released)
    answer_cell(notebook).source = answer
    return notebook


def judge_notebook() -> NotebookNode:
    """What the project's own release hands out."""
    return released_notebook(assignments.load(COURSE / "01-warmup"))


def nbgrader_source() -> NotebookNode:
    """The instructor's notebook for plain nbgrader: tests in locked cells, two of them hidden."""
    solution = f"### BEGIN SOLUTION\n{REFERENCE}### END SOLUTION"
    cells = [_nbgrader_cell(ANSWER, solution, solution=True)]
    for test, assertion in ASSERTIONS.items():
        if test in HIDDEN:
            assertion = f"### BEGIN HIDDEN TESTS\n{assertion}\n### END HIDDEN TESTS"
        cells.append(_nbgrader_cell(test, assertion, points=POINTS[test]))
    return _notebook(cells)


def otter_notebook(answer: str) -> NotebookNode:
    """A submission for otter-grader, whose tests lie in files of their own."""
    head = "import otter\n\ngrader = otter.Notebook()"
    checks = (f'grader.check("{test}")' for test in POINTS)
    return _notebook([new_code_cell(source) for source in (head, answer, *checks)])


def otter_test(name: str) -> str:
    """One of otter-grader's test files, in its exception-based format."""
    function = "total" if name == "total" else "mean"
    body = ASSERTIONS[name].replace("\n", "\n    ")
    return f"""\
from otter.test_files import test_case

OK_FORMAT = False

name = "{name}"
points = {POINTS[name]}


@test_case(hidden={name in HIDDEN})
def test_{name}({function}):
    {body}
"""


def _nbgrader_cell(
    id: str, source: str, *, points: float = 0, solution: bool = False
) -> NotebookNode:
    cell = new_code_cell(source)
    cell.metadata["nbgrader"] = {
        "grade_id": id,
        "schema_version": 3,
        "grade": not solution,
        "locked": not solution,
        "solution": solution,
        "task": False,
    }
    if not solution:
        cell.metadata["nbgrader"]["points"] = points
    return cell


def _notebook(cells: list[NotebookNode]) -> NotebookNode:
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return new_notebook(cells=cells, metadata={"kernelspec": kernel})
