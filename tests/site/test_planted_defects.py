"""Each gate is proven able to fail: a defect in an otherwise right book turns it red and is named."""

import re
import subprocess
from pathlib import Path

import pytest
from books import TinyBook, make_tiny_book

pytestmark = [
    pytest.mark.slow,
    pytest.mark.xdist_group("defects"),
]  # one worker, so one book full of them

CELL = 'print("there are", len(items), "items")'
CONTRACT = "extensions.page_contract"

# Name of the page: what is planted, what comes in its place, what the warning must say.
IN_A_BUILD = {
    "raises": (CELL, "1 / 0", "ZeroDivisionError"),
    "exits-early": (CELL, "import sys; sys.exit(0)", "SystemExit"),
    "link-to-no-page": ("../../intro.md", "../../outro.md", "outro.md"),
    "link-to-no-heading": ("(#break-it-on-purpose)", "(#break-it)", "break-it"),
    "role-to-no-page": ("{doc}`/intro`", "{doc}`/outro`", "outro"),
    "region-gone": ('"# region halve"', '"# region third"', "# region third"),
    "file-gone": ("../../code.py", "../../gone.py", "gone.py"),
    "picture-gone": ("arrow.svg", "bow.svg", "bow.svg does not exist"),
    "picture-without-words": (
        ":alt: An arrow from left to right\n",
        "",
        "has no :alt:",
    ),
    "no-formula": ("p = n / N", r"\nosuch{p}", "the formula cannot be drawn"),
    "no-front-matter-key": ("you-know:", "you-no:", "`you-know` is missing"),
    "no-section": (
        "## What breaks in production",
        "## Trouble",
        "no section `## What breaks in production`",
    ),
    "no-solution": (
        "{solution-start} count-",
        "{solution-start} miscount-",
        "has no solution",
    ),
    "no-such-source": ("`handbook`", "`manual`", "cites 'manual'"),
}


@pytest.fixture
def book(tmp_path: Path) -> TinyBook:
    return make_tiny_book(tmp_path / "book")


@pytest.fixture(scope="module")
def broken_build(
    tmp_path_factory: pytest.TempPathFactory,
) -> subprocess.CompletedProcess[str]:
    """One book with a page for each defect, beside a page without one."""
    book = make_tiny_book(tmp_path_factory.mktemp("defects") / "book")
    for name, (old, new, _) in IN_A_BUILD.items():
        book.add_page(name, old, new)
    return book.build()


def test_without_a_defect_every_gate_is_green(book: TinyBook) -> None:
    """Else a red gate below would prove nothing."""
    assert (book.run(CONTRACT).returncode, book.run(CONTRACT).stdout) == (0, "")
    built = book.build()
    assert built.returncode == 0, built.stdout + built.stderr
    checked = book.run("extensions.site_links", "_build/html")
    assert checked.returncode == 0, checked.stdout
    assert (
        book.run("extensions.notebooks", "chapters", "_build/notebooks").returncode == 0
    )
    ran = book.run("autograder", "run", "_build/notebooks/start/batches.ipynb")
    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.parametrize("name", IN_A_BUILD)
def test_build_blames_the_page_for_its_defect(
    broken_build: subprocess.CompletedProcess[str], name: str
) -> None:
    assert broken_build.returncode != 0
    warnings = re.split(
        r"^(?=\S*/chapters/start/)", broken_build.stderr, flags=re.MULTILINE
    )
    blamed = [
        warning for warning in warnings if re.match(rf"\S*/{name}\.md\b", warning)
    ]
    assert any(IN_A_BUILD[name][2] in warning for warning in blamed), (
        broken_build.stderr
    )


def test_build_leaves_the_good_page_alone(
    broken_build: subprocess.CompletedProcess[str],
) -> None:
    assert "batches.md" not in broken_build.stderr


def test_a_single_warning_turns_the_build_red(book: TinyBook) -> None:
    """A page without its front matter is nothing Sphinx itself would mind."""
    text = book.page.read_text("utf-8")
    book.page.write_text(text[text.index("# Batches") :], encoding="utf-8")
    built = book.build()
    assert built.returncode != 0
    assert "batches.md:1: WARNING: no front matter" in built.stderr


def test_page_is_executed_again_when_the_code_behind_it_changes(book: TinyBook) -> None:
    code = book.root / "triage" / "answer.txt"
    code.parent.mkdir()
    code.write_text("the first answer", encoding="utf-8")
    book.replace(CELL, f"print(open({str(code)!r}).read())")
    assert book.build().returncode == 0
    code.write_text("another answer", encoding="utf-8")
    assert book.build().returncode == 0
    assert "another answer" in (book.html / "chapters/start/batches.html").read_text(
        "utf-8"
    )


@pytest.mark.parametrize(
    ("cell", "named"),
    [
        ("1 / 0", "cell 1: raises ZeroDivisionError"),
        ("import sys; sys.exit(0)", "cell 1: ends the notebook early with sys.exit(0)"),
    ],
    ids=["a cell raises", "a cell exits early"],
)
def test_run_turns_red(book: TinyBook, cell: str, named: str) -> None:
    book.replace(CELL, cell)
    assert (
        book.run("extensions.notebooks", "chapters", "_build/notebooks").returncode == 0
    )
    ran = book.run("autograder", "run", "_build/notebooks/start/batches.ipynb")
    assert ran.returncode == 1
    assert f"batches.ipynb: {named}" in ran.stdout


def test_links_turn_red(book: TinyBook) -> None:
    """The checker sees what Sphinx does not: HTML written by hand, and whatever is loaded from elsewhere."""
    script = '<script src="https://cdn.example.org/x.js"></script>'
    assert (
        book.replace("A batch that", f'<a href="gone.html">A</a> batch {script} that')
        .build()
        .returncode
        == 0
    )
    checked = book.run("extensions.site_links", "_build/html")
    assert checked.returncode == 1
    assert (
        "batches.html: links to gone.html, which is not in the site" in checked.stdout
    )
    assert (
        "batches.html: loads https://cdn.example.org/x.js from elsewhere"
        in checked.stdout
    )
