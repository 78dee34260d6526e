"""Every page of the book, as the notebook a learner gets, runs from its first cell to its last."""

from pathlib import Path

import pytest
from books import ROOT
from executed import TIMEOUT

from extensions.page_contract import check_book, toc_files

# With the site's tests on one worker: others would wait with it while the pages are executed.
pytestmark = pytest.mark.xdist_group("book")

PAGES = [path for path in toc_files(ROOT) if path.parent != ROOT]


def test_contents_list_pages() -> None:
    assert PAGES, "a book without pages would pass every test below"


def test_every_page_keeps_the_contract() -> None:
    assert [str(finding) for finding in check_book(ROOT)] == []


@pytest.mark.slow
@pytest.mark.timeout(TIMEOUT)
@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_page_runs(path: Path, findings: dict[str, list[str]]) -> None:
    assert findings[path.relative_to(ROOT).as_posix()] == []
