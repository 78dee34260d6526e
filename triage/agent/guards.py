"""What stands between a model and the tools, and holds whatever the model says.

A tool's result may contain text that a stranger wrote. No layer asks the model to be careful with it.
"""

import functools
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from triage.agent.dialogues import DAYS, Message
from triage.agent.endpoint import Model, Said
from triage.agent.loop import End, Limits, Run, run
from triage.agent.replies import reply_to
from triage.agent.toolbox import Toolbox

LIMITS = Limits()

FREE = ("note",)
"""The fields of results in which anybody may have written anything."""


# region layer
class Layer:
    """The tools as they are. Each guard changes one thing about them."""

    def __init__(self, inner: "Toolbox | Layer", message: str):
        self.inner, self.message = inner, message

    @property
    def schemas(self) -> list[Message]:
        return self.inner.schemas

    @property
    def destructive(self) -> frozenset[str]:
        return self.inner.destructive

    def call(self, name: str, arguments: dict, bound: dict) -> dict[str, Any]:
        return self.inner.call(name, arguments, bound)

    def finish(self, state: Run) -> None:
        """Look at the reply before the customer does."""
        if isinstance(self.inner, Layer):
            self.inner.finish(state)


Guard = Callable[["Toolbox | Layer", str], Layer]
"""Puts a layer around the tools, for a customer's message."""


def handle(
    thread: str,
    message: str,
    model: Model,
    tools: Toolbox,
    guards: Sequence[Guard],
    limits: Limits = LIMITS,
) -> Run:
    """The loop, with each guard around the ones before it."""
    guarded = functools.reduce(
        lambda inner, guard: guard(inner, message), guards, Layer(tools, message)
    )
    state = run(thread, message, model, guarded, limits)
    guarded.finish(state)
    return state


# endregion layer


# region escaping
@dataclass(frozen=True)
class Escaping:
    """A model that reads its own special tokens as text, wherever others wrote them.

    A tool's result is JSON, where a character may be written by its number: the
    meaning stays, the token cannot form. What a customer writes is no JSON; there a
    space does it.
    """

    model: Model
    special: Sequence[str]

    def say(self, messages: list[Message], tools: list[Message]) -> Said:
        return self.model.say([self._escaped(each) for each in messages], tools)

    def _escaped(self, message: Message) -> Message:
        if message["role"] == "assistant":
            return message
        text = str(message["content"])
        for token in self.special:
            first, rest = token[0], token[1:]
            numbered = f"\\u{ord(first):04x}" if message["role"] == "tool" else None
            text = text.replace(token, (numbered or f"{first} ") + rest)
        return message | {"content": text}


# endregion escaping


# region filtering
def filtering(suspicious: Callable[[str], bool]) -> Guard:
    """Withhold free text that looks like an attack."""

    class Filtering(Layer):
        def call(self, name: str, arguments: dict, bound: dict) -> dict[str, Any]:
            result = super().call(name, arguments, bound)
            return {
                key: "(withheld)" if key in FREE and suspicious(value) else value
                for key, value in result.items()
            }

    return Filtering


# endregion filtering


# region typed
class Typed(Layer):
    """The model that has tools with effects gets no free text at all."""

    def call(self, name: str, arguments: dict, bound: dict) -> dict[str, Any]:
        result = super().call(name, arguments, bound)
        return {key: value for key, value in result.items() if key not in FREE}


# endregion typed


# region capability
class ReadOnlyAfterReading(Layer):
    """Once a run has read free text, nothing that cannot be undone is done in it."""

    def __init__(self, inner: "Toolbox | Layer", message: str):
        super().__init__(inner, message)
        self.tainted = False

    def call(self, name: str, arguments: dict, bound: dict) -> dict[str, Any]:
        if self.tainted and name in self.destructive:
            return {"error": "A person must do this: a stranger's text was read."}
        result = super().call(name, arguments, bound)
        self.tainted = self.tainted or any(result.get(field) for field in FREE)
        return result


class OnlyNamed(Layer):
    """What cannot be undone is done only to orders that the customer wrote."""

    def call(self, name: str, arguments: dict, bound: dict) -> dict[str, Any]:
        order = str(arguments.get("order", ""))
        if name in self.destructive and order not in self.message:
            return {"error": f"The customer did not name {order}."}
        return super().call(name, arguments, bound)


# endregion capability

FACTS = re.compile(
    rf"LR-\d+|\d+\.\d\d|\b(?:{'|'.join(DAYS)}|Sunday)\b|\w[\w.-]*\.[a-z]{{2,}}|refund"
)
"""What can be wrong in a reply: orders, amounts, days, links, and that something was paid back."""


# region checked
class Checked(Layer):
    """A reply goes out if its facts are the tools'; otherwise code speaks."""

    def __init__(self, inner: "Toolbox | Layer", message: str):
        super().__init__(inner, message)
        self.last: dict[str, Any] = {}

    def call(self, name: str, arguments: dict, bound: dict) -> dict[str, Any]:
        result = super().call(name, arguments, bound)
        self.last = {
            key: value
            for key, value in (dict(arguments) | result).items()
            if key not in FREE
        }
        return result

    def finish(self, state: Run) -> None:
        super().finish(state)
        if state.ended is End.ANSWERED:
            said = set(FACTS.findall(state.reply))
            known = set(FACTS.findall(self.message + json.dumps(self.last)))
            must = {self.last[key] for key in ("day", "refunded") if key in self.last}
            if said - known or must - said:
                spoken = {"content": reply_to(state)}
                state.messages[-1] = state.messages[-1] | spoken


# endregion checked
