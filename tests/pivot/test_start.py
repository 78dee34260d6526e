"""`pivot start`: the learner's copy of an assignment."""

from pathlib import Path

import nbformat
import pytest
from small_assignment import notes
from typer.testing import CliRunner, Result

from pivot.cli import app

__all__ = ["notes"]


def pivot_start(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["start", *map(str, arguments)])


@pytest.fixture
def desk(notes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (notes / "README.md").write_text("How to write notes.")
    (tmp_path / "desk").mkdir()
    monkeypatch.chdir(tmp_path / "desk")
    return tmp_path / "desk"


@pytest.mark.slow
def test_it_writes_what_learners_get_and_nothing_else(desk: Path):
    result = pivot_start("notes")
    assert result.exit_code == 0, result.output
    assert "pivot check notes" in result.stdout
    assert sorted(path.name for path in (desk / "notes").iterdir()) == [
        "README.md",
        "notes.ipynb",
        "notes.txt",
    ]
    notebook = nbformat.read(desk / "notes" / "notes.ipynb", as_version=4)
    assert 'check("notes/there")' in [cell.source for cell in notebook.cells]


def test_it_never_overwrites(desk: Path):
    (desk / "notes").mkdir()
    (desk / "notes" / "notes.txt").write_text("my work")
    result = pivot_start("notes")
    assert result.exit_code == 2
    assert "may hold your work" in result.stderr
    assert (desk / "notes" / "notes.txt").read_text() == "my work"


def test_an_assignment_that_does_not_exist(desk: Path):
    result = pivot_start("nothing")
    assert result.exit_code == 2
    assert "Known are: notes" in result.stderr
