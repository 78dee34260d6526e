"""The loop: it ends, whatever the model says, and it never does anything the host did not bind."""

import itertools
import json
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from triage.agent.endpoint import Said
from triage.agent.loop import End, Limits, Run, run

LIMITS = Limits()
LOOK_UP = ("look_up_order", '{"order": "LR-11111"}')


def calling(*functions: tuple[str, str]) -> dict[str, Any]:
    calls = [
        {
            "id": f"c{place}",
            "type": "function",
            "function": {"name": name, "arguments": arguments},
        }
        for place, (name, arguments) in enumerate(functions)
    ]
    return {"role": "assistant", "content": "", "tool_calls": calls}


def words(text: str) -> dict[str, Any]:
    return {"role": "assistant", "content": text}


class Scripted:
    """A model that says what it was told to."""

    def __init__(self, messages: Iterable[dict[str, Any]], tokens: int = 10):
        self._messages, self._tokens = iter(messages), tokens
        self.heard: list[list[dict[str, Any]]] = []

    def say(self, messages: list, tools: list) -> Said:
        self.heard.append(list(messages))
        return Said(next(self._messages), self._tokens, 0)


class Recording:
    """Tools that write down how they are called."""

    def __init__(self) -> None:
        self.schemas: list[dict] = []
        self.calls: list[tuple[str, dict, dict]] = []

    def call(self, name: str, arguments: dict, bound: dict) -> dict:
        self.calls.append((name, arguments, bound))
        return {"status": "packed"}


def ran(*messages: dict, limits: Limits = LIMITS, **how: Any) -> tuple[Run, Recording]:
    tools = Recording()
    model = Scripted(itertools.chain(messages, itertools.repeat(messages[-1])))
    return run("t-1", "Where is LR-11111?", model, tools, limits, **how), tools


def test_it_calls_tells_and_answers() -> None:
    state, tools = ran(calling(LOOK_UP), words("It is packed."))
    assert (state.ended, state.reply, state.steps) == (End.ANSWERED, "It is packed.", 2)
    bound = {"message": "Where is LR-11111?", "key": "t-1/0"}
    assert tools.calls == [("look_up_order", {"order": "LR-11111"}, bound)]
    roles = [message["role"] for message in state.messages]
    assert roles == ["user", "assistant", "tool", "assistant"]
    assert json.loads(state.messages[2]["content"]) == {"status": "packed"}


def test_calls_of_one_message_have_keys_of_their_own() -> None:
    _, tools = ran(calling(LOOK_UP, ("triage", "{}")), words("Done."))
    assert [bound["key"] for _, _, bound in tools.calls] == ["t-1/0", "t-1/1"]


def test_the_same_call_again_is_not_made() -> None:
    spaced = ("look_up_order", '{ "order":"LR-11111" }')
    state, tools = ran(calling(LOOK_UP), calling(spaced))
    assert state.ended is End.REPEATED
    assert len(tools.calls) == 1
    assert state.reply == ""


def numbered() -> Iterable[dict]:
    for place in itertools.count():
        yield calling(("look_up_order", json.dumps({"order": f"LR-{place:05}"})))


def ticking(seconds: float) -> Callable[[], float]:
    moments = itertools.count()
    return lambda: next(moments) * seconds


@pytest.mark.parametrize(
    ("limits", "tick", "end", "calls"),
    [
        (Limits(steps=3), 0.0, End.STEPS, 3),
        (Limits(tokens=25), 0.0, End.TOKENS, 3),
        (Limits(seconds=2.5), 1.0, End.SECONDS, 3),
    ],
)
def test_a_model_that_never_answers_is_stopped(
    limits: Limits, tick: float, end: End, calls: int
) -> None:
    tools = Recording()
    state = run("t", "Hello", Scripted(numbered()), tools, limits, ticking(tick))
    assert state.ended is end
    assert len(tools.calls) == calls
    assert state.reply == ""


def test_an_answer_at_the_last_step_counts() -> None:
    state, _ = ran(calling(LOOK_UP), words("Packed."), limits=Limits(steps=2))
    assert state.ended is End.ANSWERED


@pytest.mark.parametrize("arguments", ["{", "[]", "null", '"LR-11111"', "[" * 100_000])
def test_arguments_that_are_no_object_reach_no_tool(arguments: str) -> None:
    state, tools = ran(calling(("refund", arguments)), words("Sorry."))
    assert tools.calls == []
    assert "not a JSON object" in state.messages[2]["content"]
    assert state.ended is End.ANSWERED


def test_every_call_is_answered_before_the_model_is_asked_again() -> None:
    """The chat API refuses a conversation with an open call."""
    state, _ = ran(calling(LOOK_UP, LOOK_UP), words("Done."))
    answered = [m["tool_call_id"] for m in state.messages if m["role"] == "tool"]
    assert answered == ["c0", "c1"]
