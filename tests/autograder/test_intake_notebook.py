"""A submitted notebook becomes the released one with the learner's sources in it."""

import json
import time
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from autograder.errors import LearnerError
from autograder.intake.notebook import Rebuilt, read_submitted, rebuild


def marked(cell: NotebookNode, grade_id: str, **marks: Any) -> NotebookNode:
    plain = {"schema_version": 3, "grade": False, "locked": False, "solution": False}
    cell.metadata["nbgrader"] = {**plain, "grade_id": grade_id, **marks}
    return cell


def released() -> NotebookNode:
    return new_notebook(
        cells=[
            new_markdown_cell("# Intro", id="intro"),
            marked(new_code_cell("import math", id="setup"), "setup", locked=True),
            new_code_cell("SIZE = 8", id="open"),
            marked(new_code_cell("def f(): ..."), "f", solution=True),
            marked(
                new_code_cell("assert f()"), "test_f", grade=True, locked=True, points=1
            ),
            marked(
                new_markdown_cell("Why?"), "why", grade=True, solution=True, points=3
            ),
            marked(
                new_markdown_cell("Do it."), "task", task=True, locked=True, points=1
            ),
        ]
    )


def handed_in(tmp_path: Path, notebook: NotebookNode) -> Rebuilt:
    path = tmp_path / "work.ipynb"
    path.write_text(json.dumps(notebook))
    rebuilt = rebuild(released(), read_submitted(path))
    nbformat.validate(rebuilt.notebook)
    return rebuilt


def sources(rebuilt: Rebuilt) -> list[str]:
    return [cell.source for cell in rebuilt.notebook.cells]


def test_untouched_work_is_the_release(tmp_path: Path) -> None:
    rebuilt = handed_in(tmp_path, released())
    assert sources(rebuilt) == [cell.source for cell in released().cells]
    assert rebuilt.code == ["import math", "SIZE = 8", "def f(): ..."]
    assert rebuilt.notes == []


def test_solutions_answers_and_open_cells_are_the_learners(tmp_path: Path) -> None:
    work = released()
    work.cells[0].source = "# My notes"
    work.cells[1].source = "import evil"
    work.cells[2].source = "SIZE = 64"
    work.cells[3].source = "def f(): return 1"
    work.cells[4].source = "pass"
    work.cells[5].source = "Because."
    work.cells[6].source = "Done."
    rebuilt = handed_in(tmp_path, work)
    assert sources(rebuilt) == [
        "# My notes",
        "import math",
        "SIZE = 64",
        "def f(): return 1",
        "assert f()",
        "Because.",
        "Do it.",
    ]
    assert rebuilt.code == ["import math", "SIZE = 64", "def f(): return 1"]
    assert rebuilt.notes == [
        f"Cell “{name}” is locked: what you changed in it has no effect."
        for name in ("setup", "test_f", "task")
    ]


def test_own_cells_stay_where_the_learner_put_them(tmp_path: Path) -> None:
    work = released()
    work.cells.insert(0, new_code_cell("first = 1"))
    work.cells.insert(4, new_code_cell("def helper(): ..."))
    work.cells.insert(5, new_markdown_cell("A note to myself"))
    work.cells.append(new_code_cell("last = 1"))
    rebuilt = handed_in(tmp_path, work)
    assert rebuilt.code == [
        "first = 1",
        "import math",
        "SIZE = 8",
        "def helper(): ...",
        "def f(): ...",
        "last = 1",
    ]
    assert sources(rebuilt)[5] == "A note to myself"
    own = [cell for cell in rebuilt.notebook.cells if cell.id.startswith("own-")]
    assert len(own) == 4
    assert all(cell.metadata == {} for cell in own)


def test_released_cells_keep_their_order(tmp_path: Path) -> None:
    work = released()
    work.cells.reverse()
    assert sources(handed_in(tmp_path, work)) == [c.source for c in released().cells]


def test_a_changed_cell_type_is_put_back(tmp_path: Path) -> None:
    work = released()
    text = marked(new_markdown_cell("def f(): return 1"), "f", solution=True)
    work.cells[3] = text
    rebuilt = handed_in(tmp_path, work)
    assert rebuilt.notebook.cells[3].cell_type == "code"
    assert "def f(): return 1" in rebuilt.code


def test_cells_without_ids_are_known_by_their_text(tmp_path: Path) -> None:
    work = released()
    for cell in work.cells:
        del cell["id"]
    rebuilt = handed_in(tmp_path, work)
    assert sources(rebuilt) == [cell.source for cell in released().cells]


def test_equal_cells_of_the_release_are_told_apart(tmp_path: Path) -> None:
    given = new_notebook(cells=[new_code_cell("tick()"), new_code_cell("tick()")])
    work = new_notebook(cells=[new_code_cell("tick()"), new_code_cell("tick()")])
    path = tmp_path / "work.ipynb"
    path.write_text(json.dumps(work))
    assert rebuild(given, read_submitted(path)).code == ["tick()", "tick()"]


def test_a_pasted_picture_is_said_to_be_lost(tmp_path: Path) -> None:
    work = released()
    work.cells[5].source = "![](attachment:why.png)"
    work.cells[5].attachments = {"why.png": {"image/png": "aaaa"}}
    rebuilt = handed_in(tmp_path, work)
    assert "attachments" not in rebuilt.notebook.cells[5]
    assert any("picture" in note for note in rebuilt.notes)


def test_a_release_before_cell_ids_stays_valid(tmp_path: Path) -> None:
    given = released()
    given.nbformat_minor = 4
    for cell in given.cells:
        del cell["id"]
    work = new_notebook(cells=[new_code_cell("mine = 1")])
    path = tmp_path / "work.ipynb"
    path.write_text(json.dumps(work))
    nbformat.validate(rebuild(given, read_submitted(path)).notebook)


def test_the_release_is_not_changed(tmp_path: Path) -> None:
    given = released()
    before = json.dumps(given)
    path = tmp_path / "work.ipynb"
    path.write_text(json.dumps(given))
    rebuilt = rebuild(given, read_submitted(path))
    rebuilt.notebook.cells[3].metadata.nbgrader.points = 99
    rebuilt.notebook.metadata["more"] = 1
    assert json.dumps(given) == before


def test_what_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(LearnerError, match="There is no “work"):
        read_submitted(tmp_path / "work.ipynb")
    with pytest.raises(LearnerError, match="is not a plain file"):
        read_submitted(tmp_path)
    (tmp_path / "link.ipynb").symlink_to("/etc/passwd")
    with pytest.raises(LearnerError, match="is not a plain file"):
        read_submitted(tmp_path / "link.ipynb")


def test_reading_and_rebuilding_is_quick(tmp_path: Path) -> None:
    """The judge is to be many times quicker than nbgrader, which takes most of a second for a notebook."""
    path = tmp_path / "work.ipynb"
    path.write_text(json.dumps(released()))
    start = time.process_time()
    for _ in range(100):
        rebuild(released_once, read_submitted(path))
    assert (time.process_time() - start) / 100 < 0.01


released_once = released()
