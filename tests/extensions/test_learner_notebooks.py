"""Learner notebooks: no MyST left over, nothing of the page lost, and what cannot be said refused."""

import re
from pathlib import Path

import nbformat
import pytest
from books import TinyBook, make_tiny_book

from extensions.notebooks import main


@pytest.fixture
def book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TinyBook:
    monkeypatch.chdir(tmp_path)
    return make_tiny_book(tmp_path)


def convert(book: TinyBook) -> nbformat.NotebookNode:
    assert main(["chapters", "out"]) == 0
    notebook = nbformat.read(
        book.root / "out" / "start" / "batches.ipynb", as_version=4
    )
    nbformat.validate(notebook)
    return notebook


def prose(notebook: nbformat.NotebookNode) -> str:
    return "\n\n".join(
        cell.source for cell in notebook.cells if cell.cell_type == "markdown"
    )


def test_no_myst_is_left(book: TinyBook) -> None:
    text = prose(convert(book))
    assert not re.search(
        r"^\s*[`:]{3,}\{|\{[\w:-]+\}`|^\(.*\)=$|^:\w+:", text, flags=re.MULTILINE
    ), text


def test_code_cells_are_those_of_the_page(book: TinyBook) -> None:
    cells = [cell for cell in convert(book).cells if cell.cell_type == "code"]
    page = re.findall(
        r"```\{code-cell\} ipython3\n(?::tags:[^\n]*\n)?(.*?)\n```",
        book.page.read_text("utf-8"),
        re.DOTALL,
    )
    assert [cell.source for cell in cells] == page
    assert cells[1].metadata.tags == ["raises-exception"]


def test_promises_stand_under_the_title(book: TinyBook) -> None:
    first = convert(book).cells[0].source
    assert first.startswith("# Batches\n\n> **You know** A queue worker")
    assert "> - Split a list into batches" in first
    assert "> **Time** 10 minutes" in first


def test_quoted_code_is_really_there(book: TinyBook) -> None:
    text = prose(convert(book))
    assert "```python\ndef halve(items):\n    middle = len(items) // 2\n" in text
    assert "region" not in text
    assert "def last" not in text


def test_solution_is_folded_and_closed_in_every_cell(book: TinyBook) -> None:
    book.replace(
        "Adding `size - 1` first",
        "Think.\n\n```{code-cell} ipython3\nsize = 3\n```\n\nAdding `size - 1` first",
    )
    notebook = convert(book)
    for cell in notebook.cells:
        assert cell.source.count("<details>") == cell.source.count("</details>")
    assert "<b>Solution to Exercise 1: Count the batches</b>" in prose(notebook)
    folded = [
        cell.source
        for cell in notebook.cells
        if cell.metadata.get("jupyter", {}).get("source_hidden")
    ]
    assert "size = 3" in folded
    assert any("check_batches(batches_solution)" in source for source in folded)
    assert not any("def batches(n, size)" in source for source in folded)


def test_picture_comes_along(book: TinyBook) -> None:
    cell = convert(book).cells[0]
    assert "![An arrow from left to right](attachment:arrow.svg)" in cell.source
    assert list(cell.attachments["arrow.svg"]) == ["image/svg+xml"]


def test_admonition_citation_and_sources(book: TinyBook) -> None:
    text = prose(convert(book))
    assert "> **Note**\n>\n> A batch may be short." in text
    assert (
        'batching ([source](https://example.org/handbook "The Batch Handbook")).'
        in text
    )
    assert (
        "- Jane Doe. *The Batch Handbook*. 2026. <https://example.org/handbook>. Checked 2026-11-22."
        in text
    )


def test_links_lead_to_notebooks(book: TinyBook) -> None:
    book.add_page(
        "other",
        "Home, to {doc}`/intro`.",
        "See [this](batches.md#exercises), {doc}`batches`, [](batches.md).",
    )
    convert(book)
    other = prose(
        nbformat.read(book.root / "out" / "start" / "other.ipynb", as_version=4)
    )
    assert (
        "See [this](batches.ipynb#exercises), [Batches](batches.ipynb), [Batches](batches.ipynb)."
        in other
    )
    assert "Back to the front page." in other  # which is no notebook


def test_writing_twice_gives_the_same_bytes(book: TinyBook) -> None:
    convert(book)
    first = (book.root / "out" / "start" / "batches.ipynb").read_bytes()
    convert(book)
    assert (book.root / "out" / "start" / "batches.ipynb").read_bytes() == first


@pytest.mark.parametrize(
    ("old", "new", "finding"),
    [
        (
            '"# region halve"',
            '"# region third"',
            "batches.md:25: cannot quote ../../code.py",
        ),
        (
            "{note}",
            "{tab-set}",
            "batches.md:16: {tab-set} has no form in a learner notebook",
        ),
        (
            "{math}`p",
            "{eq}`p",
            "batches.md:36: the role {eq} has no form in a learner notebook",
        ),
        (
            "arrow.svg",
            "bow.svg",
            "batches.md:20: no picture bow.svg in assets/pictures/",
        ),
        (
            "`handbook`",
            "`manual`",
            "batches.md:14: cites 'manual', which references.bib does not have",
        ),
        (
            "{solution-start} last-one",
            "{solution-start} none",
            "the solution names 'none'",
        ),
    ],
)
def test_what_cannot_be_translated_stops_before_anything_is_written(
    book: TinyBook, capsys: pytest.CaptureFixture[str], old: str, new: str, finding: str
) -> None:
    book.add_page("zebra", "time: 10", "time: 11")
    book.replace(old, new)
    assert main(["chapters", "out"]) == 1
    assert finding in capsys.readouterr().out
    assert not (book.root / "out").exists()


@pytest.mark.parametrize("arguments", [[], ["chapters"], ["nowhere", "out"]])
def test_command_cannot_run(
    book: TinyBook, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    assert main(arguments) == 2
    assert capsys.readouterr().err
