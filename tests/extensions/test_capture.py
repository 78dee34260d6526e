"""Pages that need an engine: shown from a capture where there is none, and held against it where there is."""

from pathlib import Path

import nbformat
import pytest
from books import make_tiny_book
from jupyter_cache import get_cache
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_notebook, new_output

from autograder.notebooks import Report
from extensions import capture
from extensions.execute import keep, run_page
from extensions.execution import cache_folder
from pivot.capabilities import Part

CELL = 'print("there are", len(items), "items")'


def cell(text: str, source: str = "build()", count: int = 1) -> NotebookNode:
    output = new_output("stream", name="stdout", text=text)
    return new_code_cell(source, outputs=[output], execution_count=count)


def report(path: Path, *cells: NotebookNode) -> Report:
    return Report(path, new_notebook(cells=list(cells)))


@pytest.fixture
def page(tmp_path: Path) -> Path:
    path = tmp_path / "docker.md"
    capture.write(path, report(path, cell("built 3f9ac0de11 in 12.5 s\n412 MB")))
    return path


@pytest.mark.parametrize(
    "text",
    [
        "built 3f9ac0de11 in 12.5 s\n412 MB",
        "built 0123456789abcdef in 9 s\n1,024.7 MB",
        "built 3f9ac0de11   in 12.5 s\n\n  412    MB",
    ],
)
def test_figures_ids_and_spaces_may_differ(page: Path, text: str) -> None:
    assert list(capture.differences(page, report(page, cell(text)))) == []


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("pulled 3f9ac0de11 in 12.5 s\n412 MB", "'pulled #"),
        ("built 3f9ac0de11 in 12.5 s", "''"),
        ("built 3f9ac0de11 in 12.5 s\n412 MB killed", "'killed'"),
    ],
)
def test_words_may_not(page: Path, text: str, shown: str) -> None:
    [finding] = capture.differences(page, report(page, cell(text)))
    assert finding.cell == 1
    assert shown in finding.message
    assert "python -m extensions.capture docker.md" in finding.message


def test_a_picture_must_stay_one(page: Path) -> None:
    drawn = new_code_cell("draw()", execution_count=1)
    figure = {"image/png": "iVBO", "text/plain": "<Figure size 700x240>"}
    drawn.outputs = [new_output("display_data", data=figure)]
    capture.write(page, report(page, drawn))
    again = nbformat.from_dict(drawn)
    again.outputs = [new_output("display_data", data=figure | {"image/png": "other"})]
    assert list(capture.differences(page, report(page, again))) == []
    again.outputs = [new_output("display_data", data={"text/plain": "<Figure>"})]
    assert len(list(capture.differences(page, report(page, again)))) == 1


def test_a_capture_of_other_cells_is_outdated(page: Path) -> None:
    now = report(page, cell("built 1 in 2 s\n3 MB", source="build(faster=True)"))
    [finding] = capture.differences(page, now)
    assert "is of other cells" in finding.message
    [finding] = capture.restore(page, now.notebook).findings
    assert "is of other cells" in finding.message


def test_a_missing_capture_is_said_to_be_missing(tmp_path: Path) -> None:
    now = report(tmp_path / "new.md", cell("built"))
    [finding] = capture.differences(now.path, now)
    assert "new.captured.json is missing" in finding.message
    assert not capture.restore(now.path, now.notebook).ok


def test_a_restored_page_shows_what_was_captured(page: Path) -> None:
    blank = new_notebook(cells=[new_code_cell("build()")])
    restored = capture.restore(page, blank)
    assert restored.ok
    assert restored.notebook.cells[0].outputs[0].text.startswith("built 3f9ac0de11")


def test_a_captured_failure_is_not_passed_off_as_a_run(page: Path) -> None:
    failed = new_code_cell("1 / 0", execution_count=1)
    failed.outputs = [
        new_output("error", ename="ZeroDivisionError", evalue="", traceback=[])
    ]
    capture.write(page, report(page, failed))
    restored = capture.restore(page, new_notebook(cells=[new_code_cell("1 / 0")]))
    assert "ZeroDivisionError" in str(restored)


@pytest.mark.slow
def test_without_an_engine_the_site_shows_the_capture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    book = make_tiny_book(tmp_path / "book")
    book.replace("needs: offline", "needs: engine")
    book.replace(CELL, 'import os; print("engine", os.environ["SUCH_AN_ENGINE"])')
    monkeypatch.setenv("SUCH_AN_ENGINE", "ran once")
    monkeypatch.setattr(capture, "find", lambda name: Part(name, version="1"))

    first, _ = run_page(book.page, book.root)
    assert "batches.captured.json is missing" in str(first)
    capture.write(book.page, first)
    assert run_page(book.page, book.root)[0].ok
    monkeypatch.setenv("SUCH_AN_ENGINE", "has changed")
    assert "shows 'has changed'" in str(run_page(book.page, book.root)[0])

    monkeypatch.setattr(capture, "find", lambda name: Part(name))
    monkeypatch.delenv("SUCH_AN_ENGINE")
    restored, seconds = run_page(book.page, book.root)
    assert restored.ok, str(restored)
    assert seconds == 0.0

    path = cache_folder(book.root, book.html)
    keep(get_cache(path), book.page, restored, seconds)
    built = book.build()
    assert built.returncode == 0, built.stdout + built.stderr
    assert "engine ran once" in (book.html / "chapters/start/batches.html").read_text()


@pytest.mark.parametrize(
    ("page", "status", "said"),
    [
        ("needs: engine", 1, "No container engine answers"),
        ("needs: offline", 2, "needs no engine"),
    ],
)
def test_the_command_says_what_it_cannot_do(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    page: str,
    status: int,
    said: str,
) -> None:
    path = tmp_path / "page.md"
    path.write_text(f"---\n{page}\n---\n# A page\n")
    monkeypatch.setattr(capture, "find", lambda name: Part(name))
    assert capture.main([str(path)]) == status
    assert said in capsys.readouterr().err
    assert not capture.captured_path(path).exists()


def test_the_command_wants_a_page(capsys: pytest.CaptureFixture[str]) -> None:
    assert capture.main([]) == 2
    assert "Name the pages" in capsys.readouterr().err
