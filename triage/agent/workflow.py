"""A ticket carried through by a planner, workers and a reviewer, whatever happens to the process.

After every step a sqlite file of checkpoints says how far the ticket is. A process that ends, by whatever
means, is followed by another one that calls `carry_on` for the same thread:

    python -m triage.agent.workflow DESK CHECKPOINTS THREAD TICKET

The planner's model is the one at OPENAI_BASE_URL. TICKET is a JSON file with the customer and the text. Exit
status 0 if the ticket is done, 3 if a person has to decide, 1 if something that others run is down: then call
it again later.
"""

import contextlib
import json
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.types import Command, RetryPolicy

from triage.agent.desk import APPROVAL, Desk
from triage.agent.hands import BUDGET, Hands, State, begin
from triage.agent.planning import ModelPlanner, Planner, Ticket
from triage.errors import TriageError

PLANS = 2
"""Times that the planner is asked for one ticket."""
WAITS = 3
"""The exit status that says so."""

# region retry
PASSING = (ConnectionError, TimeoutError)
"""What may be gone in a moment. Refused is not among them: a rule does not pass."""
RETRY = RetryPolicy(
    initial_interval=0.2, backoff_factor=2, max_attempts=4, retry_on=PASSING
)
# endregion retry


# region onwards
def onwards(state: State) -> str:
    """Who is next. The only place that decides about the way."""
    if state["objection"]:
        if state["undo"]:
            return "release"
        left = state["calls"] < PLANS and state["step"] < BUDGET
        return "planner" if state["again"] and left else "hand_over"
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
    if given is None and not saved.tasks:  # not `next`: it leaves out what has run
        return cast(State, saved.values)
    ended = graph.invoke(given, config, durability="sync")
    return None if "__interrupt__" in ended else cast(State, ended)


# endregion carry_on


@contextlib.contextmanager
def checkpoints(path: Path) -> Iterator[SqliteSaver]:
    with SqliteSaver.from_conn_string(str(path)) as saver:
        yield saver


def main(arguments: list[str]) -> int:
    if len(arguments) != 4:
        print(__doc__, file=sys.stderr)
        return 2
    from triage.agent.endpoint import Endpoint  # a second to import

    desk, thread = Desk(Path(arguments[0])), arguments[2]
    try:
        ticket = json.loads(Path(arguments[3]).read_text(encoding="utf-8"))
        planner = ModelPlanner(Endpoint.from_environment())
        with checkpoints(Path(arguments[1])) as saver:
            graph = graph_of(desk, planner, saver)
            state = carry_on(graph, desk, thread, ticket)
    except (TriageError, OSError, sqlite3.Error) as error:
        print(f"{thread}: {error}", file=sys.stderr)
        return 1
    print(f"{thread}: {state['outcome'] if state else 'a person has to decide'}")
    return 0 if state else WAITS


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
