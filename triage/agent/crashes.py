"""The workflow killed at every point there is, to see what the next process makes of it.

    python -m triage.agent.crashes SCENARIO [VARIANT [together]]

Nothing in the workflow knows of this: what is here goes in as its desk and its saver. A point is just before
or just after an effect or something saved. Prints a line of JSON for each point,
or one for a run that is killed at all of them. POSIX only: it forks.
"""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from langgraph.types import RetryPolicy

from triage.agent.desk import APPROVAL, Desk, Order
from triage.agent.fuse import CrashingSaver, Fuse
from triage.agent.naive import VARIANTS, Moody
from triage.agent.planning import ScriptedPlanner, Ticket
from triage.agent.workflow import PASSING, WAITS, carry_on, graph_of

NUMBER = "LR-48213"
OTHER = "LR-48231"
THREAD = "T-1"
TICKET = Ticket(
    customer="C-1",
    text=f"The tent from order {NUMBER} is broken, I want my money back.",
)
IN_MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
"""Where files are if possible: what is written outlives a process there too, and no disk has to keep up."""
ENDED = 0
"""The exit status of a process whose ticket, or answer, is done."""
AT_ONCE = RetryPolicy(
    initial_interval=0.001, jitter=False, max_attempts=4, retry_on=PASSING
)


@dataclass(frozen=True)
class Scenario:
    cents: int = 2_500
    status: str = "packed"
    answer: bool = True
    """What the person says, if asked."""
    paid: bool = False
    """Whether the order was paid back before, on the telephone."""
    misread: tuple[str, ...] = ()


SCENARIOS = {
    "refund": Scenario(),
    "approved": Scenario(APPROVAL + 5_000),
    "declined": Scenario(APPROVAL + 5_000, answer=False),
    "refused": Scenario(paid=True),
    "misread": Scenario(misread=(OTHER,)),
}


@dataclass(frozen=True)
class Row:
    """What became of a ticket whose process was killed at a point."""

    point: str
    lost: list[str]
    """Effects of the clean run that are not in the ledger."""
    doubled: list[str]
    """Effects of the clean run that are in it once too often."""
    unwanted: list[str]
    """Effects that the clean run does not have at all."""
    same: bool
    """Whether the final state is that of the clean run."""
    outcome: str
    held: bool
    """Whether a parcel is kept back in the end."""
    killed: int
    """Processes that were."""

    @property
    def right(self) -> bool:
        return self.same and not (self.lost or self.doubled or self.unwanted)


# region table
def table(scenario: str, variant: str = "workflow", *together: str) -> list[Row]:
    """A row for each point; all of it happens in processes of its own."""
    command = [sys.executable, "-m", "triage.agent.crashes", scenario, variant]
    command += together
    ran = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
    return [Row(**json.loads(line)) for line in ran.stdout.splitlines()]


def every_point(scenario: str, variant: str) -> Iterator[Row]:
    """First a clean run, which shows the points; then a run for each of them."""
    clean = Run(scenario, variant)
    clean.complete()
    for point in clean.points():
        run = Run(scenario, variant, point)
        run.complete()
        if run.killed != 1:
            raise RuntimeError(f"{point}: {run.killed} processes were killed")
        yield compared(point, run, clean)


def every_point_together(scenario: str, variant: str) -> Iterator[Row]:
    """One run, whose processes are killed at one point after the other."""
    clean = Run(scenario, variant)
    clean.complete()
    run = Run(scenario, variant, *clean.points())
    run.complete()
    yield compared("all of them", run, clean)


# endregion table


def compared(point: str, run: "Run", clean: "Run") -> Row:
    seen, expected = run.effects(), clean.effects()
    beyond = seen - expected
    return Row(
        point,
        sorted((expected - seen).elements()),
        sorted(each for each in beyond.elements() if each in expected),
        sorted(each for each in beyond.elements() if each not in expected),
        run.state() == clean.state(),
        run.state()["outcome"],
        any(order.held for order in run.desk.orders()),
        run.killed,
    )


class Run:
    """A desk, its checkpoints and the processes that carry one ticket to its end."""

    def __init__(self, scenario: str, variant: str, *fatal: str):
        self.folder = tempfile.TemporaryDirectory(prefix="crash-", dir=IN_MEMORY)
        self.home = Path(self.folder.name)
        self.scenario = SCENARIOS[scenario]
        self.killed = 0
        self.fuse = Fuse(self.home / "points.txt", *fatal)
        self.fuse.points.touch()
        self.variant = VARIANTS[variant]
        self.desk = self.variant.desk(self.home / "desk.db")
        self.desk.fuse = self.fuse
        quiet = Desk.create(self.desk.path, orders=0)
        given = self.scenario
        for number, customer in ((NUMBER, "C-1"), (OTHER, "C-2")):
            quiet.add(
                Order(
                    number, customer, "tent", given.cents, given.status, "Monday", False
                )
            )
        if given.paid:
            quiet.refund(NUMBER, "damaged", "by telephone")

    # region complete
    def complete(self) -> None:
        """A process after the other, as a queue would start them, until the ticket is done."""
        while (status := self.forked(self.work)) != ENDED:
            if status == WAITS:
                while self.forked(self.answer) != ENDED:
                    pass

    # endregion complete

    def work(self) -> int:
        connection = sqlite3.connect(
            self.home / "checkpoints.db", check_same_thread=False
        )
        saver = CrashingSaver(connection)
        saver.fuse, saver.pause = self.fuse, self.variant.pause
        planner = ScriptedPlanner(self.scenario.misread)
        if self.variant.moody:
            planner = Moody(self.home / "asked")
        graph = self.variant.graph(graph_of(self.desk, planner, saver, AT_ONCE))
        state = carry_on(graph, self.desk, THREAD, TICKET)
        if state is None:
            return WAITS
        (self.home / "state.json").write_text(json.dumps(state))
        return ENDED

    def answer(self) -> int:
        decide = self.desk.approve if self.scenario.answer else self.desk.decline
        decide(NUMBER, "Ada")
        return ENDED

    def forked(self, work: Callable[[], int]) -> int:
        """The exit status of a process that does this; negative if a signal has ended it."""
        if not (child := os.fork()):
            status = 1
            try:
                status = work()
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(status)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if status not in (ENDED, WAITS, -signal.SIGKILL):
            raise RuntimeError(f"A process ended with {status}.")
        self.killed += status == -signal.SIGKILL
        return status

    def points(self) -> list[str]:
        return self.fuse.points.read_text().splitlines()

    def effects(self) -> Counter[str]:
        """The ledger without keys and results: what was done to what, and how often."""
        return Counter(
            f"{each.kind} {each.request.get('order', '')}".strip()
            for each in self.desk.effects()
        )

    def state(self) -> dict[str, Any]:
        return json.loads((self.home / "state.json").read_text())


def main(arguments: list[str]) -> int:
    if not 1 <= len(arguments) <= 3:
        print(__doc__, file=sys.stderr)
        return 2
    scenario, variant, *together = [*arguments, "workflow"][: max(2, len(arguments))]
    rows = every_point_together if together else every_point
    for row in rows(scenario, variant):
        print(json.dumps(asdict(row)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
