"""The workflow as it is not: variants that lose or double something, for the table of crashes to show."""

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from triage.agent.desk import Desk
from triage.agent.fuse import CrashingDesk
from triage.agent.planning import Plan, ScriptedPlanner, Ticket, steps_of


# region naive
class WithoutRule(Desk):
    """Knows no rule that an order is paid back once, as where part refunds exist."""

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
    """A key that is made when the request is sent: another one the next time."""

    def _once(
        self, key: str, kind: str, request: dict[str, Any], act: Callable
    ) -> dict[str, Any]:
        return super()._once(str(uuid.uuid4()), kind, request, act)


class NotedBefore(Desk):
    """Notes that a step is done, then does it. What is noted is not done again."""

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
        plan = super().plan(ticket, objection)
        if again:
            return Plan(steps_of("look_up_order", {"order": plan.steps[0]["order"]}))
        return plan


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
    """Seconds until the first checkpoint is on its way: a busy disk."""


VARIANTS = {
    "workflow": Variant(),
    "fresh keys": Variant(Doubling),
    "fresh keys and a rule": Variant(Refusing),
    "noted before": Variant(Losing),
    "bad network": Variant(Flaky),
    "by next": Variant(graph=ByNext),
    "moody": Variant(moody=True, pause=0.3),
    "moody, saved later": Variant(graph=ByDefault, moody=True, pause=0.3),
}
