"""The site a reader gets: built without a warning, with its outputs, its links and nothing from elsewhere."""

from pathlib import Path

import pytest
from books import ROOT, Built
from bs4 import BeautifulSoup

from extensions.page import Page
from extensions.page_contract import pages_in
from extensions.site_links import check_site

pytestmark = [
    pytest.mark.slow,
    pytest.mark.xdist_group("book"),
]  # on the worker that has the site already

CHAPTERS = pages_in(ROOT / "chapters")


def test_book_builds_without_a_warning(built: Built) -> None:
    assert built.exit_code == 0, built.output


def test_every_link_arrives_and_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    assert check_site(site) == []


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_page_shows_its_contract_and_its_outputs(site: Path, path: Path) -> None:
    document = BeautifulSoup(
        (site / path.relative_to(ROOT).with_suffix(".html")).read_text("utf-8"),
        "html.parser",
    )
    contract = document.select_one("article .contract")
    assert contract is not None
    assert [term.get_text() for term in contract.select("dt")] == [
        "You know",
        "You will",
        "Time",
        "Needs",
    ]
    shown = [output.get_text() for output in document.select("article .cell_output")]
    drawn_as_text = [text for text in shown if "<Figure size" in text]
    assert drawn_as_text == [], "put %matplotlib inline before the first figure"
    exercises = [item for item in Page.read(path).directives if item.name == "exercise"]
    assert sum("Not yet:" in text for text in shown) >= len(exercises)
    assert sum("Right:" in text for text in shown) >= len(exercises)


def test_pages_load_only_what_they_use(site: Path) -> None:
    page = (site / CHAPTERS[0].relative_to(ROOT).with_suffix(".html")).read_text(
        "utf-8"
    )
    assert "copybutton.js" in page  # it shows code, which can be copied
    for unused in ("thebe", "all.min.js", "mathjax", "require.min.js"):
        assert unused not in page.lower()
    assert not list((site / "_static").rglob("*.map"))
