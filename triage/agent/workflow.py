"""A ticket carried through by a planner, workers and a reviewer, whatever happens to the process.

After every step a sqlite file of checkpoints says how far the ticket is. A process that ends, by whatever
means, is followed by another one that calls `carry_on` for the same thread:

    python -m triage.agent.workflow DESK CHECKPOINTS THREAD TICKET

TICKET is a JSON file with the customer and the text. Exit status 0 if the ticket is done, 3 if a person has
to decide, 1 if something that others run is down: then call it again later.
"""

import contextlib
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypedDict, cast

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.types import Command, RetryPolicy, interrupt

from triage.agent.desk import APPROVAL, Desk, Refused
from triage.agent.planning import ModelPlanner, Planner, Step, Ticket
from triage.errors import TriageError

TEAM = "desk"
"""Who gets what the workflow cannot or may not do."""
BUDGET = 12
"""Steps that a ticket may take before people have to look at it. Undoing is not counted."""
PLANS = 2
"""Times that the planner is asked for one ticket."""
WAITS = 3

# region retry
PASSING = (ConnectionError, TimeoutError)
"""What may be gone in a moment. Refused is not among them: a rule does not pass."""
RETRY = RetryPolicy(
    initial_interval=0.2, backoff_factor=2, max_attempts=4, retry_on=PASSING
)
# endregion retry


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
    """The same for the same step of the same ticket, in whichever process it is taken."""
    return f"{state['thread']}/{state['step']}"


# endregion key


# region review
def review(ticket: Ticket, step: Step, order: dict[str, Any] | None) -> str:
    """What is wrong with paying this order back for this ticket; empty if nothing is."""
    if order is None or order["number"] != step["order"]:
        return f"Nobody has looked {step['order']} up."
    if step["order"] not in ticket["text"]:
        return f"The ticket does not speak of {step['order']}."
    if order["customer"] != ticket["customer"]:
        return f"{step['order']} is not an order of {ticket['customer']}."
    return ""


# endregion review


# region onwards
def onwards(state: State) -> str:
    """Who is next. The only place that decides about the way."""
    if state["objection"]:
        if state["undo"]:
            return "release"
        again = state["again"] and state["calls"] < PLANS and not _spent(state)
        return "planner" if again else "hand_over"
    if not state["plan"]:
        return END
    kind, order = state["plan"][0]["kind"], state["order"]
    if kind == "refund" and not state["reviewed"]:
        return "reviewer"
    dear = order is not None and order["cents"] > APPROVAL
    if kind == "refund" and dear and state["approved"] is None:
        return "approval"
    return kind


# endregion onwards


# region graph
NODES = [
    "planner",
    "look_up",
    "hold",
    "reviewer",
    "approval",
    "refund",
    "release",
    "hand_over",
]


def graph_of(
    desk: Desk, planner: Planner, saver: BaseCheckpointSaver, retry: RetryPolicy = RETRY
) -> CompiledStateGraph:
    hands, graph = Hands(desk, planner), StateGraph(State)
    graph.add_edge(START, "planner")
    for name in NODES:
        graph.add_node(name, getattr(hands, name), retry_policy=retry)
        graph.add_conditional_edges(name, onwards, [*NODES, END])
    return graph.compile(checkpointer=saver)


# endregion graph


# region carry_on
def carry_on(
    graph: CompiledStateGraph, desk: Desk, thread: str, ticket: Ticket
) -> State | None:
    """Take a ticket as far as it goes; None if it waits for a person.

    It does not matter whether this is the first call or the tenth, or where the
    process before this one was killed.
    """
    config: RunnableConfig = {"configurable": {"thread_id": thread}}
    saved = graph.get_state(config)
    given: Any = None  # go on from the last checkpoint
    if saved.created_at is None:
        given = begin(thread, ticket)
    elif saved.interrupts:
        granted = desk.decision(saved.interrupts[0].value["order"])
        if granted is None:
            return None
        given = Command(resume=granted)
    if given is not None or saved.tasks:  # not `next`: that leaves out what has run
        graph.invoke(given, config, durability="sync")
        saved = graph.get_state(config)
    return None if saved.interrupts else cast(State, saved.values)


# endregion carry_on


@contextlib.contextmanager
def checkpoints(path: Path) -> Iterator[SqliteSaver]:
    with SqliteSaver.from_conn_string(str(path)) as saver:
        yield saver


def main(arguments: list[str]) -> int:
    if len(arguments) != 4:
        print(__doc__, file=sys.stderr)
        return 2
    from openai import APIConnectionError, OpenAI  # a second to import

    desk, thread = Desk(Path(arguments[0])), arguments[2]
    model = os.environ.get("OPENAI_MODEL", "assistant")
    retry = RETRY._replace(retry_on=(*PASSING, APIConnectionError))
    try:
        ticket = json.loads(Path(arguments[3]).read_text(encoding="utf-8"))
        with checkpoints(Path(arguments[1])) as saver:
            graph = graph_of(desk, ModelPlanner(OpenAI(), model), saver, retry)
            state = carry_on(graph, desk, thread, ticket)
    except (TriageError, OSError, APIConnectionError) as error:
        print(f"{thread}: {error}", file=sys.stderr)
        return 1
    print(f"{thread}: {state['outcome'] if state else 'a person has to decide'}")
    return 0 if state else WAITS


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


def _spent(state: State) -> bool:
    return state["step"] >= BUDGET


def _said(state: State, line: str) -> Update:
    return {"log": [*state["log"], line]}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
