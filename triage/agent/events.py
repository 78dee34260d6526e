"""What a run tells the page, as a contract with a version, and the view that follows from it.

`ui/reduce.js` is `reduce` once more, for the browser; a test holds the two against each other.
"""

from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

VERSION = 1
"""Goes up when an old page would misunderstand. New types and fields are no reason: old pages skip them."""


# region told
class Told(BaseModel):
    """What all events have in common."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    v: Literal[1] = 1


# endregion told


class Received(Told):
    """The ticket is written down; from here on nothing the browser does can lose it."""

    type: Literal["received"] = "received"
    text: str


class ToolBegun(Told):
    type: Literal["tool_begun"] = "tool_begun"
    call: int
    tool: str


class ToolEnded(Told):
    type: Literal["tool_ended"] = "tool_ended"
    call: int
    said: str


# region approval
class ApprovalWanted(Told):
    type: Literal["approval_wanted"] = "approval_wanted"
    call: int
    thread: str
    order: str
    cents: int
    text: str


# endregion approval


class ApprovalGiven(Told):
    type: Literal["approval_given"] = "approval_given"
    thread: str


class ApprovalDenied(Told):
    type: Literal["approval_denied"] = "approval_denied"
    thread: str


# region outcome
class Outcome(Told):
    """What has been done, from the ledger. The words that follow are a model's."""

    type: Literal["outcome"] = "outcome"
    said: str


class ReplyBegun(Told):
    """What was written of the reply before, by a process that was killed, is void."""

    type: Literal["reply_begun"] = "reply_begun"
    attempt: int


class Token(Told):
    """The next piece of the reply: a token, or the few that came within a moment."""

    type: Literal["token"] = "token"
    text: str


# endregion outcome


class Trouble(Told):
    """Something failed. `again`: it is tried again, and nobody has to do anything."""

    type: Literal["error"] = "error"
    message: str
    again: bool


class Done(Told):
    """The last event of a thread."""

    type: Literal["done"] = "done"
    how: Literal["answered", "cancelled", "failed"]


# region event
Event = Annotated[
    Received
    | ToolBegun
    | ToolEnded
    | ApprovalWanted
    | ApprovalGiven
    | ApprovalDenied
    | Outcome
    | ReplyBegun
    | Token
    | Trouble
    | Done,
    Field(discriminator="type"),
]
# endregion event

EVENTS: TypeAdapter[Event] = TypeAdapter(Event)
View = dict[str, Any]
"""All that a page shows, as JSON."""


def nothing() -> View:
    """The view before the first event."""
    return {
        "state": "empty",
        "ticket": "",
        "steps": [],
        "approvals": [],
        "outcome": "",
        "reply": "",
        "attempts": 0,
        "trouble": "",
    }


# region reduce
def reduce(view: View, event: dict[str, Any]) -> View:
    """The view after one more event. It changes nothing and asks nobody."""
    match event:
        case {"v": v} if v != VERSION:
            return view | {"state": "outdated"}
        case {"type": "received"}:
            return view | {"state": "working", "ticket": event["text"]}
        case {"type": "tool_begun"}:
            step = {"call": event["call"], "tool": event["tool"], "said": ""}
            return view | {"state": "working", "steps": [*view["steps"], step]}
        case {"type": "tool_ended"}:
            steps = [
                step | {"said": event["said"]}
                if step["call"] == event["call"]
                else step
                for step in view["steps"]
            ]
            return view | {"steps": steps, "trouble": ""}
        case {"type": "approval_wanted"}:
            names = ("call", "thread", "order", "cents", "text")
            asked = {name: event[name] for name in names} | {"answer": ""}
            approvals = [*view["approvals"], asked]
            return view | {"state": "waiting", "approvals": approvals}
        case {"type": "approval_given" | "approval_denied"}:
            answer = event["type"].removeprefix("approval_")
            approvals = [
                each | {"answer": answer} if each["thread"] == event["thread"] else each
                for each in view["approvals"]
            ]
            return view | {"state": "working", "approvals": approvals}
        case {"type": "outcome"}:
            return view | {"outcome": event["said"]}
        case {"type": "reply_begun"}:
            again = {"reply": "", "attempts": event["attempt"]}
            return view | again | {"state": "writing"}
        case {"type": "token"}:
            return view | {"reply": view["reply"] + event["text"]}
        case {"type": "error"}:
            return view | {"trouble": event["message"]}
        case {"type": "done"}:
            return view | {"state": event["how"]}
    return view  # of a type that came after this page


# endregion reduce


def folded(events: Iterable[dict[str, Any]], view: View | None = None) -> View:
    """The view after all of these events."""
    view = view or nothing()
    for event in events:
        view = reduce(view, event)
    return view
