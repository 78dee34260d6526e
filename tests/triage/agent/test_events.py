"""The contract, the log, and the promise about the stream: cut anywhere, nothing is missed or repeated."""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from sse_starlette import ServerSentEvent

from triage.agent.events import (
    EVENTS,
    VERSION,
    Done,
    Event,
    ReplyBegun,
    Token,
    folded,
    nothing,
    reduce,
)
from triage.agent.planning import Ticket
from triage.agent.threads import PAGE, Taken, Threads
from triage.agent.web import Bell, everything, stream
from triage.agent.writing import gathered

TICKET = Ticket(customer="C-1", text="Where is LR-11111?")

TEXT = st.text(max_size=20)
CALL = st.integers(0, 5)
TOLD: st.SearchStrategy[dict[str, Any]] = st.one_of(
    st.fixed_dictionaries({"type": st.just("received"), "text": TEXT}),
    st.fixed_dictionaries({"type": st.just("tool_begun"), "call": CALL, "tool": TEXT}),
    st.fixed_dictionaries({"type": st.just("tool_ended"), "call": CALL, "said": TEXT}),
    st.fixed_dictionaries(
        {
            "type": st.just("approval_wanted"),
            "call": CALL,
            "thread": st.sampled_from("ab"),
            "order": TEXT,
            "cents": st.integers(0, 10**6),
            "text": TEXT,
        }
    ),
    st.fixed_dictionaries(
        {
            "type": st.sampled_from(["approval_given", "approval_denied"]),
            "thread": st.sampled_from("ab"),
        }
    ),
    st.fixed_dictionaries({"type": st.just("outcome"), "said": TEXT}),
    st.fixed_dictionaries({"type": st.just("reply_begun"), "attempt": CALL}),
    st.fixed_dictionaries({"type": st.just("token"), "text": TEXT}),
    st.fixed_dictionaries(
        {"type": st.just("error"), "message": TEXT, "again": st.booleans()}
    ),
).map(lambda event: {"v": VERSION, **event})
DONE = {"v": VERSION, "type": "done", "how": "answered"}


@pytest.fixture
def threads(tmp_path: Path) -> Threads:
    return Threads(tmp_path / "threads.db")


# The contract


@given(TOLD)
def test_what_is_told_survives_the_wire(event: dict[str, Any]) -> None:
    assert json.loads(EVENTS.dump_json(EVENTS.validate_python(event))) == event


@pytest.mark.parametrize(
    "event",
    [
        {"type": "nonsense"},
        {"type": "token"},
        {"type": "token", "text": "a", "html": "<b>a</b>"},
        {"type": "token", "text": "a", "v": VERSION + 1},
        {"type": "done", "how": "well"},
    ],
)
def test_what_breaks_the_contract_is_not_told(event: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        EVENTS.validate_python(event)


def test_a_page_skips_what_came_after_it_and_says_when_it_is_too_old() -> None:
    newer = {"v": VERSION, "type": "applause", "loud": True}
    assert reduce(nothing(), newer) == nothing()
    assert reduce(nothing(), {"v": VERSION + 1, "type": "token"})["state"] == "outdated"


@given(st.lists(TOLD), TOLD)
def test_the_reducer_changes_nothing_that_it_is_given(
    events: list[dict[str, Any]], last: dict[str, Any]
) -> None:
    view = folded(events)
    before = json.dumps(view)
    reduce(view, last)
    assert json.dumps(view) == before


def test_a_reply_that_begins_again_begins_empty() -> None:
    events: list[Event] = [
        ReplyBegun(attempt=1),
        Token(text="Thank y"),
        ReplyBegun(attempt=2),
        Token(text="Dear"),
    ]
    view = folded(event.model_dump() for event in events)
    assert (view["reply"], view["attempts"]) == ("Dear", 2)


# The log


def test_a_ticket_sent_twice_is_one_thread(threads: Threads) -> None:
    assert threads.open("t", TICKET)
    assert not threads.open("t", TICKET)
    assert [line.type for line in threads.after("t", 0)] == ["received"]


@pytest.mark.parametrize(
    "other",
    [Ticket(customer="C-2", text=TICKET["text"]), Ticket(customer="C-1", text="Hello")],
)
def test_an_id_is_for_one_ticket(threads: Threads, other: Ticket) -> None:
    threads.open("t", TICKET)
    with pytest.raises(Taken):
        threads.open("t", other)
    assert threads.ticket("t") == TICKET


def test_what_is_told_twice_is_there_once(threads: Threads) -> None:
    threads.open("t", TICKET)
    assert threads.append("t", "k", Token(text="a"))
    assert not threads.append("t", "k", Token(text="b"))
    assert [json.loads(line.json).get("text") for line in threads.after("t", 1)] == [
        "a"
    ]


def test_threads_do_not_hear_each_other(threads: Threads) -> None:
    for name in "ab":
        threads.open(name, TICKET)
        threads.append(name, "k", Token(text=name))
    assert [event["text"] for event in everything(threads, "b")][1:] == ["b"]
    assert threads.unfinished() == ["a", "b"]
    threads.append("a", "done", Done(how="answered"))
    assert threads.unfinished() == ["b"]


WRITER = """
import sys
from pathlib import Path
from triage.agent.events import Token
from triage.agent.threads import Threads
threads = Threads(Path(sys.argv[1]))
for number in range(40):
    threads.append("t", f"{sys.argv[2]}/{number}", Token(text=sys.argv[2]))
"""


@pytest.mark.slow
def test_ids_become_visible_in_their_order(threads: Threads) -> None:
    """Or a reader who has seen 7 would never see 6."""
    threads.open("t", TICKET)
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(threads.path), name])
        for name in "ab"
    ]
    seen: list[int] = []
    while any(writer.poll() is None for writer in writers):
        seen += [line.id for line in threads.after("t", seen[-1] if seen else 0)]
    seen += [line.id for line in threads.after("t", seen[-1] if seen else 0)]
    assert [writer.returncode for writer in writers] == [0, 0]
    assert len(seen) == 81
    assert seen == sorted(seen)


# The stream


async def taken(told: AsyncIterator[ServerSentEvent], most: int) -> list[Any]:
    """Events of a stream, up to so many, then the client is gone."""
    found: list[Any] = []
    async for event in told:
        if event.id is not None:
            found.append((int(event.id), json.loads(event.data)))
            if len(found) == most:
                break
    await told.aclose()  # type: ignore[attr-defined]
    return found


@pytest.mark.slow
@settings(
    deadline=None,
    max_examples=40,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.lists(TOLD, max_size=30), st.lists(st.integers(1, 12), max_size=10))
def test_any_cuts_give_the_same_view(
    tmp_path_factory: pytest.TempPathFactory,
    events: list[dict[str, Any]],
    cuts: list[int],
) -> None:
    path = tmp_path_factory.mktemp("cut") / "threads.db"
    threads = Threads(path)
    threads.open("t", TICKET)
    for number, event in enumerate([*events, DONE]):
        threads.append("t", str(number), EVENTS.validate_python(event))

    async def heard() -> list[Any]:
        found: list[Any] = []
        for most in [*cuts, 10**6]:
            if found and found[-1][1]["type"] == "done":
                break
            anew = Threads(path)  # as after a restart
            last = found[-1][0] if found else 0
            found += await taken(stream(anew, Bell(), "t", last), most)
        return found

    found = asyncio.run(heard())
    assert [event for _, event in found] == list(everything(threads, "t"))
    assert len({id for id, _ in found}) == len(events) + 2
    assert folded(event for _, event in found) == folded(everything(threads, "t"))


def test_what_is_told_while_one_listens_comes_at_once(threads: Threads) -> None:
    threads.open("t", TICKET)

    async def heard() -> list[Any]:
        bell = Bell()

        async def tell() -> None:
            for number in range(PAGE + 20):
                await asyncio.to_thread(
                    threads.append, "t", str(number), Token(text=f"{number} ")
                )
                bell.ring("t")
            await asyncio.to_thread(threads.append, "t", "d", Done(how="answered"))
            bell.ring("t")

        telling = asyncio.create_task(tell())
        async with asyncio.timeout(20):
            found = await taken(stream(threads, bell, "t", 0), 10**6)
        await telling
        return found

    found = asyncio.run(heard())
    assert [event for _, event in found] == list(everything(threads, "t"))


def test_a_client_that_left_leaves_nothing(threads: Threads) -> None:
    threads.open("t", TICKET)

    async def left() -> dict[str, Any]:
        bell = Bell()
        await taken(stream(threads, bell, "t", 0), 1)
        return dict(bell._listening)

    assert asyncio.run(left()) == {}


def test_one_that_does_not_read_holds_no_more_than_a_page(threads: Threads) -> None:
    threads.open("t", TICKET)
    for number in range(3 * PAGE):
        threads.append("t", str(number), Token(text="."))
    assert len(threads.after("t", 0)) == PAGE


# Pieces


def test_pieces_are_joined_and_the_first_is_not_held_back() -> None:
    times = iter([10.0, 10.0, 10.01, 10.02, 10.06, 10.07])
    joined = list(gathered("abcde", seconds=0.05, clock=lambda: next(times)))
    assert joined == ["a", "bcd", "e"]


@given(st.lists(TEXT), st.floats(0, 1))
def test_no_piece_is_lost(pieces: list[str], seconds: float) -> None:
    ticks = iter(range(10**6))
    joined = gathered(pieces, seconds, lambda: next(ticks) / 10)
    assert "".join(joined) == "".join(pieces)
