"""A worker: takes tickets from the inbox, carries each through the workflow, and stops when it is told to.

    python -m triage.agent.worker FOLDER --triage http://triage

FOLDER holds desk.db and gets inbox.db, spending.db and checkpoints.db. OPENAI_BASE_URL says where the models
are, OPENAI_API_KEY the key, and ROUTES is a JSON file of names and prices, the cheapest first:

    [{"name": "small", "read": 0.1, "written": 0.4}, {"name": "large", "read": 2, "written": 8}]
"""

import contextlib
import json
import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import typer

from triage.agent.budget import Price, Purse, Spent
from triage.agent.desk import Desk
from triage.agent.endpoint import Endpoint
from triage.agent.inbox import Inbox, Job
from triage.agent.planning import ModelPlanner, Planner
from triage.agent.routing import Route, Router, Unavailable
from triage.agent.workflow import carry_on, checkpoints, graph_of
from triage.errors import TriageError

log = logging.getLogger("worker")


@dataclass(frozen=True)
class Ending:
    """What became of a ticket: its outcome, and whether people have to go on with it."""

    outcome: str
    person: bool = False


Handle = Callable[[Job], Ending]


# region once
def once(inbox: Inbox, handle: Handle) -> float:
    """Work on the next ticket, if there is one. Returns how many seconds to rest."""
    job = inbox.take()
    if job is None:
        return 1.0
    try:
        with beating(inbox, job):
            ending = handle(job)
    except Unavailable as outage:
        inbox.give_back(job)  # the ticket is not to blame
        return outage.seconds
    except Spent as limit:
        inbox.person(job, str(limit), limit=True)
    except Exception as error:
        log.exception("%s", job.id)
        inbox.again(job, repr(error))
    else:
        (inbox.person if ending.person else inbox.done)(job, ending.outcome)
    return 0.0


# endregion once


# region beating
@contextlib.contextmanager
def beating(inbox: Inbox, job: Job) -> Iterator[None]:
    """Renew the lease three times in its length, as long as the ticket is worked on."""
    over = threading.Event()

    def beat() -> None:
        while not over.wait(inbox.lease / 3):
            if not inbox.beat(job):
                log.warning("%s was given to another worker", job.id)
                return

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


# endregion beating


# region until
def work(inbox: Inbox, handle: Handle, stop: threading.Event) -> None:
    """Ticket after ticket. Told to stop, it ends the one that it has."""
    while not stop.is_set():
        rest = once(inbox, handle)
        stop.wait(rest)


# endregion until


# region handle
def by_workflow(
    folder: Path,
    planner_of: Callable[[Job], Planner],
    team_of: Callable[[str], str],
) -> Handle:
    """The workflow under the ticket's id: whoever had it before, it goes on from there."""
    desk = Desk(folder / "desk.db")

    def handle(job: Job) -> Ending:
        with checkpoints(folder / "checkpoints.db") as saver:
            graph = graph_of(desk, planner_of(job), saver)
            ticket = {"customer": job.customer, "text": job.text}
            state = carry_on(graph, desk, job.id, ticket)  # type: ignore[arg-type]
        if state is None:
            return Ending("a person has to approve", person=True)
        if state["outcome"].startswith("handed over"):
            return Ending(f"{team_of(job.text)}: {state['outcome']}", person=True)
        return Ending(state["outcome"])

    return handle


# endregion handle


def main(
    folder: Path,
    triage: str = "http://127.0.0.1:8000",
    routes: Path = Path("routes.json"),
    ticket_euros: float = 0.05,
    day_euros: float = 20.0,
    grace: float = 45.0,
) -> None:
    """Work until SIGTERM."""
    from triage.agent.tools import by_service

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    address = os.environ.get("OPENAI_BASE_URL", "")
    if not address:
        raise TriageError("OPENAI_BASE_URL is not set: name an endpoint.")
    key = os.environ.get("OPENAI_API_KEY", "none")
    ladder = [
        Route(
            each["name"],
            Endpoint(address, each["name"], key, seconds=30),
            Price(each["read"], each["written"]),
        )
        for each in json.loads(routes.read_text("utf-8"))
    ]
    purse = Purse(folder / "spending.db", ticket_euros, day_euros)
    ask = by_service(triage)

    def team_of(message: str) -> str:
        try:
            return ask(message)
        except Exception as error:  # a hand-over must not fail for want of a team
            log.warning("triage: %s", error)
            return "front_desk"

    def planner_of(job: Job) -> Planner:
        return ModelPlanner(Router(ladder, purse, job.id))

    inbox, stop = Inbox(folder / "inbox.db"), threading.Event()

    # region sigterm
    def drain(*_: object) -> None:
        """End the ticket in hand; after `grace`, leave it: its lease will run out."""
        log.info("draining")
        stop.set()
        late = threading.Timer(grace, os._exit, [1])
        late.daemon = True
        late.start()

    signal.signal(signal.SIGTERM, drain)
    # endregion sigterm
    log.info("working")
    work(inbox, by_workflow(folder, planner_of, team_of), stop)
    log.info("drained")


if __name__ == "__main__":
    typer.run(main)
