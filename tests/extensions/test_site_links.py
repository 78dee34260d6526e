"""The link checker, on pages written for it: what must be found, and what must not."""

from pathlib import Path

import pytest

from extensions.site_links import check_site, main


def write(site: Path, **pages: str) -> Path:
    for name, body in pages.items():
        (site / f"{name}.html").write_text(
            f"<html><body><article>{body}</article></body></html>", encoding="utf-8"
        )
    return site


def test_links_that_arrive(tmp_path: Path) -> None:
    (tmp_path / "part").mkdir()
    (tmp_path / "part" / "index.html").write_text(
        "<a href='../one.html#two words'>back</a>", encoding="utf-8"
    )
    write(
        tmp_path,
        one='<h2 id="two words">x</h2><a href="#two%20words">x</a> <a href="part/">x</a> <a href="#">x</a>',
    )
    write(
        tmp_path,
        two='<a href="https://example.org/">out</a> <a href="mailto:a@example.org">mail</a>',
    )
    write(tmp_path, three='<img src="data:image/png;base64,AAAA">')
    assert check_site(tmp_path) == []


@pytest.mark.parametrize(
    ("body", "finding"),
    [
        ('<a href="gone.html">x</a>', "links to gone.html, which is not in the site"),
        (
            '<a href="#gone">x</a>',
            "links to #gone, but that page has no element with the id 'gone'",
        ),
        (
            '<a href="other.html#gone">x</a>',
            "links to other.html#gone, but that page has no element",
        ),
        ('<img src="gone.png">', "links to gone.png, which is not in the site"),
        (
            '<script src="https://example.org/x.js"></script>',
            "loads https://example.org/x.js from elsewhere",
        ),
        (
            '<script src="//example.org/x.js"></script>',
            "loads //example.org/x.js from elsewhere",
        ),
        (
            '<link rel="stylesheet" href="https://example.org/x.css">',
            "loads https://example.org/x.css",
        ),
        ('<p id="a"></p><p id="a"></p>', "has more than one element with the id 'a'"),
    ],
)
def test_findings_name_page_and_address(
    tmp_path: Path, body: str, finding: str
) -> None:
    (found,) = check_site(write(tmp_path, page=body, other=""))
    assert found.startswith("page.html: ")
    assert finding in found


def test_stylesheets_load_nothing_from_elsewhere(tmp_path: Path) -> None:
    write(tmp_path, page="")
    (tmp_path / "x.css").write_text(
        '/* url(https://a.org) */ @import "https://b.org/x.css"; a{src:url(https://c.org/f)}'
    )
    assert [line.split()[2] for line in check_site(tmp_path)] == [
        "https://b.org/x.css",
        "https://c.org/f",
    ]


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path)]) == 2
    assert "build the book first" in capsys.readouterr().err
    assert main([str(write(tmp_path, page=""))]) == 0
    assert main([str(write(tmp_path, page='<a href="gone.html">x</a>'))]) == 1
