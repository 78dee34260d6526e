"""The gate that proves every cell ran: each way a notebook can pass without running is planted once."""

from pathlib import Path

import nbformat
import pytest
from typer.testing import CliRunner

from autograder import notebooks
from autograder.cli import app
from autograder.notebooks import (
    NotebookUnreadable,
    Report,
    judge,
    read_notebook,
    run_notebook,
)

CHECK = """\
class Exercise:
    def __init__(self, expected): self.expected = expected
    def __call__(self, answer): print("Right: 1 of 1 case." if answer == self.expected else "Not yet: no.")
check = Exercise(2)
"""


def write(path: Path, *sources: str, tags: dict[int, list[str]] | None = None) -> Path:
    """A notebook of these code cells; `tags` by cell number from 1."""
    notebook = nbformat.v4.new_notebook()
    for number, source in enumerate(sources, 1):
        cell = nbformat.v4.new_code_cell(source)
        cell.metadata["tags"] = (tags or {}).get(number, [])
        notebook.cells.append(cell)
    nbformat.write(notebook, path)
    return path


def run(
    tmp_path: Path, *sources: str, tags: dict[int, list[str]] | None = None
) -> Report:
    return run_notebook(write(tmp_path / "n.ipynb", *sources, tags=tags), tmp_path)


def findings(report: Report) -> list[str]:
    return [str(finding) for finding in report.findings]


@pytest.mark.slow
def test_clean_notebook_has_no_finding_and_keeps_its_outputs(tmp_path: Path) -> None:
    report = run(
        tmp_path,
        "print(6 * 7)",
        "1 / 0",
        CHECK,
        "check(1)",
        "",
        "check(2)",
        tags={2: ["raises-exception"]},
    )
    assert report.ok, findings(report)
    assert report.notebook.cells[0].outputs[0].text == "42\n"


@pytest.mark.slow
def test_cells_run_in_the_given_folder(tmp_path: Path) -> None:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    report = run_notebook(
        write(tmp_path / "n.ipynb", "open('here.txt', 'w').close()"), folder
    )
    assert report.ok
    assert (folder / "here.txt").exists()


@pytest.mark.slow
def test_raising_cell_is_named(tmp_path: Path) -> None:
    assert findings(run(tmp_path, "x = 1", "x / 0", "print('later')")) == [
        "cell 2: raises ZeroDivisionError: division by zero (x / 0)",
        "cell 3: was never executed (print('later'))",
    ]


@pytest.mark.slow
@pytest.mark.parametrize("tags", [[], ["raises-exception"]])
def test_early_exit_with_status_zero_is_named(tmp_path: Path, tags: list[str]) -> None:
    seen = findings(
        run(tmp_path, "import sys", "sys.exit(0)", "print('later')", tags={2: tags})
    )
    assert seen[0] == (
        "cell 2: ends the notebook early with sys.exit(0); no later cell runs (sys.exit(0))"
    )


@pytest.mark.slow
def test_kernel_that_dies_is_a_finding_not_a_crash(tmp_path: Path) -> None:
    seen = findings(run(tmp_path, "import os", "os._exit(0)", "print('later')"))
    assert "cell 2: the kernel died or ran out of time here (os._exit(0))" in seen
    assert "cell 3: was never executed (print('later'))" in seen


@pytest.mark.slow
def test_cell_that_never_ends_is_a_finding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notebooks, "CELL_TIMEOUT", 1)
    seen = findings(run(tmp_path, "import time; time.sleep(60)"))
    assert any("ran out of time here" in finding for finding in seen)


@pytest.mark.slow
def test_tag_that_promises_an_exception_must_be_kept(tmp_path: Path) -> None:
    assert findings(run(tmp_path, "1 + 1", tags={1: ["raises-exception"]})) == [
        "cell 1: is tagged raises-exception but raises nothing (1 + 1)"
    ]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("calls", "complaint"),
    [
        (["check(2)", "check(2)"], "never seen failing"),
        (["check(1)", "check(1)"], "never seen passing"),
        (["check(2)", "check(1)"], "never seen passing"),
        ([], "never seen failing"),
    ],
    ids=["never fails", "never passes", "passes too early", "never called"],
)
def test_check_must_be_seen_failing_then_passing(
    tmp_path: Path, calls: list[str], complaint: str
) -> None:
    (seen,) = findings(run(tmp_path, CHECK, *calls))
    assert seen.startswith("cell 1: check is ")
    assert complaint in seen


def executed(*counts: int | None) -> nbformat.NotebookNode:
    cells = [
        nbformat.v4.new_code_cell("pass", execution_count=count) for count in counts
    ]
    return nbformat.v4.new_notebook(cells=cells)


def test_order_of_execution_is_proven() -> None:
    assert [str(finding) for finding in judge(executed(1, 2, 3))] == []
    assert "cell 2: has execution count 3, expected 2" in str(
        next(judge(executed(1, 3, 4)))
    )
    assert [finding.cell for finding in judge(executed(2, 1))] == [1, 2]


def test_notebook_without_code_proves_nothing() -> None:
    (finding,) = judge(
        nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("text")])
    )
    assert "no code cell" in finding.message


@pytest.mark.parametrize(
    "content", [b"not json", b"{}", b"\xff\xfe\x00bad", b'{"cells": 3, "nbformat": 4}']
)
def test_unreadable_notebook_is_said_to_be_one(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.ipynb"
    path.write_bytes(content)
    with pytest.raises(NotebookUnreadable, match=r"broken\.ipynb is not a notebook"):
        read_notebook(path)


@pytest.mark.slow
def test_unknown_kernel_is_said(tmp_path: Path) -> None:
    path = write(tmp_path / "n.ipynb", "1")
    notebook = nbformat.read(path, as_version=4)
    notebook.metadata.kernelspec = {"name": "fortran77", "display_name": "Fortran"}
    nbformat.write(notebook, path)
    with pytest.raises(NotebookUnreadable, match="fortran77"):
        run_notebook(path, tmp_path)


@pytest.mark.slow
def test_command_says_what_it_saw(tmp_path: Path) -> None:
    good, bad = (
        write(tmp_path / "good.ipynb", "1"),
        write(tmp_path / "bad.ipynb", "1 / 0"),
    )
    clean = CliRunner().invoke(app, ["run", str(good)])
    assert (clean.exit_code, clean.stdout) == (
        0,
        f"{good}: every cell ran as it should\n",
    )
    dirty = CliRunner().invoke(app, ["run", str(good), str(bad)])
    assert dirty.exit_code == 1
    assert f"{bad}: cell 1: raises ZeroDivisionError" in dirty.stdout


def test_command_fails_clearly_on_a_missing_file(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["run", str(tmp_path / "missing.ipynb")])
    assert result.exit_code == 2
    assert "missing.ipynb" in result.stderr
