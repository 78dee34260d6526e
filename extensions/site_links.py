"""What a built site points at: every internal link must arrive, and nothing may be loaded from elsewhere.

    python -m extensions.site_links _build/html

Prints one line per finding. Exit status 0 if there is none, 1 if there is, 2 if the folder holds no page.
"""

import re
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from urllib.parse import unquote, urlsplit

from bs4 import BeautifulSoup

# What a browser fetches by itself; a link waits for the reader.
LOADED = {
    **dict.fromkeys(
        ["script", "img", "source", "iframe", "video", "audio", "embed"], "src"
    ),
    **dict.fromkeys(["image", "use"], "href"),
    "object": "data",
}
FETCHED_RELATIONS = {
    "stylesheet",
    "preload",
    "modulepreload",
    "prefetch",
    "preconnect",
    "icon",
    "manifest",
}


@dataclass(frozen=True)
class _Site:
    root: Path
    pages: dict[Path, BeautifulSoup]

    @classmethod
    def read(cls, root: Path) -> "_Site":
        pages = {
            page: BeautifulSoup(
                page.read_text(encoding="utf-8"),
                "html.parser",
                multi_valued_attributes=None,
            )
            for page in sorted(root.rglob("*.html"))
        }
        if not pages:
            raise FileNotFoundError(f"no page (*.html) under {root}")
        return cls(root, pages)

    @cached_property
    def anchors(self) -> dict[Path, set[str]]:
        return {
            page: {str(tag["id"]) for tag in document.select("[id]")}
            | {str(tag["name"]) for tag in document.select("a[name]")}
            for page, document in self.pages.items()
        }


def check_site(root: Path) -> list[str]:
    """All findings, as `page: message`. Raises FileNotFoundError if the folder holds no page."""
    site = _Site.read(root.resolve())
    findings = [
        f"{page.relative_to(site.root)}: {message}"
        for page in site.pages
        for message in _check_page(page, site)
    ]
    for sheet in sorted(site.root.rglob("*.css")):
        findings += [
            f"{sheet.relative_to(site.root)}: {message}"
            for message in _check_stylesheet(sheet)
        ]
    return findings


def _check_page(page: Path, site: _Site) -> Iterator[str]:
    document = site.pages[page]
    for link in document.select("a[href]"):
        yield from _check_internal(str(link["href"]), page, site)
    for tag, attribute in LOADED.items():
        for element in document.select(f"{tag}[{attribute}]"):
            yield from _check_loaded(str(element[attribute]), page, site)
    for link in document.select("link[href]"):
        fetched = FETCHED_RELATIONS & set(str(link.get("rel")).split())
        yield from (_check_loaded if fetched else _check_internal)(
            str(link["href"]), page, site
        )
    ours = document.select("article [id]")  # the theme's own frame is not ours to mend
    for name, count in Counter(str(tag["id"]) for tag in ours).items():
        if count > 1:
            yield f"has more than one element with the id '{name}'"


def _check_loaded(address: str, page: Path, site: _Site) -> Iterator[str]:
    parts = urlsplit(address)
    if parts.netloc or parts.scheme in {"http", "https"}:
        yield f"loads {address} from elsewhere; bring it along in assets/"
    else:
        yield from _check_internal(address, page, site)


def _check_internal(address: str, page: Path, site: _Site) -> Iterator[str]:
    parts = urlsplit(address)
    if parts.scheme or parts.netloc:
        return  # leads elsewhere, if the reader wants to go there
    path, anchor = unquote(parts.path), unquote(parts.fragment)
    base = site.root if path.startswith("/") else page.parent
    target = (base / path.lstrip("/")).resolve() if path else page
    if target.is_dir():
        target = target / "index.html"
    if not target.is_file():
        yield f"links to {address}, which is not in the site"
    elif anchor and anchor not in site.anchors.get(target, {anchor}):
        yield f"links to {address}, but that page has no element with the id '{anchor}'"


def _check_stylesheet(sheet: Path) -> Iterator[str]:
    text = re.sub(r"/\*.*?\*/", "", sheet.read_text(encoding="utf-8"), flags=re.DOTALL)
    for address in re.findall(
        r"url\(\s*['\"]?([^'\")]+)|@import\s+['\"]([^'\"]+)", text
    ):
        if urlsplit("".join(address)).netloc:
            yield f"loads {''.join(address)} from elsewhere; bring it along in assets/"


def main(arguments: list[str]) -> int:
    if len(arguments) != 1:
        print("usage: python -m extensions.site_links SITE", file=sys.stderr)
        return 2
    try:
        findings = check_site(Path(arguments[0]))
    except (OSError, ValueError) as error:
        print(f"site links: {error}; build the book first", file=sys.stderr)
        return 2
    print(
        "\n".join(findings)
        or "every internal link arrives, nothing is loaded from elsewhere"
    )
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
