"""Photograph the built site, for review and for the README's picture:

    python tests/screenshots.py _build/html FOLDER [PAGE ...]

Each page (default: the front page and the first chapter) is taken in both themes, at desktop and at phone
width, down to 10,000 pixels from its top. Exit status 0, or 2 when a page is not there.
"""

import sys
from pathlib import Path
from typing import Literal

from browsing import open_browser, serve
from playwright.sync_api import FloatRect, ViewportSize

PAGES = ["intro.html", "chapters/start/the-pivot.html"]
THEMES: list[Literal["light", "dark"]] = ["light", "dark"]
TALLEST = 10_000  # Chromium leaves what lies much further down blank
SCREENS: dict[str, ViewportSize] = {
    "desktop": {"width": 1440, "height": 900},
    "phone": {"width": 390, "height": 844},
}


def photograph(site: Path, folder: Path, pages: list[str]) -> list[Path]:
    """Write one PNG per page, theme and width, and give their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    pictures = []
    with serve(site) as address, open_browser() as browser:
        for theme in THEMES:
            for device, screen in SCREENS.items():
                context = browser.new_context(
                    viewport=screen, color_scheme=theme, device_scale_factor=1.5
                )
                page = context.new_page()
                for name in pages:
                    page.goto(f"{address}/{name}")
                    page.evaluate("document.fonts.ready")
                    path = folder / f"{Path(name).stem}-{device}-{theme}.png"
                    height = page.evaluate("document.documentElement.scrollHeight")
                    area: FloatRect = {
                        "x": 0,
                        "y": 0,
                        "width": screen["width"],
                        "height": min(height, TALLEST),
                    }
                    page.screenshot(path=path, full_page=True, clip=area)
                    pictures.append(path)
                context.close()
    return pictures


def main(arguments: list[str]) -> int:
    if len(arguments) < 2:
        print(__doc__, file=sys.stderr)
        return 2
    site, folder, *pages = arguments
    missing = [page for page in pages or PAGES if not (Path(site) / page).is_file()]
    if missing:
        print(
            f"{site} has no {', '.join(missing)}: run make book first or name other pages",
            file=sys.stderr,
        )
        return 2
    for path in photograph(Path(site), Path(folder), pages or PAGES):
        print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
