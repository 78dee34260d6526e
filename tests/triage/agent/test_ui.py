"""The page in a real browser, by keyboard alone, with reloads and a server that is killed."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browsing import open_browser
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect

from triage.agent.desk import APPROVAL, Order
from triage.agent.running import APPROVER, CUSTOMER, Running, desk_in

pytestmark = [pytest.mark.slow, pytest.mark.needs("chromium")]

DEAR = Order(
    "LR-22222", "C-1", "tent", APPROVAL + 8_000, "packed", "Friday", held=False
)
CHEAP = Order("LR-11111", "C-1", "lamp", 2_500, "packed", "Monday", held=False)
HOSTILE = "<img src=x onerror=\"document.title='broken in'\">"
ASKS = f"The tent of LR-22222 is broken, I want my money back. {HOSTILE}"
STOP = 12
"""Words of the reply after which the scripted writer waits for a file."""

expect.set_options(timeout=20_000)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_browser() as browser:
        yield browser


class Desk:
    """A server with a script that can be made to stop in the middle of its reply."""

    def __init__(self, folder: Path):
        self.go_on = folder / "go-on"
        script = {"pace": 0.06, "stop": STOP, "until": str(self.go_on)}
        self.desk = desk_in(folder, [DEAR, CHEAP], script)
        options = ["--script", str(folder / "script.json"), "--beat", "1"]
        self.server = Running(folder, *options)

    def kinds(self) -> list[str]:
        return [effect.kind for effect in self.desk.effects()]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path / "desk")
    with desk.server:
        yield desk


@pytest.fixture
def faults() -> Iterator[list[str]]:
    found: list[str] = []
    yield found
    assert found == []


def open_page(
    browser: Browser, desk: Desk, faults: list[str], **options: Any
) -> tuple[BrowserContext, Page]:
    """A page of its own session, whose every fault is noted."""
    context = browser.new_context(**options)
    page = context.new_page()

    def on_console(message: Any) -> None:
        lost = "net::ERR" in message.text or "401" in message.text
        if message.type in ("error", "warning") and not lost:
            faults.append(message.text)

    page.on("console", on_console)
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on(
        "request",
        lambda request: (
            None
            if request.url.startswith((f"{desk.server.address}/", "data:"))
            else faults.append(f"asks another host: {request.url}")
        ),
    )
    page.on("dialog", lambda dialog: faults.append(f"a dialog: {dialog.message}"))
    page.goto(desk.server.address)
    return context, page


def type_in(page: Page, token: str) -> None:
    """Sign in by keyboard."""
    expect(page.get_by_label("Your token")).to_be_focused()
    page.keyboard.type(token)
    page.keyboard.press("Enter")


def tab_to(page: Page, target: Locator, most: int = 12) -> None:
    for _ in range(most):
        if target.evaluate("element => element === document.activeElement"):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"Tab does not reach {target}")


def shown(page: Page) -> dict[str, Any]:
    """All that the page shows of a thread."""
    return page.evaluate(
        """() => Object.fromEntries(
          ['ticket', 'steps', 'outcome', 'trouble', 'reply', 'state'].map(
            id => [id, document.getElementById(id).textContent]))"""
    )


def settled(page: Page) -> None:
    """Until what was missed has been replayed."""
    expect(page.locator("body")).to_have_attribute("data-live", "true")


def test_a_refund_by_keyboard_alone(
    browser: Browser, desk: Desk, faults: list[str]
) -> None:
    _, page = open_page(browser, desk, faults)
    type_in(page, CUSTOMER)
    expect(page.get_by_label("What can we do for you?")).to_be_focused()
    page.keyboard.type(ASKS)
    tab_to(page, page.get_by_role("button", name="Send"))
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Your message")).to_be_focused()
    expect(page.locator("#state")).to_contain_text("has to approve")
    assert desk.kinds() == ["hold"]
    assert page.locator("dialog:visible").count() == 0  # not for customers

    _, other = open_page(browser, desk, faults)
    type_in(other, APPROVER)
    decide = other.get_by_role("button", name="Decide about order LR-22222")
    expect(decide).to_be_visible()
    tab_to(other, decide)
    other.keyboard.press("Enter")
    dialog = other.get_by_role("dialog", name="Pay this order back?")
    expect(dialog).to_be_visible()
    expect(dialog).to_contain_text("180.00")
    expect(dialog.get_by_role("button", name="Decide later")).to_be_focused()
    other.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(decide).to_be_focused()
    other.keyboard.press("Enter")
    tab_to(other, dialog.get_by_role("button", name="Pay it back"))
    other.keyboard.press("Enter")
    expect(dialog).to_be_hidden()
    expect(other.get_by_text("Nothing to decide.")).to_be_visible()

    expect(page.locator("#outcome")).to_contain_text("refunded 180.00")
    expect(page.locator("#reply")).to_contain_text("You wrote: The tent")
    expect(page.locator("#reply")).to_have_attribute("aria-busy", "true")
    desk.go_on.touch()
    expect(page.locator("#state")).to_have_text("Answered.")
    expect(page.locator("#reply")).to_have_attribute("aria-busy", "false")
    expect(page.locator("#reply")).to_contain_text(HOSTILE)  # as text
    assert page.locator("#reply img, blockquote img").count() == 0
    assert page.title() != "broken in"
    assert desk.kinds() == ["hold", "refund"]


def test_a_reload_and_a_killed_server_lose_nothing(
    browser: Browser, desk: Desk, faults: list[str]
) -> None:
    _, page = open_page(browser, desk, faults)
    type_in(page, CUSTOMER)
    expect(page.get_by_label("What can we do for you?")).to_be_focused()
    page.keyboard.type("The lamp of LR-11111 is broken, I want my money back.")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#reply")).to_contain_text("You wrote: The lamp of LR-11111")
    before = shown(page)
    assert "Answered" not in before["state"]

    page.reload()
    settled(page)
    assert shown(page) == before
    assert page.locator("#log").text_content() == ""  # what is old is not read out

    desk.server.kill()
    expect(page.locator("#line")).to_contain_text("Trying again")
    assert shown(page) == before  # what is known stays readable
    desk.server.start()
    settled(page)
    expect(page.locator("#line")).to_have_text("Connected.")
    expect(page.locator("#reply")).to_have_text(before["reply"].strip())
    desk.go_on.touch()
    expect(page.locator("#state")).to_have_text("Answered.")
    assert page.locator("#reply").text_content().count("Thank you") == 1  # type: ignore[union-attr]

    after = shown(page)
    page.reload()
    expect(page.locator("#state")).to_have_text("Answered.")
    assert shown(page) == after
    assert desk.kinds() == ["hold", "refund"]
