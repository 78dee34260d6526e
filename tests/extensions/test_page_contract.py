"""The page contract: one planted defect per promise, and the line and advice it must come with."""

from pathlib import Path

import pytest
from books import TinyBook, make_tiny_book

from extensions.page_contract import check_book, main


@pytest.fixture
def book(tmp_path: Path) -> TinyBook:
    return make_tiny_book(tmp_path)


def findings(book: TinyBook) -> list[str]:
    return [
        str(finding).replace(f"{book.root}/", "") for finding in check_book(book.root)
    ]


def test_a_page_that_keeps_its_promises_has_no_finding(book: TinyBook) -> None:
    assert findings(book) == []


@pytest.mark.parametrize(
    ("old", "new", "finding"),
    [
        ("kernelspec:", "kernel:", ":1: without `jupytext`"),
        ("format_name: myst", "format_name: markdown", ":1: without `jupytext`"),
        ("you-know: A queue", "you-now: A queue", ":1: `you-know` is missing"),
        (
            "  - Split a list into batches\n",
            "",
            ":1: `you-will` has 1 outcomes; give 2 to 4",
        ),
        (
            "you-will:\n",
            "you-will: nothing\nwas:\n",
            ":1: `you-will` is missing or no list",
        ),
        ("time: 10", "time: ten", ":1: `time` is 'ten'"),
        ("time: 10", "time: true", ":1: `time` is True"),
        ("time: 10", "time: 0", ":1: `time` is 0"),
        (
            "needs: offline",
            "needs: luck",
            ":1: `needs` is 'luck'; choose one of offline, engine, cluster",
        ),
        ("needs: offline", "needs: [offline", "the front matter is not valid YAML"),
        ("# Batches\n", "Batches\n", ":1: 0 headings of level 1"),
        ("## Where next", "# Where next", "2 headings of level 1"),
        ("## Where next", "## Onwards", ":1: no section `## Where next`"),
        (
            "## Break it on purpose",
            "## Exercises",
            ":1: no section `## Break it on purpose`",
        ),
        (
            "## Where next",
            "## Where next\n\n## Afterthought",
            "the last sections are out of order",
        ),
        (
            ":label: count-batches\n",
            "",
            ":47: exercise 'Count the batches' has no `:label:`",
        ),
        (
            "{solution-start} last-one",
            "{solution-start} first-one",
            "exercise 'last-one' has no solution",
        ),
        (
            ":class: dropdown\n",
            "",
            "the solution of exercise 'count-batches' is not folded",
        ),
        ("check_batches(batches)\n", "", "exercise 'count-batches' has no self-check"),
        (
            "check_batches = Exercise",
            "check_batches = print",
            "exercise 'count-batches' has no self-check",
        ),
        (
            "check_last(last_size_solution)",
            "",
            "the solution of exercise 'last-one' does not call check_last",
        ),
        (
            "`handbook`",
            "`manual`",
            ":14: cites 'manual', which references.bib does not have",
        ),
        ("{footbibliography}", "{note}", ":14: cites sources but never lists them"),
        ('"# region halve"', '"# region third"', ":25: cannot quote ../../code.py"),
        (
            '"# region halve"',
            '"region hal"',
            ":25: cannot quote ../../code.py: no line says exactly 'region hal'",
        ),
        ("../../code.py", "../../gone.py", ":25: cannot quote ../../gone.py"),
        (
            "## Where next",
            "## Where next\n\n[there](gone.md)",
            "links to gone.md, which does",
        ),
        ("../../code.py", "../../wide.py", ":25: quotes a line of 96 characters"),
    ],
)
def test_broken_promise_on_a_page(
    book: TinyBook, old: str, new: str, finding: str
) -> None:
    seen = findings(book.replace(old, new))
    assert any(
        entry.startswith("chapters/start/batches.md:") and finding in entry
        for entry in seen
    ), seen


def test_a_page_needs_two_exercises(book: TinyBook) -> None:
    text = book.page.read_text("utf-8")
    first, second = (
        text.index("```{exercise} The last one"),
        text.index("## What breaks"),
    )
    book.page.write_text(text[:first] + text[second:], encoding="utf-8")
    (finding,) = findings(book)
    assert "1 exercises; give at least two" in finding


def test_without_front_matter_the_finding_says_where_to_get_it(book: TinyBook) -> None:
    text = book.page.read_text("utf-8")
    book.page.write_text(text[text.index("# Batches") :], encoding="utf-8")
    assert findings(book)[0].startswith(
        "chapters/start/batches.md:1: no front matter; begin the page with"
    )


@pytest.mark.parametrize(
    ("old", "new", "finding"),
    [
        (
            "  url = {https://example.org/handbook},\n",
            "",
            "references.bib:1: 'handbook' has no url",
        ),
        (
            "Checked 2026-11-22",
            "Seen last week",
            "references.bib:1: 'handbook' has no date",
        ),
        (
            "Checked 2026-11-22",
            "Checked 2026-13-45",
            "references.bib:1: 'handbook' has no date",
        ),
        (
            "@misc{handbook",
            "@misc{manual",
            "references.bib:1: 'manual' is cited nowhere",
        ),
    ],
)
def test_sources_are_linked_dated_and_used(
    book: TinyBook, old: str, new: str, finding: str
) -> None:
    seen = findings(book.replace(old, new, book.root / "references.bib"))
    assert any(entry.startswith(finding) for entry in seen), seen


def test_contents_and_pages_agree(book: TinyBook) -> None:
    book.page.rename(book.page.with_name("portions.md"))
    seen = findings(book)
    assert (
        "_toc.yml:1: lists chapters/start/batches.md, which does not exist; write it or take it out"
        in seen
    )
    assert any(
        entry.startswith("chapters/start/portions.md:1: is not in _toc.yml")
        for entry in seen
    )


def test_command(
    book: TinyBook, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(book.root)
    assert main([]) == 0
    assert main(["chapters"]) == 0
    assert capsys.readouterr().out == ""
    book.replace("time: 10", "time: soon")
    assert main(["chapters/start/batches.md"]) == 1
    assert capsys.readouterr().out.startswith(
        "chapters/start/batches.md:1: `time` is 'soon'"
    )


@pytest.mark.parametrize("content", [None, b"\xff\xfe"], ids=["missing", "not UTF-8"])
def test_command_cannot_read(
    book: TinyBook,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    content: bytes | None,
) -> None:
    monkeypatch.chdir(book.root)
    if content:
        (book.root / "page.md").write_bytes(content)
    assert main(["page.md"]) == 2
    assert "page.md" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["_toc.yml", "references.bib"])
def test_command_cannot_read_the_book(
    book: TinyBook,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
) -> None:
    monkeypatch.chdir(book.root)
    (book.root / name).write_text("@misc{broken, [", encoding="utf-8")
    assert main([]) == 2
    assert name in capsys.readouterr().err
