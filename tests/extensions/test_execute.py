"""Pages executed before the build: rendered as they were executed, and never a failing one."""

from pathlib import Path

import pytest
from books import make_tiny_book

from extensions.execute import execute
from extensions.execution import cache_folder

pytestmark = pytest.mark.slow

CELL = 'print("there are", len(items), "items")'


def test_the_build_renders_what_was_executed_and_runs_what_failed(
    tmp_path: Path,
) -> None:
    book = make_tiny_book(tmp_path / "book")
    book.replace(CELL, "import uuid; print(uuid.uuid4())")
    book.add_page("broken", CELL, "1 / 0")
    cache = cache_folder(book.root, book.html)

    reports = dict(execute(book.root, cache))
    assert reports.keys() == {book.page, book.page.with_name("broken.md")}
    assert reports[book.page].ok
    [finding] = reports[book.page.with_name("broken.md")].findings[:1]
    assert "ZeroDivisionError" in str(finding)
    drawn = next(
        output.text
        for cell in reports[book.page].notebook.cells
        for output in cell.get("outputs", [])
        if "uuid4" in cell.source
    )

    built = book.build()
    assert drawn.strip() in (book.html / "chapters/start/batches.html").read_text()
    assert built.returncode != 0
    assert "ZeroDivisionError" in built.stdout + built.stderr

    again = dict(execute(book.root, cache))
    assert again.keys() == {book.page.with_name("broken.md")}
