"""Runs of the workflow behind a page: in the background, told step by step, whoever listens."""

import json
import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver

from triage.agent.desk import Desk
from triage.agent.events import (
    ApprovalDenied,
    ApprovalGiven,
    ApprovalWanted,
    Done,
    Event,
    Outcome,
    ReplyBegun,
    Token,
    ToolBegun,
    ToolEnded,
    Trouble,
)
from triage.agent.hands import State
from triage.agent.planning import Planner, Ticket
from triage.agent.threads import Threads
from triage.agent.workflow import NODES, carry_on, graph_of
from triage.agent.writing import Writer, gathered

WORKERS = 4
"""Runs that go on at once. One that waits for a person takes no worker."""
TRIES = 3
"""Times that a step is tried when something that others run is down."""

AGAIN = "Something we need does not answer. We are trying again."
LOST = "The reply could not be written. What was done stands above it."

log = logging.getLogger("triage.agent.runs")


class Runs:
    """Takes threads as far as they go, each by one worker at a time.

    `rang` is called, from a worker, whenever something was told.
    """

    def __init__(
        self,
        threads: Threads,
        desk: Desk,
        planner: Planner,
        writer: Writer,
        saver: BaseCheckpointSaver,
        rang: Callable[[str], None] = lambda thread: None,
        pause: float = 1.0,
    ):
        self.threads, self.desk, self.writer = threads, desk, writer
        self.rang, self.pause = rang, pause
        self.graph = graph_of(desk, planner, saver)
        self.graph.interrupt_before_nodes = NODES  # stop at every step, to tell it
        self._pool = ThreadPoolExecutor(WORKERS, "run")
        self._lock = threading.Lock()
        self._busy: dict[str, bool] = {}
        self._leaving = threading.Event()

    # region go
    def go(self, thread: str) -> None:
        """Carry the thread on in the background. Asked while that happens, once more after it."""
        with self._lock:
            if self._leaving.is_set():
                return  # the next process finds it unfinished
            if thread in self._busy:
                self._busy[thread] = True
                return
            self._busy[thread] = False
            self._pool.submit(self._work, thread)

    def resume(self) -> None:
        """Go on with everything that the process before this one left."""
        for thread in self.threads.unfinished():
            self.go(thread)

    # endregion go

    @property
    def waiting(self) -> int:
        """Threads that a worker has, or will have when one is free."""
        return len(self._busy)

    def close(self) -> None:
        """Stop after the step that is being taken."""
        self._leaving.set()
        self._pool.shutdown(cancel_futures=True)

    def _work(self, thread: str) -> None:
        try:
            self._carry(thread)
        except Exception:
            log.exception("Thread %s stays unfinished", thread)
        with self._lock:
            again = self._busy.pop(thread)
        if again:
            self.go(thread)

    # region carry
    def _carry(self, thread: str) -> None:
        ticket = self.threads.ticket(thread)
        if ticket is None or self.threads.told(thread, "done"):
            return
        state = self._steps(thread, ticket)
        if state is not None:
            self._tell(thread, "outcome", Outcome(said=state["outcome"]))
            self._write(thread, ticket, state["outcome"])

    def _steps(self, thread: str, ticket: Ticket) -> State | None:
        """Every step of the workflow, told before and after; None if it waits or we leave."""
        config: RunnableConfig = {"configurable": {"thread_id": thread}}
        tries = 0
        while not self._leaving.is_set():
            saved = self.graph.get_state(config)
            if saved.created_at is not None and not saved.next:
                return self._ended(thread, saved.values)
            if saved.next and (why := self._stop(thread, tries, saved.values)):
                change = {"objection": why, "again": False}
                self.graph.update_state(config, change, as_node="planner")
                continue  # on the way back, whichever step was next
            call = len(saved.values.get("log", []))
            if saved.next and saved.next[0] != "approval":
                begun = ToolBegun(call=call, tool=saved.next[0])
                self._tell(thread, f"{call}/begun", begun)
            try:
                state = carry_on(self.graph, self.desk, thread, ticket)
            except Exception:
                log.exception("Thread %s, step %s", thread, call)
                self._tell(thread, f"{call}/error", Trouble(message=AGAIN, again=True))
                tries += 1
                self._leaving.wait(min(self.pause * 2**tries, 60))
                continue
            tries = 0
            if state is None:
                asked = self.graph.get_state(config).interrupts[0].value
                wanted = ApprovalWanted(
                    call=call, thread=thread, text=ticket["text"], **asked
                )
                self._tell(thread, f"{call}/wanted", wanted)
                if self.desk.decision(asked["order"]) is None:
                    return None
                continue  # it was decided about in another thread
            self._ended(thread, state)
        return None

    # endregion carry

    def _stop(self, thread: str, tries: int, state: dict[str, Any]) -> str:
        """Why the way is to be left; empty if it is not, or if it has been left."""
        if state["objection"]:
            return ""
        if self.threads.is_cancelled(thread):
            return "The customer cancelled."
        return "Something that it needs is down." if tries >= TRIES else ""

    def _ended(self, thread: str, state: Any) -> State:
        """Tell what the state says of steps that were taken; most of it has been told."""
        for call, line in enumerate(state["log"]):
            name, _, said = line.partition(": ")
            if name != "approval":
                self._tell(thread, f"{call}/ended", ToolEnded(call=call, said=said))
            elif said.endswith("yes"):
                self._tell(thread, f"{call}/decided", ApprovalGiven(thread=thread))
            else:
                self._tell(thread, f"{call}/decided", ApprovalDenied(thread=thread))
        return state

    # region write
    def _write(self, thread: str, ticket: Ticket, outcome: str) -> None:
        """The reply, from its beginning: a model that is asked again says something else."""
        attempt = 1 + len(self.threads.told(thread, "reply_begun"))
        self._tell(thread, f"reply/{attempt}", ReplyBegun(attempt=attempt))
        how: Literal["answered", "cancelled", "failed"] = "answered"
        try:
            pieces = gathered(self.writer.write(ticket, outcome))
            for number, piece in enumerate(pieces):
                if self._leaving.is_set():
                    return
                if self.threads.is_cancelled(thread):
                    break
                self._tell(thread, f"token/{attempt}/{number}", Token(text=piece))
        except Exception:
            log.exception("Thread %s, reply", thread)
            how = "failed"
            self._tell(thread, "lost", Trouble(message=LOST, again=False))
        if self.threads.is_cancelled(thread):
            how = "cancelled"
        self._tell(thread, "done", Done(how=how))

    # endregion write

    def _tell(self, thread: str, key: str, event: Event) -> None:
        if self.threads.append(thread, key, event):
            self.rang(thread)


def decided(threads: Threads, desk: Desk, thread: str, granted: bool, who: str) -> bool:
    """Write a person's answer down, and give the one that counts, which is the first."""
    order = json.loads(threads.told(thread, "approval_wanted")[-1])["order"]
    (desk.approve if granted else desk.decline)(order, who)
    return bool(desk.decision(order))
