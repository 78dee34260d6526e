"""Those who work on a ticket: planner, reviewer, workers, and what they hand on to each other."""

from dataclasses import asdict
from typing import Any, TypedDict

from langgraph.types import interrupt

from triage.agent.desk import Desk, Refused
from triage.agent.planning import Planner, Step, Ticket

TEAM = "desk"
"""Who gets what the workflow cannot or may not do."""
BUDGET = 12
"""Steps that a ticket may take before people have to look at it. Undoing is not counted."""


# region state
class State(TypedDict):
    """All there is to know about a ticket under way. It is JSON, and no object."""

    thread: str
    ticket: Ticket
    plan: list[Step]  # what is left of it
    step: int  # taken so far, in all plans: with the thread, the key of an effect
    undo: list[Step]  # what takes back what was done, in the order it was done
    order: dict[str, Any] | None  # as it was looked up
    reviewed: bool
    approved: bool | None  # None until a person has answered
    objection: str  # why it cannot go on like this
    again: bool  # whether another plan could help against the objection
    outcome: str
    calls: int
    tokens: int
    log: list[str]


# endregion state


def begin(thread: str, ticket: Ticket) -> State:
    return State(
        thread=thread,
        ticket=ticket,
        plan=[],
        step=0,
        undo=[],
        order=None,
        reviewed=False,
        approved=None,
        objection="",
        again=False,
        outcome="",
        calls=0,
        tokens=0,
        log=[],
    )


Update = dict[str, Any]


class Hands:
    """The nodes of the graph. Each gets the state, does one thing and says what has changed."""

    def __init__(self, desk: Desk, planner: Planner):
        self.desk = desk
        self.thinks = planner

    # region thinking
    def planner(self, state: State) -> Update:
        plan = self.thinks.plan(state["ticket"], state["objection"])
        return {
            "plan": plan.steps,
            "order": None,
            "reviewed": False,
            "approved": None,
            "objection": "",
            "calls": state["calls"] + 1,
            "tokens": state["tokens"] + plan.tokens,
            **_said(
                state, f"planner: {', '.join(each['kind'] for each in plan.steps)}"
            ),
        }

    def reviewer(self, state: State) -> Update:
        """Sees the ticket and what is about to happen, not what the planner thought."""
        wrong = review(state["ticket"], state["plan"][0], state["order"])
        return {
            "reviewed": not wrong,
            "objection": wrong,
            "again": bool(wrong),
            **_said(state, f"reviewer: {wrong or 'as the ticket asks'}"),
        }

    # endregion thinking

    # region approval
    def approval(self, state: State) -> Update:
        """Ends the process until somebody has answered, which may take days."""
        step, order = state["plan"][0], state["order"] or {}
        granted = interrupt({"order": step["order"], "cents": order["cents"]})
        said = "a person said yes" if granted else "A person said no."
        return {
            "approved": granted,
            "objection": "" if granted else said,
            "again": False,
            **_said(state, f"approval: {said}"),
        }

    # endregion approval

    # region workers
    def look_up(self, state: State) -> Update:
        try:
            order = self.desk.look_up(state["plan"][0]["order"])
        except Refused as refusal:
            return _refused(state, refusal, again=True)
        said = f"look_up: {order.status}"
        return _done(state, said, order=asdict(order), outcome=order.status)

    def hold(self, state: State) -> Update:
        number = state["plan"][0]["order"]
        if not state["order"] or state["order"]["status"] != "packed":
            return _done(state, "hold: nothing to hold")
        try:
            self.desk.hold(number, key_of(state))
        except Refused as refusal:
            return _refused(state, refusal)
        undo = [*state["undo"], {"kind": "release", "order": number}]
        return _done(state, "hold: done", undo=undo)

    def refund(self, state: State) -> Update:
        """The pivot: nothing before it is final, and nothing after it may fail for good."""
        step = state["plan"][0]
        try:
            paid = self.desk.refund(step["order"], step["reason"], key_of(state))
        except Refused as refusal:
            return _refused(state, refusal)
        done = {"undo": [], "reviewed": False, "approved": None}
        said = f"refunded {paid['refunded']}"
        return _done(state, f"refund: {said}", outcome=said, **done)

    # endregion workers

    # region compensation
    def release(self, state: State) -> Update:
        """Undo the last thing that was done and not yet undone."""
        *undo, last = state["undo"]
        self.desk.release(last["order"], key_of(state))
        return {
            "undo": undo,
            "step": state["step"] + 1,
            **_said(state, "release: done"),
        }

    def hand_over(self, state: State) -> Update:
        why = state["objection"] or "as planned"
        message = state["ticket"]["text"]
        self.desk.hand_over(f"{message} [{why}]", TEAM, key_of(state))
        return {
            "plan": [],
            "objection": "",
            "step": state["step"] + 1,
            "outcome": f"handed over: {why}",
            **_said(state, f"hand_over: {why}"),
        }

    # endregion compensation


# region key
def key_of(state: State) -> str:
    """The same for the same step of the same ticket, in whichever process."""
    return f"{state['thread']}/{state['step']}"


# endregion key


# region review
def review(ticket: Ticket, step: Step, order: dict[str, Any] | None) -> str:
    """What is wrong with paying this order back for this ticket; empty if nothing."""
    if order is None or order["number"] != step["order"]:
        return f"Nobody has looked {step['order']} up."
    if step["order"] not in ticket["text"]:
        return f"The ticket does not speak of {step['order']}."
    if order["customer"] != ticket["customer"]:
        return f"{step['order']} is not an order of {ticket['customer']}."
    return ""


# endregion review


def _done(state: State, said: str, **changes: Any) -> Update:
    """The update after a step of the plan."""
    left, step = state["plan"][1:], state["step"] + 1
    changed = {"plan": left, "step": step, **_said(state, said), **changes}
    if left and step >= BUDGET:
        changed |= {"objection": f"It took {step} steps.", "again": False}
    return changed


def _refused(state: State, refusal: Refused, again: bool = False) -> Update:
    """The update after a step that the desk's rules forbid."""
    return {
        "objection": str(refusal),
        "again": again,
        "step": state["step"] + 1,
        **_said(state, f"{state['plan'][0]['kind']}: {refusal}"),
    }


def _said(state: State, line: str) -> Update:
    return {"log": [*state["log"], line]}
