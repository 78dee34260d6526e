"""Every page of the built site in a real browser: quiet, self-contained, readable on a phone, and usable."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from browsing import faults, open_browser, serve
from playwright.sync_api import Browser, BrowserContext, Page, ViewportSize, expect

pytestmark = [
    pytest.mark.slow,
    pytest.mark.needs("chromium"),
    pytest.mark.xdist_group("book"),
]

DESKTOP: ViewportSize = {"width": 1440, "height": 900}
PHONE: ViewportSize = {"width": 360, "height": 740}
FRONT = "intro.html"  # index.html only forwards to it
NOT_PAGES = {"index.html", "genindex.html"}  # a redirect, and an index without entries

SOUND = (
    "<!doctype html><html lang=en><title>Page</title>"
    "<link rel=icon href=data:,><h1>Title</h1><p>Text.</p>"
)


@pytest.fixture(scope="module")
def address(site: Path) -> Iterator[str]:
    with serve(site) as address:
        yield address


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_browser() as browser:
        yield browser


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context(viewport=DESKTOP, color_scheme="light")
    yield context
    context.close()


@pytest.fixture
def phone(browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context(viewport=PHONE, color_scheme="dark", has_touch=True)
    yield context
    context.close()


@pytest.fixture(scope="module")
def pages(site: Path) -> list[str]:
    names = {path.relative_to(site).as_posix() for path in site.rglob("*.html")}
    assert FRONT in names
    assert any(name.startswith("chapters/") for name in names)
    return sorted(name for name in names - NOT_PAGES if not name.startswith("_static/"))


@pytest.mark.parametrize("device", ["context", "phone"])
def test_no_page_has_a_fault(
    device: str, request: pytest.FixtureRequest, address: str, pages: list[str]
) -> None:
    context = request.getfixturevalue(device)
    found = [fault for name in pages for fault in faults(context, address, name)]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("addition", "fault"),
    [
        ("", ""),
        ("<script>console.error('lost')</script>", "console error: lost"),
        ("<script>nothing.here</script>", "script error: nothing is not defined"),
        ("<script src=gone.js></script>", "answer 404"),
        (
            "<link rel=stylesheet href=http://192.0.2.1/a.css>",
            "asks another host: http://192.0.2.1/a.css",
        ),
        ("<p style='width: 500px'>wide</p>", "wide on a screen of 360"),
        ("<img src=data:,>", "no text alternative"),
        (
            "<article><img alt=../_images/ab12.png src=data:,></article>",
            "no text alternative",
        ),
        ("<svg role=img></svg>", "no text alternative"),
        ("<img alt=Plot src=data:image/png;base64,AAAA>", "image does not load"),
        ("<h1>Another</h1>", "2 visible headings"),
    ],
)
def test_each_fault_is_seen(
    phone: BrowserContext, tmp_path: Path, addition: str, fault: str
) -> None:
    (tmp_path / "page.html").write_text(SOUND + addition, encoding="utf-8")
    with serve(tmp_path) as address:
        found = "\n".join(faults(phone, address, "page.html"))
    assert fault in found
    assert bool(found) == bool(fault), found


def test_the_start_page_forwards_to_the_front_page(
    context: BrowserContext, address: str
) -> None:
    page = context.new_page()
    page.goto(f"{address}/index.html")
    page.wait_for_url(f"{address}/{FRONT}")
    expect(page.locator("h1:visible")).to_contain_text("The Pivot")


def test_the_theme_switch_changes_the_ground_and_is_remembered(
    context: BrowserContext, address: str
) -> None:
    page = context.new_page()
    page.goto(f"{address}/{FRONT}")
    html = page.locator("html")
    light = _ground(page)
    for _ in range(3):  # light, dark and automatic, wherever it starts
        page.locator(".theme-switch-button:visible").click()
        if html.get_attribute("data-mode") == "dark":
            break
    expect(html).to_have_attribute("data-theme", "dark")
    dark = _ground(page)
    assert dark != light
    page.reload()
    expect(html).to_have_attribute("data-theme", "dark")
    assert _ground(page) == dark


def test_a_reader_whose_system_is_dark_gets_dark(
    phone: BrowserContext, address: str
) -> None:
    page = phone.new_page()
    page.goto(f"{address}/{FRONT}")
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")


def test_search_finds_a_word_of_the_course(
    context: BrowserContext, address: str
) -> None:
    page = context.new_page()
    page.goto(f"{address}/{FRONT}")
    page.keyboard.press("Control+k")
    page.locator(".search-button__search-container input").fill("pipeline")
    page.keyboard.press("Enter")
    page.wait_for_url(f"{address}/search.html?q=pipeline*")
    expect(
        page.locator("#search-results li a[href*='chapters/']").first
    ).to_be_visible()


def test_folded_solutions_open(
    context: BrowserContext, address: str, site: Path, pages: list[str]
) -> None:
    folded = [
        name
        for name in pages
        if 'class="solution' in (site / name).read_text(encoding="utf-8")
    ]
    assert folded
    page = context.new_page()
    for name in folded:
        page.goto(f"{address}/{name}")
        for solution in page.locator("div.solution").all():
            answer = solution.locator(".cell_input").first
            expect(answer).to_be_hidden()
            solution.locator("button.toggle-button").click()
            expect(answer).to_be_visible()


def test_the_keyboard_can_skip_to_the_text(
    context: BrowserContext, address: str
) -> None:
    page = context.new_page()
    page.goto(f"{address}/{FRONT}")
    page.keyboard.press("Tab")
    skip = page.locator("#pst-skip-link a")
    expect(skip).to_be_focused()
    expect(skip).to_be_in_viewport()
    page.keyboard.press("Enter")
    page.wait_for_url("**/*#main-content")


def test_the_contents_open_on_a_phone(phone: BrowserContext, address: str) -> None:
    page = phone.new_page()
    page.goto(f"{address}/{FRONT}")
    link = page.locator(".bd-sidebar-primary nav a[href*='chapters/']").first
    expect(link).not_to_be_in_viewport()
    page.locator("button.primary-toggle:visible").click()
    expect(link).to_be_in_viewport()
    link.click()
    page.wait_for_url(f"{address}/chapters/**")


def _ground(page: Page) -> str:
    return page.evaluate("getComputedStyle(document.body).backgroundColor")
