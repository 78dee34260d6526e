"""Pictures drawn into the page: they carry their words, keep their ids to themselves and load nothing."""

from pathlib import Path

import pytest

from extensions.picture import inline_svg

OPENING = (
    '<svg xmlns="http://www.w3.org/2000/svg" '
    'xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="0 0 2 2">'
)


def draw(tmp_path: Path, body: str, alt: str = "a shape") -> str:
    path = tmp_path / "shape.svg"
    path.write_text(
        f"<?xml version='1.0'?>\n<!-- drawn by hand -->\n{OPENING}{body}</svg>",
        encoding="utf-8",
    )
    return inline_svg(path, alt)


def test_screen_readers_hear_the_words(tmp_path: Path) -> None:
    svg = draw(tmp_path, "<path/>", 'a "wide" <line>')
    assert svg.startswith('<svg xmlns="http://www.w3.org/2000/svg"')
    assert 'role="img"' in svg
    assert 'aria-label="a &quot;wide&quot; &lt;line&gt;"' in svg


def test_ids_and_what_refers_to_them_get_the_name_of_the_file(tmp_path: Path) -> None:
    svg = draw(
        tmp_path,
        '<g id="a"/><use href="#a"/><use xlink:href="#a"/><path style="fill: url(#a)"/>',
    )
    assert 'id="shape-a"' in svg
    assert svg.count('href="#shape-a"') == 2
    assert "url(#shape-a)" in svg


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ("<path>", "not well-formed"),
        ("<script>alert(1)</script>", "contains a script"),
        ('<image href="https://example.org/x.png"/>', "brings everything it shows"),
    ],
)
def test_what_is_no_picture_is_refused(tmp_path: Path, body: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        draw(tmp_path, body)


def test_another_root_is_refused(tmp_path: Path) -> None:
    (tmp_path / "page.svg").write_text("<html/>", encoding="utf-8")
    with pytest.raises(ValueError, match="its root is not <svg"):
        inline_svg(tmp_path / "page.svg", "a page")
