"""A built site behind a local server, and a browser to look at it: for the tests and for the screenshots."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Request,
    Response,
    sync_playwright,
)

CHROMIUM = "/usr/bin/chromium"
QUIET = [  # the sandbox needs privileges a container lacks; the rest keeps the browser itself off the network
    "--no-sandbox",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-sync",
    "--no-first-run",
]

# Each gives a list of sentences, empty when all is well.
OVERFLOWING = """() => {
  const width = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth <= width) return [];
  const scrolls = element => element && element !== document.body
    && (getComputedStyle(element).overflowX !== 'visible' || scrolls(element.parentElement));
  const culprits = [...document.body.querySelectorAll('main *, body > *')]
    .filter(element => element.getBoundingClientRect().right > width + 1 && !scrolls(element.parentElement))
    .map(element => `<${element.tagName.toLowerCase()}> ${element.textContent.trim().slice(0, 40)}`);
  return [`${document.documentElement.scrollWidth} px wide on a screen of ${width}: ${culprits.slice(0, 3)}`];
}"""
UNDESCRIBED = """() => [
  ...[...document.querySelectorAll('article img')]
    .filter(image => !image.alt.trim() || image.alt.includes('_images/'))  // a file's path describes nothing
    .map(image => image.src),
  ...[...document.querySelectorAll('img:not([alt])')].map(image => image.src),
  ...[...document.querySelectorAll('svg[role=img]:not([aria-hidden=true])')]
    .filter(drawing => !drawing.getAttribute('aria-label')?.trim())
    .map(drawing => drawing.outerHTML.slice(0, 80)),
].map(image => `no text alternative: ${image}`)"""
MISSING = """() => [...document.images]
  .filter(image => image.complete && !image.naturalWidth)
  .map(image => `image does not load: ${image.src}`)"""


class _SilentHandler(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: a request per asset would bury the report."""


@contextmanager
def serve(site: Path) -> Iterator[str]:
    """Serve the folder on a free local port and give its address, without a slash at the end."""
    with ThreadingHTTPServer(
        ("127.0.0.1", 0), partial(_SilentHandler, directory=site)
    ) as server:
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def open_browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        try:
            yield browser
        finally:
            browser.close()


def faults(context: BrowserContext, address: str, name: str) -> list[str]:
    """Open a page and say what is wrong with it, one sentence each.

    Faults are errors, requests to other hosts, missing or undescribed images, content wider than the screen
    and any number of visible level-1 headings but one.
    """
    found: list[str] = []

    def on_console(message: ConsoleMessage) -> None:
        if message.type == "error":
            found.append(f"console error: {message.text}")

    def on_request(request: Request) -> None:
        if not request.url.startswith((f"{address}/", "data:")):
            found.append(f"asks another host: {request.url}")

    def on_response(response: Response) -> None:
        if response.status >= 400:
            found.append(f"answer {response.status}: {response.url}")

    page = context.new_page()
    page.on("console", on_console)
    page.on("pageerror", lambda error: found.append(f"script error: {error}"))
    page.on("request", on_request)
    page.on("response", on_response)
    page.goto(f"{address}/{name}", wait_until="networkidle")
    for question in (OVERFLOWING, UNDESCRIBED, MISSING):
        found += page.evaluate(question)
    headings = page.locator("h1:visible").count()
    if headings != 1:
        found.append(f"{headings} visible headings of level 1")
    page.close()
    return [f"{name}: {fault}" for fault in found]
