"""Every page of the book, as the notebook a learner gets, runs from its first cell to its last."""

from pathlib import Path

import nbformat
import pytest
from books import ROOT

from autograder.notebooks import run_notebook
from extensions.notebooks import Book, learner_notebook
from extensions.page_contract import check_book, toc_files

PAGES = [path for path in toc_files(ROOT) if path.parent != ROOT]


def test_contents_list_pages() -> None:
    assert PAGES, "a book without pages would pass every test below"


def test_every_page_keeps_the_contract() -> None:
    assert [str(finding) for finding in check_book(ROOT)] == []


@pytest.mark.slow
@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_page_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TRIAGE_HOME", "TRIAGE_DATA", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)  # the page uses the folder it runs in, and the embedded data
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    book = Book.read(ROOT, ROOT / "chapters")
    notebook = tmp_path / f"{path.stem}.ipynb"
    nbformat.write(learner_notebook(book.pages[path.resolve()], book), notebook)
    folder = tmp_path / "work"
    folder.mkdir()
    report = run_notebook(notebook, folder)
    assert report.ok, str(report)
