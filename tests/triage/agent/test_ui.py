"""The page in a real browser, by keyboard alone, with reloads and a server that is killed."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browsing import OVERFLOWING, open_browser
from playwright.sync_api import (
    Browser,
    BrowserContext,
    Error,
    Locator,
    Page,
    Route,
    expect,
)

from triage.agent.desk import APPROVAL, Order
from triage.agent.events import folded
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
        planned = ("net::ERR", "401", "502")  # the browser's own words about an answer
        lost = any(each in message.text for each in planned)
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


def enter(page: Page, token: str) -> None:
    """Sign in by keyboard."""
    expect(page.get_by_label("Your token")).to_be_focused()
    page.keyboard.type(token)
    page.keyboard.press("Enter")


def send(page: Page, text: str) -> None:
    """Sign in as the customer and send, by keyboard."""
    enter(page, CUSTOMER)
    expect(page.get_by_label("What can we do for you?")).to_be_focused()
    page.keyboard.type(text)
    page.keyboard.press("Control+Enter")


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
    enter(page, CUSTOMER)
    expect(page.get_by_label("What can we do for you?")).to_be_focused()
    page.keyboard.type(ASKS)
    tab_to(page, page.get_by_role("button", name="Send"))
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Your message")).to_be_focused()
    expect(page.locator("#state")).to_contain_text("has to approve")
    assert desk.kinds() == ["hold"]
    assert page.locator("dialog:visible").count() == 0  # not for customers

    _, other = open_page(browser, desk, faults)
    enter(other, APPROVER)
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
    send(page, "The lamp of LR-11111 is broken, I want my money back.")
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


def test_the_reducers_agree(browser: Browser, desk: Desk, faults: list[str]) -> None:
    source = random.Random(7)
    stories = [[told(source) for _ in range(source.randrange(40))] for _ in range(400)]
    _, page = open_page(browser, desk, faults)
    views = page.evaluate(
        """async stories => {
          const { reduce, nothing } = await import('/reduce.js');
          return stories.map(story => story.reduce((a, b) => reduce(a, b), nothing()));
        }""",
        stories,
    )
    assert views == [folded(story) for story in stories]


def told(source: random.Random) -> dict[str, Any]:
    """Any event, also of a type or version that does not exist."""
    words = ["", "a", HOSTILE, "Ünïcödé 🌲", '"quoted"\n']
    event = {
        "v": 1 if source.random() < 0.99 else 2,
        "call": source.randrange(4),
        "attempt": source.randrange(3),
        "cents": source.randrange(10**6),
        "thread": source.choice("ab"),
        "how": source.choice(["answered", "cancelled", "failed"]),
        "again": source.random() < 0.5,
    }
    event |= {
        name: source.choice(words)
        for name in ("text", "tool", "said", "order", "message")
    }
    kinds = ["received", "tool_begun", "tool_ended", "approval_wanted", "token"]
    kinds += ["approval_given", "approval_denied", "outcome", "reply_begun", "error"]
    return event | {"type": source.choice([*kinds, "done", "applause"])}


def test_whole_sentences_are_spoken_once(
    browser: Browser, desk: Desk, faults: list[str]
) -> None:
    desk.go_on.touch()
    _, page = open_page(browser, desk, faults)
    send(page, "The lamp of LR-11111 is broken, I want my money back.")
    expect(page.locator("#state")).to_have_text("Answered.")
    log = page.get_by_role("log")
    expect(log).to_have_attribute("aria-live", "polite")
    lines = log.locator("p").all_text_contents()
    reply = page.locator("#reply").text_content() or ""
    sentences = [line for line in lines if line in reply]
    assert " ".join(sentences) == reply.strip()
    assert "Thank you for writing to Larch." in sentences
    assert "Done: Pay the order back, refunded 25.00." in lines


def test_a_double_click_and_a_lost_answer_are_one_ticket(
    browser: Browser, desk: Desk, faults: list[str]
) -> None:
    desk.go_on.touch()
    _, page = open_page(browser, desk, faults)
    sent: list[dict[str, str]] = []

    def once(route: Route) -> None:
        sent.append(route.request.post_data_json)
        if len(sent) == 1:
            route.fetch()  # it arrives, and the answer does not
            route.abort()
        else:
            route.continue_()

    page.route("**/threads", once)
    enter(page, CUSTOMER)
    field = page.get_by_label("What can we do for you?")
    field.fill("The lamp of LR-11111 is broken, I want my money back.")
    page.get_by_role("button", name="Send").click()
    expect(page.locator("#ask-error")).to_contain_text("Nothing is lost")
    page.reload()
    expect(field).to_have_value("The lamp of LR-11111 is broken, I want my money back.")
    page.get_by_role("button", name="Send").dblclick()
    expect(page.locator("#state")).to_have_text("Answered.")
    assert len({each["id"] for each in sent}) == 1
    assert desk.kinds() == ["hold", "refund"]


def test_a_gateway_that_answers_502_is_outlived(
    browser: Browser, desk: Desk, faults: list[str]
) -> None:
    desk.go_on.touch()
    _, page = open_page(browser, desk, faults)
    left = [502] * 4

    def down(route: Route) -> None:
        if left:
            route.fulfill(status=left.pop(), body="Bad gateway")
        else:
            route.continue_()

    page.route("**/events?*", down)
    send(page, "Where is LR-11111?")
    expect(page.locator("#line")).to_contain_text("Trying again")
    expect(page.locator("#state")).to_have_text("Answered.")
    assert not left


def test_a_session_that_has_ended_is_said(
    browser: Browser, desk: Desk, faults: list[str]
) -> None:
    context, page = open_page(browser, desk, faults)
    send(page, "The tent of LR-22222 is broken, I want my money back.")
    expect(page.locator("#state")).to_contain_text("has to approve")
    context.clear_cookies()
    desk.server.kill()
    desk.server.start()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    page.keyboard.type(CUSTOMER)
    page.keyboard.press("Enter")
    expect(page.locator("#state")).to_contain_text("has to approve")


def test_cancelled_and_denied_by_keyboard(
    browser: Browser, desk: Desk, faults: list[str]
) -> None:
    desk.go_on.touch()
    _, page = open_page(browser, desk, faults)
    send(page, "The tent of LR-22222 is broken, I want my money back.")
    expect(page.locator("#state")).to_contain_text("has to approve")
    tab_to(page, page.get_by_role("button", name="Cancel"))
    page.keyboard.press("Enter")
    expect(page.locator("#state")).to_have_text("Cancelled.")
    another = page.get_by_role("button", name="Write another message")
    expect(another).to_be_focused()  # the button that had the focus is gone
    page.keyboard.press("Enter")
    expect(page.get_by_label("What can we do for you?")).to_be_focused()
    page.keyboard.type("The tent of LR-22222 is broken, refund it.")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#state")).to_contain_text("has to approve")

    _, other = open_page(browser, desk, faults)
    enter(other, APPROVER)
    decide = other.get_by_role("button", name="Decide about order LR-22222").last
    tab_to(other, decide)
    other.keyboard.press("Enter")
    tab_to(other, other.get_by_role("button", name="Do not pay"))
    other.keyboard.press("Enter")
    expect(other.get_by_text("not paid back").last).to_be_attached()
    expect(page.locator("#outcome")).to_contain_text("A person said no.")
    assert "refund" not in desk.kinds()


def test_html_from_anybody_is_refused_by_the_policy(
    browser: Browser, desk: Desk
) -> None:
    _, page = open_page(browser, desk, [])
    with pytest.raises(Error, match="TrustedHTML"):
        page.evaluate("document.body.innerHTML = '<b>bold</b>'")


UNNAMED = """() => [...document.querySelectorAll('button, input, textarea, dialog, section')]
  .filter(element => {
    const by = element.getAttribute('aria-labelledby');
    const named = by ? document.getElementById(by)?.textContent
      : element.labels?.length ? element.labels[0].textContent : element.textContent;
    return !named?.trim();
  })
  .filter(element => element.checkVisibility())
  .map(element => element.outerHTML.slice(0, 80))"""
TWICE = """() => {
  const ids = [...document.querySelectorAll('[id]')].map(element => element.id);
  return ids.filter((id, at) => ids.indexOf(id) !== at);
}"""
PALE = """() => {
  const numbers = colour => colour.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map(c => c / 255)
    .map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
    .reduce((sum, c, at) => sum + c * [0.2126, 0.7152, 0.0722][at], 0);
  const ground = element => {
    for (let at = element; at; at = at.parentElement) {
      const colour = numbers(getComputedStyle(at).backgroundColor);
      if (colour.length < 4 || colour[3] > 0) return colour;
    }
    return [255, 255, 255];
  };
  return [...document.querySelectorAll('body *')]
    .filter(element => element.checkVisibility() && !element.closest('.unseen, .skip'))
    .filter(element => [...element.childNodes].some(n => n.nodeType === 3 && n.data.trim()))
    .map(element => {
      const pair = [light(numbers(getComputedStyle(element).color)), light(ground(element))];
      const ratio = (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05);
      return [ratio, element.outerHTML.slice(0, 80)];
    })
    .filter(([ratio]) => ratio < 4.5).map(([ratio, text]) => `${ratio.toFixed(2)}: ${text}`);
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everybody_can_read_it_on_320_pixels(
    browser: Browser, desk: Desk, faults: list[str], scheme: str
) -> None:
    options = {
        "viewport": {"width": 320, "height": 640},
        "color_scheme": scheme,
        "reduced_motion": "reduce",
    }

    def sound(page: Page) -> None:
        for question in (OVERFLOWING, UNNAMED, TWICE, PALE):
            assert page.evaluate(question) == []
        assert page.locator("h1:visible").count() == 1
        assert page.locator("html").get_attribute("lang") == "en"
        for landmark in ("banner", "main"):
            expect(page.get_by_role(landmark)).to_have_count(1)  # type: ignore[arg-type]

    _, page = open_page(browser, desk, faults, **options)
    expect(page.get_by_label("Your token")).to_be_focused()
    sound(page)
    enter(page, CUSTOMER)
    expect(page.get_by_label("What can we do for you?")).to_be_focused()
    sound(page)
    page.keyboard.type(f"The tent of LR-22222 is broken, refund. {'Much' * 40}")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#state")).to_contain_text("has to approve")
    sound(page)
    _, other = open_page(browser, desk, faults, **options)
    enter(other, APPROVER)
    other.get_by_role("button", name="Decide about order LR-22222").click()
    sound(other)
    other.get_by_role("button", name="Pay it back").click()
    expect(page.locator("#reply")).to_have_attribute("aria-busy", "true")
    blinking = (
        "getComputedStyle(document.getElementById('reply'), '::after').animationName"
    )
    assert page.evaluate(blinking) == "none"
    sound(page)


def test_the_focus_goes_through_the_page_in_its_order_and_is_seen(
    browser: Browser, desk: Desk, faults: list[str]
) -> None:
    _, page = open_page(browser, desk, faults)
    enter(page, CUSTOMER)
    expect(page.get_by_label("What can we do for you?")).to_be_focused()
    passed = []
    for key in ("Shift+Tab", "Shift+Tab", "Tab", "Tab", "Tab"):
        page.keyboard.press(key)
        passed.append(
            page.evaluate(
                """() => {
                  const at = document.activeElement, style = getComputedStyle(at);
                  const { top, bottom } = at.getBoundingClientRect();
                  const seen = top >= 0 && bottom <= innerHeight;
                  return [at.id || at.className, style.outlineStyle, seen];
                }"""
            )
        )
    order = ["leave", "skip", "leave", "text", "send"]
    assert passed == [[name, "solid", True] for name in order]
