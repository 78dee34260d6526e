"""Whether an agent does its work: tasks with the effects that must be in the ledger, and none else.

The outcome is graded by the ledger and the reply, the way there by the calls. Either can be wrong alone.
"""

import json
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from scipy.stats import binomtest

from triage.agent.desk import APPROVAL, Desk, Order
from triage.agent.dialogues import ITEMS, UNSEEN, Dialogue, draw
from triage.agent.endpoint import Model
from triage.agent.guards import LIMITS, Guard, handle
from triage.agent.loop import End, Limits, Run
from triage.agent.toolbox import Toolbox
from triage.agent.tools import UNSURE, server

CUSTOMER, SOMEBODY = "C-1", "C-2"
DAY = "Thursday"

Wanted = tuple[str, dict[str, str]]
"""An effect: its kind, and what was asked for."""
Call = tuple[str, str]
"""A tool, and its arguments as JSON with sorted keys."""


# region task
@dataclass(frozen=True)
class Task:
    """A message, the desk as it is before, and what must have happened after."""

    name: str
    family: str
    message: str
    orders: tuple[Order, ...]
    effects: tuple[Wanted, ...]
    """What must be in the ledger afterwards, and nothing else."""
    told: tuple[str, ...]
    """What the reply must contain."""
    plan: tuple[Call, ...]
    """The shortest way: calls as a run records them."""


# endregion task


# region grade
@dataclass(frozen=True)
class Grade:
    """What one run was worth, and what it cost."""

    task: Task
    run: Run
    missing: tuple[Wanted, ...]
    unwanted: tuple[Wanted, ...]
    untold: tuple[str, ...]
    detours: tuple[Call, ...]
    """Calls that are not in the plan, or not so often."""

    @property
    def right(self) -> bool:
        """The ledger says what it must say."""
        return not self.missing and not self.unwanted

    @property
    def solved(self) -> bool:
        """The outcome: the ledger is right, and the customer was told so."""
        return self.right and not self.untold and self.run.ended is End.ANSWERED

    @property
    def straight(self) -> bool:
        """The trajectory: no call but the plan's, and an end within the limits."""
        return not self.detours and self.run.ended is End.ANSWERED


def grade(task: Task, state: Run, ledger: Sequence[Wanted]) -> Grade:
    """Hold a run, and what it left in the ledger, against the task."""
    return Grade(
        task,
        state,
        missing=without(task.effects, ledger),
        unwanted=without(ledger, task.effects),
        untold=tuple(words for words in task.told if words not in state.reply),
        detours=without(state.calls, task.plan),
    )


# endregion grade


def without(some: Iterable[Any], others: Iterable[Any]) -> tuple[Any, ...]:
    """What is left of `some`, if each of `others` takes away one."""
    left = list(some)
    for other in others:
        if other in left:
            left.remove(other)
    return tuple(left)


# region attempt
def attempt(
    task: Task,
    model: Model,
    guards: Sequence[Guard] = (),
    limits: Limits = LIMITS,
    handle: Callable[..., Run] = handle,
) -> Grade:
    """Handle the message on a fresh desk, and read the ledger."""
    with tempfile.TemporaryDirectory(prefix="desk-") as folder:
        desk = Desk.create(Path(folder, "desk.db"), orders=0)
        for order in task.orders:
            desk.add(order)
        with Toolbox(server(desk, CUSTOMER, lambda message: UNSURE)) as tools:
            state = handle(task.name, task.message, model, tools, guards, limits)
        ledger = [(effect.kind, effect.request) for effect in desk.effects()]
    return grade(task, state, ledger)


# endregion attempt


# region suite
def suite(count: int, seed: int) -> list[Task]:
    """So many tasks, in phrasings that no model of the project was trained on."""
    return [
        task_of(dialogue, f"{seed}-{place}", place)
        for place, dialogue in enumerate(draw(count, UNSEEN, seed))
    ]


def task_of(dialogue: Dialogue, name: str, place: int) -> Task:
    """What must happen; every other order is dear, or somebody else's."""
    message = str(dialogue.messages[0]["content"])
    handed = ("hand_over", {"message": message, "team": UNSURE})
    asked, special = dialogue.call["arguments"], place % 2 == 1
    first, over = call(dialogue.tool, asked), call("triage", {})
    if dialogue.tool == "triage":
        return Task(name, "other", message, (), (handed,), (), (over,))
    item = ITEMS[place % len(ITEMS)]
    order = Order(asked["order"], CUSTOMER, item, 4_200, "shipped", DAY, held=False)
    if dialogue.tool == "look_up_order" and special:
        foreign = (replace(order, customer=SOMEBODY),)
        return Task(name, "not theirs", message, foreign, (handed,), (), (first, over))
    if dialogue.tool == "look_up_order":
        return Task(name, "where", message, (order,), (), (DAY,), (first,))
    if special:
        dear = (replace(order, cents=APPROVAL + 10),)
        return Task(name, "over 100 euros", message, dear, (handed,), (), (first, over))
    paid = ("refund", dict(asked))
    return Task(name, "refund", message, (order,), (paid,), ("42.00",), (first,))


# endregion suite


def call(tool: str, arguments: dict[str, str]) -> Call:
    """A call as a run records it."""
    return tool, json.dumps(arguments, sort_keys=True)


# region interval
def wilson(successes: int, trials: int) -> tuple[float, float]:
    """The 95 % interval of a share; also right for 0 of 20."""
    if not trials:
        return 0.0, 1.0
    interval = binomtest(successes, trials).proportion_ci(method="wilson")
    return float(interval.low), float(interval.high)


# endregion interval


# region summary
def summary(grades: Sequence[Grade]) -> dict[str, Any]:
    """Both grades of a suite with what they cost, for a table."""
    solved = sum(each.solved for each in grades)
    low, high = wilson(solved, len(grades))
    tokens = sum(each.run.tokens for each in grades)
    return {
        "tasks": len(grades),
        "ledger right": sum(each.right for each in grades),
        "solved": solved,
        "solved, 95 %": f"{low:.0%} to {high:.0%}",
        "straight": sum(each.straight for each in grades),
        "model calls a task": round(sum(g.run.steps for g in grades) / len(grades), 1),
        "tokens a task": round(tokens / len(grades)),
        "tokens a solved task": round(tokens / solved) if solved else "none solved",
    }


# endregion summary
