"""The workflow killed at every point there is, to see what the next process makes of it.

    python -m triage.agent.crashes SCENARIO VARIANT

Nothing in the workflow knows of this: what is here goes in as its desk and its saver. A point is just before
or just after an effect or something saved. Prints a line of JSON for each point. POSIX only: it forks.
"""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.types import RetryPolicy

from triage.agent.desk import APPROVAL, Desk, Order
from triage.agent.planning import Plan, ScriptedPlanner, Ticket, steps_of
from triage.agent.workflow import PASSING, carry_on, graph_of

NUMBER = "LR-48213"
OTHER = "LR-48231"
THREAD = "T-1"
TICKET = Ticket(
    customer="C-1",
    text=f"The tent from order {NUMBER} is broken, I want my money back.",
)
ENDED, WAITS = 0, 3
"""Exit statuses of the processes below."""
AT_ONCE = RetryPolicy(
    initial_interval=0.001, jitter=False, max_attempts=4, retry_on=PASSING
)


# region fuse
class Fuse:
    """Writes down every point that is passed, and kills the process at one of them.

    The list is a file, so that it goes on in the next process: a point is met once.
    """

    def __init__(self, points: Path, fatal: str | None = None):
        self.points = points
        self.fatal = fatal
        self.lock = threading.Lock()

    def __call__(self, place: str) -> None:
        with self.lock:
            passed = self.points.read_text().splitlines()
            times = sum(line.rpartition(" #")[0] == place for line in passed) + 1
            point = f"{place} #{times}"
            with self.points.open("a") as file:
                file.write(f"{point}\n")
            if point == self.fatal:
                os.kill(os.getpid(), signal.SIGKILL)


# endregion fuse


# region hooks
class CrashingDesk(Desk):
    """Has a point before and after each effect, and around a person's answer."""

    fuse: Fuse

    def _once(
        self, key: str, kind: str, request: dict[str, Any], act: Callable
    ) -> dict[str, Any]:
        self.fuse(f"before {kind}")
        result = super()._once(key, kind, request, act)
        self.fuse(f"after {kind}")
        return result

    def _decide(self, number: str, person: str, granted: bool) -> None:
        self.fuse("before the answer")
        super()._decide(number, person, granted)
        self.fuse("after the answer")


class CrashingSaver(SqliteSaver):
    """Has a point before and after each checkpoint and what each node has written."""

    fuse: Fuse
    pause = 0.0

    def put(self, config: Any, checkpoint: Any, metadata: Any, versions: Any) -> Any:
        towards = _towards(checkpoint["channel_values"])
        time.sleep(self.pause)
        self.fuse(f"before checkpoint {towards}")
        saved = super().put(config, checkpoint, metadata, versions)
        self.fuse(f"after checkpoint {towards}")
        return saved

    def put_writes(self, config: Any, writes: Any, *rest: Any) -> None:
        towards = _towards(dict(writes))
        self.fuse(f"before writes {towards}")
        super().put_writes(config, writes, *rest)
        self.fuse(f"after writes {towards}")


# endregion hooks


# region naive
class WithoutRule(Desk):
    """Knows no rule that an order is paid back once; where part refunds exist, none does."""

    def refund(self, number: str, reason: str, key: str) -> dict[str, Any]:
        order = self.look_up(number)
        asked = {"order": number, "reason": reason}
        return self._once(
            key,
            "refund",
            asked,
            lambda connection: {"refunded": f"{order.cents / 100:.2f}"},
        )


class FreshKeys(Desk):
    """A key that is made when the request is sent: another one when it is sent again."""

    def _once(
        self, key: str, kind: str, request: dict[str, Any], act: Callable
    ) -> dict[str, Any]:
        return super()._once(str(uuid.uuid4()), kind, request, act)


class NotedBefore(Desk):
    """Notes that a step is done, then does it. A step that is noted is not done again."""

    def _once(
        self, key: str, kind: str, request: dict[str, Any], act: Callable
    ) -> dict[str, Any]:
        noted = self.path.with_name("noted.txt")
        if noted.exists() and key in noted.read_text().split():
            return {"refunded": "noted"}
        with noted.open("a") as file:
            file.write(f"{key}\n")
        return super()._once(key, kind, request, act)


# endregion naive


class Unreachable(Desk):
    """Twice in every process, the answer to a request is lost on the way; the effect is not."""

    lost = 0

    def _once(
        self, key: str, kind: str, request: dict[str, Any], act: Callable
    ) -> dict[str, Any]:
        result = super()._once(key, kind, request, act)
        if self.lost < 2:
            self.lost += 1
            raise TimeoutError("no answer")
        return result


# region resuming
class ByNext:
    """A graph that is taken to have ended when it says that no node is next."""

    def __init__(self, graph: Any):
        self.graph = graph

    def get_state(self, config: Any) -> Any:
        saved = self.graph.get_state(config)
        return saved if saved.next else saved._replace(tasks=())

    def invoke(self, given: Any, config: Any, durability: str) -> Any:
        return self.graph.invoke(given, config, durability=durability)


class ByDefault(ByNext):
    """A graph that saves as LangGraph does unless told otherwise: while it goes on."""

    def get_state(self, config: Any) -> Any:
        return self.graph.get_state(config)

    def invoke(self, given: Any, config: Any, durability: str) -> Any:
        return self.graph.invoke(given, config)


# endregion resuming


class Moody(ScriptedPlanner):
    """Asked again, it understands something else, as a model does whose temperature is not 0."""

    def __init__(self, asked: Path):
        super().__init__()
        self.asked = asked

    def plan(self, ticket: Ticket, objection: str) -> Plan:
        again = self.asked.exists()
        self.asked.touch()
        if again:
            return Plan(steps_of("look_up_order", {"order": NUMBER}))
        return super().plan(ticket, objection)


class Doubling(WithoutRule, FreshKeys, CrashingDesk):
    """Without idempotency keys, and without a rule that would be in the way."""


class Refusing(FreshKeys, CrashingDesk):
    """Without idempotency keys. The rule stops a second refund, with an error."""


class Losing(NotedBefore, CrashingDesk):
    """At most once."""


class Flaky(CrashingDesk, Unreachable):
    """The desk as it is, on a bad network."""


@dataclass(frozen=True)
class Variant:
    """What is different from the workflow as it is."""

    desk: type[CrashingDesk] = CrashingDesk
    graph: Callable[[Any], Any] = lambda graph: graph
    moody: bool = False
    pause: float = 0.0
    """Seconds it takes until a checkpoint is on its way."""


VARIANTS = {
    "workflow": Variant(),
    "fresh keys": Variant(Doubling),
    "fresh keys and a rule": Variant(Refusing),
    "noted before": Variant(Losing),
    "bad network": Variant(Flaky),
    "by next": Variant(graph=ByNext),
    "moody": Variant(moody=True, pause=0.03),
    "moody, saved later": Variant(graph=ByDefault, moody=True, pause=0.03),
}


def _towards(channels: Any) -> str:
    """Where the graph goes from here, as far as its channels tell."""
    heading = "branch:to:"
    nodes = [name.removeprefix(heading) for name in channels if heading in name]
    if not nodes:
        nodes = [
            name
            for name in ("__start__", "__interrupt__", "__resume__")
            if name in channels
        ]
    return f"to {nodes[0].strip('_')}" if nodes else "at the end"


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
    processes: int

    @property
    def right(self) -> bool:
        return self.same and not (self.lost or self.doubled or self.unwanted)


# region table
def table(scenario: str, variant: str = "workflow") -> list[Row]:
    """A row for each point; all of it happens in processes of its own."""
    command = [sys.executable, "-m", "triage.agent.crashes", scenario, variant]
    ran = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
    return [Row(**json.loads(line)) for line in ran.stdout.splitlines()]


def every_point(scenario: str, variant: str) -> Iterator[Row]:
    """First a clean run, which shows the points; then a run for each of them."""
    clean = Run(scenario, variant)
    clean.complete()
    for point in clean.points():
        run = Run(scenario, variant, fatal=point)
        run.complete()
        if run.killed != 1:
            raise RuntimeError(f"{point}: {run.killed} processes were killed")
        yield compared(point, run, clean)


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
        run.processes,
    )


class Run:
    """A desk, its checkpoints and the processes that carry one ticket to its end."""

    def __init__(self, scenario: str, variant: str, fatal: str | None = None):
        self.folder = tempfile.TemporaryDirectory(prefix="crash-")
        self.home = Path(self.folder.name)
        self.scenario = SCENARIOS[scenario]
        self.killed = self.processes = 0
        self.fuse = Fuse(self.home / "points.txt", fatal)
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
        self.processes += 1
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
    if len(arguments) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    for row in every_point(*arguments):
        print(json.dumps(asdict(row)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
