"""Who turns a ticket into steps: a language model, or a script that stands in for one in tests."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypedDict

from triage.agent.dialogues import TOOLS, Message

if TYPE_CHECKING:  # a second to import, and no test with a script needs it
    from triage.agent.endpoint import Model

Step = dict[str, str]
"""A `kind` (look_up, hold, refund or hand_over) and what that kind needs: an order, a reason."""


class Ticket(TypedDict):
    """What a customer wrote. `customer` is who logged in, not who the message says wrote it."""

    customer: str
    text: str


# region planner
@dataclass(frozen=True)
class Plan:
    """Steps, and what it cost to think of them."""

    steps: list[Step]
    tokens: int = 0


class Planner(Protocol):
    def plan(self, ticket: Ticket, objection: str) -> Plan:
        """Steps for the ticket. `objection` says what was wrong with the last plan."""


# endregion planner


# region steps
def steps_of(tool: str, arguments: dict[str, Any]) -> list[Step]:
    """The steps behind a tool call: the model says what, this says in which order."""
    order = str(arguments.get("order", ""))
    if tool == "look_up_order":
        return [{"kind": "look_up", "order": order}]
    if tool == "refund":
        return [
            {"kind": "look_up", "order": order},
            {"kind": "hold", "order": order},
            {"kind": "refund", "order": order, "reason": str(arguments.get("reason"))},
        ]
    return [{"kind": "hand_over"}]


# endregion steps


class ModelPlanner:
    """A language model, asked for one tool call."""

    def __init__(self, model: "Model"):
        self.model = model

    # region model
    def plan(self, ticket: Ticket, objection: str) -> Plan:
        """One call to the model. What is no proper tool call becomes a hand-over."""
        text = f"{ticket['text']} ({objection})" if objection else ticket["text"]
        said = self.model.say([{"role": "user", "content": text}], TOOLS)
        return Plan(_steps(said.message), said.prompt_tokens + said.answer_tokens)

    # endregion model


class ScriptedPlanner:
    """No model: it reads a message by rules. For tests, and where a run must be repeated exactly.

    `misread` are order numbers that it gives instead of the right one, one a call, as a model may.
    """

    def __init__(self, misread: Sequence[str] = ()):
        self.misread = list(misread)

    def plan(self, ticket: Ticket, objection: str) -> Plan:
        found = re.search(r"LR-\d{5}", ticket["text"])
        if not found:
            return Plan(steps_of("triage", {}))
        order = self.misread.pop(0) if self.misread and not objection else found[0]
        if not re.search("refund|money", ticket["text"]):
            return Plan(steps_of("look_up_order", {"order": order}))
        reason = "damaged" if "broken" in ticket["text"] else "unwanted"
        return Plan(steps_of("refund", {"order": order, "reason": reason}))


def _steps(message: Message) -> list[Step]:
    if not message.get("tool_calls"):
        return steps_of("triage", {})
    call = message["tool_calls"][0]["function"]
    try:
        arguments = json.loads(call["arguments"])
    except json.JSONDecodeError:
        arguments = None
    if not isinstance(arguments, dict):
        return steps_of("triage", {})
    return steps_of(call["name"], arguments)
