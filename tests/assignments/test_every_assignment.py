"""What holds for every assignment, whatever it asks."""

import json
import re
from pathlib import Path

import pytest

from autograder import assignments
from autograder.notebooks import read_notebook

HIDDEN = {
    "serve": 6,
    "containerise": 2,
    "track-and-register": 4,
    "gate-the-model": 8,
    "orchestrate": 4,
    "monitor-and-retrain": 6,
    "agent-workflow": 7,
}
"""How many checks a learner cannot run."""
EACH = pytest.mark.parametrize(
    "folder", assignments.names().values(), ids=lambda folder: folder.name
)


def test_every_assignment_is_here() -> None:
    assert list(assignments.names()) == list(HIDDEN)


@EACH
def test_checks_give_twenty_points_and_some_are_hidden(folder: Path) -> None:
    assignment = assignments.load(folder)
    hidden = sum(check.hidden for check in assignment.checks.values())
    assert (assignment.points, hidden) == (20, HIDDEN[assignment.name])


@EACH
def test_there_are_ways_to_be_right_and_more_to_be_wrong(folder: Path) -> None:
    expected = {
        path.name: json.loads((path / "expected.json").read_bytes())
        for path in (folder / "submissions").iterdir()
    }
    right = [name for name in expected if name.startswith("right-")]
    wrong = [name for name in expected if name.startswith("wrong-")]
    assert len(right) >= 3
    assert len(wrong) >= 10
    assert expected.keys() == {"reference", *right, *wrong}
    for name in ["reference", *right]:
        assert expected[name] == {"points": 20, "loses": []}, name
    for name in wrong:
        assert expected[name]["points"] < 20, name
        assert expected[name]["loses"], name


@EACH
def test_notebook_has_a_cell_for_every_check_and_two_questions(folder: Path) -> None:
    cells = read_notebook(folder / "notebook.md").cells
    checks = [
        match[1]
        for cell in cells
        if cell.cell_type == "code"
        and (match := re.fullmatch(r'check\("(.+)"\)', cell.source))
    ]
    assert sorted(checks) == sorted(assignments.load(folder).checks)
    questions = [cell for cell in cells if "nbgrader" in cell.metadata]
    assert [cell.metadata["nbgrader"]["points"] for cell in questions] == [2, 2]
    assert all("### BEGIN SOLUTION" in cell.source for cell in questions)
