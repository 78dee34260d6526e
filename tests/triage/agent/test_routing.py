"""Routing: the cheapest answer that passes, no calls into an outage, and never more euros than allowed."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from triage.agent.budget import Price, Purse, Spent
from triage.agent.dialogues import TOOLS
from triage.agent.endpoint import Said
from triage.agent.routing import (
    Breaker,
    Route,
    Router,
    Unavailable,
    passing,
    wrong_with,
)
from triage.errors import TriageError

ASK = [{"role": "user", "content": "Where is LR-11111? I want my money back."}]
CHEAP, DEAR = Price(1, 4), Price(10, 40)


def call(name: str, **arguments: str) -> dict[str, Any]:
    function = {"name": name, "arguments": json.dumps(arguments)}
    calls = [{"id": "c1", "type": "function", "function": function}]
    return {"role": "assistant", "content": "", "tool_calls": calls}


GOOD = call("look_up_order", order="LR-11111")
BAD = call("look_up_order", order="LR-99999")


class Scripted:
    """Says what it was given, in turn; raises what is an exception. The last is repeated."""

    def __init__(self, *said: dict[str, Any] | Exception):
        self.said, self.calls = list(said), 0

    def say(self, messages: list, tools: list) -> Said:
        said = self.said[min(self.calls, len(self.said) - 1)]
        self.calls += 1
        if isinstance(said, Exception):
            raise said
        return Said(said, 100, 10)


@pytest.fixture
def purse(tmp_path: Path) -> Purse:
    return Purse(tmp_path / "spending.db", a_ticket=1.0, a_day=10.0)


def router(purse: Purse, cheap: Scripted, dear: Scripted) -> Router:
    routes = [Route("cheap", cheap, CHEAP), Route("dear", dear, DEAR)]
    return Router(routes, purse, "t-1")


def test_the_cheap_one_is_asked_alone_if_it_is_right(purse: Purse) -> None:
    cheap, dear = Scripted(GOOD), Scripted(GOOD)
    said = router(purse, cheap, dear).say(ASK, TOOLS)
    assert (said.message, cheap.calls, dear.calls) == (GOOD, 1, 0)
    assert purse.spent() == {"cheap": pytest.approx(140e-6)}


def test_a_wrong_answer_is_paid_for_and_the_dear_one_asked(purse: Purse) -> None:
    routed = router(purse, Scripted(BAD), Scripted(GOOD))
    said = routed.say(ASK, TOOLS)
    assert (said.message, said.prompt_tokens, said.answer_tokens) == (GOOD, 200, 20)
    assert [each.wrong for each in routed.asked] == ["nobody wrote LR-99999", ""]
    assert sum(purse.spent().values()) == pytest.approx(140e-6 + 1400e-6)


def test_if_none_is_right_nobody_acts_on_it(purse: Purse) -> None:
    said = router(purse, Scripted(BAD), Scripted(BAD)).say(ASK, TOOLS)
    assert not said.message.get("tool_calls")


@pytest.mark.parametrize(
    ("message", "wrong"),
    [
        (GOOD, ""),
        (call("refund", order="LR-11111", reason="late"), ""),
        ({"role": "assistant", "content": "LR-11111 is packed."}, ""),
        ({"role": "assistant", "content": "LR-1 is packed."}, "speaks of LR-1"),
        ({"role": "assistant", "content": " "}, "says nothing"),
        (call("transfer", order="LR-11111"), "no tool transfer"),
        (call("refund", order="LR-11111", reason="sad"), "not valid"),
        (call("refund", order="LR-11111"), "not valid"),
        (call("look_up_order", order="LR-11111", key="k"), "not valid"),
        (BAD, "nobody wrote LR-99999"),
        (call("triage"), "hands over"),
    ],
)
def test_what_code_can_see(message: dict, wrong: str) -> None:
    found = wrong_with(message, ASK, TOOLS)
    assert wrong in found if wrong else not found


@pytest.mark.parametrize("arguments", ["{", "[]", '"x"', "null", "1"])
def test_arguments_that_are_no_object_are_wrong(arguments: str) -> None:
    message = call("look_up_order")
    message["tool_calls"][0]["function"]["arguments"] = arguments
    assert "not valid" in wrong_with(message, ASK, TOOLS)


def test_nobody_asked_for_money() -> None:
    refund = call("refund", order="LR-11111", reason="late")
    asked = [{"role": "user", "content": "Where is LR-11111?"}]
    assert wrong_with(refund, asked, TOOLS) == "nobody asked for money"


def test_an_outage_falls_back_and_then_is_left_alone(purse: Purse) -> None:
    now = [0.0]
    cheap, dear = Scripted(ConnectionError("down")), Scripted(GOOD)
    routed = router(purse, cheap, dear)
    routed.routes[0].breaker = Breaker(3, 30, clock=lambda: now[0])
    for _ in range(10):
        assert routed.say(ASK, TOOLS).message == GOOD
    assert (cheap.calls, dear.calls) == (3, 10)
    now[0] = 30.0
    routed.say(ASK, TOOLS)
    routed.say(ASK, TOOLS)
    assert cheap.calls == 4, "one call to see, and the breaker is open again"
    cheap.said, now[0] = [GOOD], 60.0
    for _ in range(3):
        routed.say(ASK, TOOLS)
    assert (cheap.calls, dear.calls) == (7, 12)


def test_with_nobody_there_it_says_when_to_ask_again(purse: Purse) -> None:
    routed = router(purse, Scripted(TimeoutError()), Scripted(ConnectionError()))
    for route in routed.routes:
        route.breaker = Breaker(1, 30, clock=lambda: 0.0)
    with pytest.raises(Unavailable) as outage:
        routed.say(ASK, TOOLS)
    assert outage.value.seconds == 30
    with pytest.raises(Unavailable):
        routed.say(ASK, TOOLS)
    assert [route.model.calls for route in routed.routes] == [1, 1]  # type: ignore[attr-defined]


def test_a_mistake_of_ours_is_no_outage(purse: Purse) -> None:
    cheap, dear = Scripted(ValueError("ours")), Scripted(GOOD)
    with pytest.raises(ValueError, match="ours"):
        router(purse, cheap, dear).say(ASK, TOOLS)
    assert dear.calls == 0


def test_what_passes_is_found_behind_what_wraps_it() -> None:
    wrapped = TriageError("the endpoint")
    wrapped.__cause__ = TimeoutError()
    assert passing(wrapped)
    assert not passing(TriageError("a 400"))


def test_a_ticket_has_a_budget_and_so_has_a_day(tmp_path: Path) -> None:
    now = [0.0]
    purse = Purse(tmp_path / "s.db", a_ticket=0.02, a_day=0.03, clock=lambda: now[0])
    purse.settle(purse.reserve("t-1", "dear", 0.01), 0.01)
    with pytest.raises(Spent, match="The ticket"):
        purse.reserve("t-1", "dear", 0.015)
    purse.settle(purse.reserve("t-2", "dear", 0.015), 0.015)
    with pytest.raises(Spent, match="The day"):
        purse.reserve("t-3", "dear", 0.015)
    now[0] = 86_400.0
    purse.reserve("t-3", "dear", 0.015)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 3), st.floats(0.001, 0.02), st.floats(0, 1), st.booleans()
        ),
        max_size=30,
    )
)
def test_no_order_of_calls_spends_more(
    tmp_path_factory: pytest.TempPathFactory,
    calls: list[tuple[int, float, float, bool]],
) -> None:
    path = tmp_path_factory.mktemp("purse") / "s.db"
    purse = Purse(path, a_ticket=0.05, a_day=0.1, clock=lambda: 0.0)
    by_ticket = dict.fromkeys(range(4), 0.0)
    for ticket, most, share, dies in calls:
        try:
            reserved = purse.reserve(f"t-{ticket}", "m", most)
        except Spent:
            continue
        by_ticket[ticket] += most if dies else most * share
        if not dies:
            purse.settle(reserved, most * share)
    assert all(euros <= 0.05 + 1e-9 for euros in by_ticket.values())
    assert sum(purse.spent().values()) == pytest.approx(sum(by_ticket.values()))
    assert sum(by_ticket.values()) <= 0.1 + 1e-9


def test_the_most_is_more_than_any_answer_costs(purse: Purse) -> None:
    """Tokens are counted as characters, of which a token has at least one."""
    routed = router(purse, Scripted(GOOD), Scripted(GOOD))
    reserved: list[float] = []
    keep = purse.reserve

    def reserve(ticket: str, model: str, most: float) -> int:
        reserved.append(most)
        return keep(ticket, model, most)

    purse.reserve = reserve  # type: ignore[method-assign]
    routed.say(ASK, TOOLS)
    assert reserved[0] > sum(purse.spent().values())
