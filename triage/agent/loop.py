"""The agent: a model that is asked until it answers with words, and a host that says when it has to stop."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from triage.agent.dialogues import Message
from triage.agent.endpoint import Model


class Tools(Protocol):
    """What the loop needs of a toolbox."""

    @property
    def schemas(self) -> list[Message]: ...

    def call(
        self, name: str, arguments: dict[str, Any], bound: dict[str, str]
    ) -> dict[str, Any]: ...


# region limits
@dataclass(frozen=True)
class Limits:
    """What one message may cost. The model has no say in it."""

    steps: int = 6
    """Calls of the model."""
    tokens: int = 4_000
    """Read and written."""
    seconds: float = 60.0


class End(StrEnum):
    """Why a run ended. After all but the first, a person takes over."""

    ANSWERED = "answered"
    REPEATED = "it made the same call again"
    STEPS = "it used up its steps"
    TOKENS = "it used up its tokens"
    SECONDS = "it used up its time"


# endregion limits


@dataclass
class Run:
    """A conversation with all that was said and called, and what it cost so far."""

    thread: str
    messages: list[Message]
    steps: int = 0
    tokens: int = 0
    seconds: float = 0.0
    ended: End | None = None
    calls: list[tuple[str, str]] = field(default_factory=list)
    """Name and arguments of each call, the arguments as JSON with sorted keys."""

    @property
    def reply(self) -> str:
        """What to tell the customer; empty unless the model answered."""
        last = self.messages[-1]
        return str(last["content"]) if self.ended is End.ANSWERED else ""


# region run
def run(
    thread: str,
    message: str,
    model: Model,
    tools: Tools,
    limits: Limits = Limits(),
    clock: Callable[[], float] = time.monotonic,
) -> Run:
    """Let the model handle a message. Idempotency keys begin with `thread`."""
    state = Run(thread, [{"role": "user", "content": message}])
    began = clock()
    while state.ended is None:
        said = model.say(state.messages, tools.schemas)
        state.messages.append(said.message)
        state.steps += 1
        state.tokens += said.prompt_tokens + said.answer_tokens
        if wanted := said.message.get("tool_calls"):
            answer_calls(state, wanted, tools)
        else:
            state.ended = End.ANSWERED
        state.seconds = clock() - began
        state.ended = state.ended or exhausted(state, limits)
    return state


def answer_calls(state: Run, wanted: list[Message], tools: Tools) -> None:
    """Make the calls of one message, and put what came of each behind it."""
    for each in wanted:
        name, arguments = each["function"]["name"], parsed(each["function"])
        call = (name, json.dumps(arguments, sort_keys=True))
        if call in state.calls:
            state.ended = End.REPEATED
        bound = {
            "message": state.messages[0]["content"],
            "key": f"{state.thread}/{len(state.calls)}",
        }
        if state.ended:
            result = {"error": f"Not called: {state.ended}."}
        elif arguments is None:
            result = {"error": "The arguments are not a JSON object."}
        else:
            result = tools.call(name, arguments, bound)
        state.calls.append(call)
        state.messages.append(
            {
                "role": "tool",
                "tool_call_id": each["id"],
                "content": json.dumps(result),
            }
        )


# endregion run


def exhausted(state: Run, limits: Limits) -> End | None:
    """The first limit that is reached."""
    if state.steps >= limits.steps:
        return End.STEPS
    if state.tokens >= limits.tokens:
        return End.TOKENS
    return End.SECONDS if state.seconds >= limits.seconds else None


def parsed(function: Message) -> dict[str, Any] | None:
    """A call's arguments, which are text from a model and may be anything."""
    try:
        arguments = json.loads(function["arguments"] or "{}")
    except (json.JSONDecodeError, RecursionError):
        return None
    return arguments if isinstance(arguments, dict) else None
