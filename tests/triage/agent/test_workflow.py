"""A ticket's way through the hands, and what is left of it when the process is killed on the way."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
from langgraph.types import Command, RetryPolicy

from triage.agent.crashes import SCENARIOS, Row, table
from triage.agent.desk import APPROVAL, Desk, Order, Refused
from triage.agent.endpoint import Endpoint
from triage.agent.hands import BUDGET, State, begin, key_of, review
from triage.agent.naive import VARIANTS
from triage.agent.planning import (
    ModelPlanner,
    Plan,
    ScriptedPlanner,
    Step,
    Ticket,
    steps_of,
)
from triage.agent.workflow import (
    PASSING,
    PLANS,
    WAITS,
    carry_on,
    checkpoints,
    graph_of,
)

CHEAP = Order("LR-11111", "C-1", "lamp", 2_500, "packed", "Monday", held=False)
DEAR = Order("LR-22222", "C-1", "tent", APPROVAL + 10, "packed", "Friday", held=False)
GONE = Order("LR-33333", "C-1", "mat", 2_500, "shipped", "Friday", held=False)
STRANGE = Order("LR-44444", "C-2", "mat", 2_500, "packed", "Friday", held=False)
AT_ONCE = RetryPolicy(
    initial_interval=0.001, jitter=False, max_attempts=4, retry_on=PASSING
)


def make(path: Path, kind: type[Desk] = Desk) -> Desk:
    desk = kind.create(path, orders=0)
    for order in (CHEAP, DEAR, GONE, STRANGE):
        desk.add(order)
    return desk


def asks(text: str, customer: str = "C-1") -> Ticket:
    return Ticket(customer=customer, text=text)


def refund_of(order: Order) -> Ticket:
    return asks(f"The {order.item} of {order.number} is broken. My money back, please.")


def go(
    desk: Desk, ticket: Ticket, planner: Any = None, thread: str = "T"
) -> State | None:
    """As far as a fresh process would take it."""
    with checkpoints(desk.path.with_name("checkpoints.db")) as saver:
        graph = graph_of(desk, planner or ScriptedPlanner(), saver, AT_ONCE)
        return carry_on(graph, desk, thread, ticket)


def kinds(desk: Desk) -> list[str]:
    return [effect.kind for effect in desk.effects()]


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return make(tmp_path / "desk.db")


class Fixed:
    """Plans that are given, one a call, the last again and again."""

    def __init__(self, *plans: list[Step]):
        self.plans = list(plans)
        self.objections: list[str] = []

    def plan(self, ticket: Ticket, objection: str) -> Plan:
        self.objections.append(objection)
        steps = self.plans.pop(0) if len(self.plans) > 1 else self.plans[0]
        return Plan(steps, tokens=10)


# The way


def test_a_cheap_order_is_held_and_paid_back(desk: Desk) -> None:
    state = go(desk, refund_of(CHEAP))
    assert state is not None
    assert state["outcome"] == "refunded 25.00"
    assert kinds(desk) == ["hold", "refund"]
    assert desk.look_up(CHEAP.number).held


def test_what_has_left_is_not_held(desk: Desk) -> None:
    go(desk, refund_of(GONE))
    assert kinds(desk) == ["refund"]


def test_a_question_has_no_effect(desk: Desk) -> None:
    state = go(desk, asks(f"Where is {GONE.number}?"))
    assert state is not None
    assert (state["outcome"], kinds(desk)) == ("shipped", [])


def test_what_no_step_fits_goes_to_people(desk: Desk) -> None:
    state = go(desk, asks("Is the lamp waterproof?"))
    assert state is not None
    assert state["outcome"] == "handed over: as planned"
    assert kinds(desk) == ["hand_over"]


def test_the_state_is_json(desk: Desk) -> None:
    state = go(desk, refund_of(CHEAP))
    assert json.loads(json.dumps(state)) == state


def test_a_ticket_that_is_done_stays_done(desk: Desk) -> None:
    first = go(desk, refund_of(CHEAP))
    assert go(desk, refund_of(CHEAP)) == first
    assert kinds(desk) == ["hold", "refund"]


def test_tickets_do_not_share_keys(desk: Desk) -> None:
    go(desk, refund_of(CHEAP), thread="T-1")
    go(desk, refund_of(GONE), thread="T-2")
    assert [each.key for each in desk.effects()] == ["T-1/1", "T-1/2", "T-2/2"]


def test_a_key_depends_on_the_thread_and_the_step() -> None:
    state = begin("T", refund_of(CHEAP))
    assert key_of(state) == key_of(begin("T", refund_of(DEAR)))
    assert key_of(state) != key_of({**state, "step": 1})
    assert key_of(state) != key_of(begin("U", refund_of(CHEAP)))


# A person


def test_a_dear_order_waits_for_a_person(desk: Desk) -> None:
    assert go(desk, refund_of(DEAR)) is None
    assert go(desk, refund_of(DEAR)) is None
    assert kinds(desk) == ["hold"]
    desk.approve(DEAR.number, "Ada")
    state = go(desk, refund_of(DEAR))
    assert state is not None
    assert "approval: a person said yes" in state["log"]
    assert kinds(desk) == ["hold", "refund"]


def test_a_no_releases_the_parcel(desk: Desk) -> None:
    go(desk, refund_of(DEAR))
    desk.decline(DEAR.number, "Ada")
    state = go(desk, refund_of(DEAR))
    assert state is not None
    assert state["outcome"] == "handed over: A person said no."
    assert kinds(desk) == ["hold", "release", "hand_over"]
    assert not desk.look_up(DEAR.number).held


def test_a_yes_that_no_person_gave_pays_nothing(desk: Desk) -> None:
    """Whoever can resume the graph is not thereby allowed to approve."""
    go(desk, refund_of(DEAR))
    with checkpoints(desk.path.with_name("checkpoints.db")) as saver:
        graph = graph_of(desk, ScriptedPlanner(), saver)
        config = {"configurable": {"thread_id": "T"}}
        state = graph.invoke(Command(resume=True), config, durability="sync")
    assert "a person must approve" in state["outcome"]
    assert kinds(desk) == ["hold", "release", "hand_over"]


# The reviewer


def test_a_misread_number_is_found_and_undone(desk: Desk) -> None:
    planner = ScriptedPlanner(misread=[STRANGE.number])
    state = go(desk, refund_of(CHEAP), planner)
    assert state is not None
    assert (state["outcome"], state["calls"]) == ("refunded 25.00", 2)
    assert kinds(desk) == ["hold", "release", "hold", "refund"]
    assert not desk.look_up(STRANGE.number).held


def test_a_planner_that_does_not_learn_is_asked_no_more(desk: Desk) -> None:
    wrong = steps_of("refund", {"order": STRANGE.number, "reason": "late"})
    planner = Fixed(wrong)
    state = go(desk, refund_of(CHEAP), planner)
    assert state is not None
    assert len(planner.objections) == PLANS == state["calls"]
    assert state["tokens"] == 10 * PLANS
    assert "does not speak of" in planner.objections[-1]
    assert kinds(desk)[-1] == "hand_over"
    assert "refund" not in kinds(desk)


def test_nobody_is_paid_for_the_order_of_another(desk: Desk) -> None:
    state = go(desk, refund_of(STRANGE))
    assert state is not None
    assert "is not an order of C-1" in state["outcome"]
    assert "refund" not in kinds(desk)


def test_every_refund_is_reviewed(desk: Desk) -> None:
    """Also the second one of a plan whose first was as it should be."""
    steps = [
        step
        for order in (CHEAP, STRANGE)
        for step in steps_of("refund", {"order": order.number, "reason": "late"})
    ]
    state = go(desk, refund_of(CHEAP), Fixed(steps))
    assert state is not None
    paid = [each.request["order"] for each in desk.effects() if each.kind == "refund"]
    assert paid == [CHEAP.number]
    assert state["outcome"].startswith("handed over")


def test_what_nobody_looked_up_is_not_paid() -> None:
    step = {"kind": "refund", "order": CHEAP.number, "reason": "late"}
    assert "looked" in review(refund_of(CHEAP), step, None)


def test_an_order_that_is_not_there_goes_to_people(desk: Desk) -> None:
    state = go(desk, asks("I want my money back for LR-99999"))
    assert state is not None
    assert state["outcome"] == "handed over: There is no order LR-99999."
    assert state["calls"] == PLANS


def test_the_budget_ends_a_plan(desk: Desk) -> None:
    endless = [{"kind": "look_up", "order": CHEAP.number}] * 100
    state = go(desk, refund_of(CHEAP), Fixed(endless))
    assert state is not None
    assert state["step"] == BUDGET + 1
    assert kinds(desk) == ["hand_over"]


# Failures that pass, and rules that do not


class Counting(Desk):
    """Fails as often as it is told, after the effect if `late`."""

    failures = 0
    late = False
    asked = 0

    def _once(self, key: str, kind: str, request: Any, act: Any) -> dict[str, Any]:
        self.asked += 1
        fails, self.failures = self.failures > 0, self.failures - 1
        if fails and not self.late:
            raise ConnectionError("no answer")
        result = super()._once(key, kind, request, act)
        if fails:
            raise TimeoutError("the answer was lost")
        return result


@pytest.mark.parametrize("late", [False, True])
def test_what_passes_is_tried_again(tmp_path: Path, late: bool) -> None:
    desk = make(tmp_path / "desk.db", Counting)
    desk.failures, desk.late = 3, late
    state = go(desk, refund_of(CHEAP))
    assert state is not None
    assert state["outcome"] == "refunded 25.00"
    assert kinds(desk) == ["hold", "refund"]
    assert desk.asked == 5


def test_what_lasts_is_left_to_the_next_process(tmp_path: Path) -> None:
    desk = make(tmp_path / "desk.db", Counting)
    desk.failures = 1_000
    with pytest.raises(ConnectionError):
        go(desk, refund_of(CHEAP))
    assert desk.asked == AT_ONCE.max_attempts
    desk.failures = 0
    state = go(desk, refund_of(CHEAP))
    assert state is not None
    assert (kinds(desk), state["calls"]) == (["hold", "refund"], 1)


def test_a_refusal_is_not_tried_again(tmp_path: Path) -> None:
    desk = make(tmp_path / "desk.db", Counting)
    desk.refund(CHEAP.number, "late", "by telephone")
    desk.asked = 0
    state = go(desk, refund_of(CHEAP))
    assert state is not None
    assert "paid back already" in state["outcome"]
    assert desk.asked == 4  # hold, refund, release, hand_over


# Killed


@cache
def rows_of(scenario: str, variant: str = "workflow") -> list[Row]:
    return table(scenario, variant)


@pytest.mark.slow
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_killed_at_every_point_nothing_is_lost_or_doubled(scenario: str) -> None:
    rows = rows_of(scenario)
    assert [row for row in rows if not row.right] == []
    points = {row.point for row in rows}
    effects = {"before hold #1", "after hold #1", "before checkpoint to hold #1"}
    if scenario in ("declined", "refused"):
        effects |= {"before release #1", "after release #1", "after hand_over #1"}
    else:
        effects |= {"before refund #1", "after refund #1"}
    if scenario in ("approved", "declined"):
        effects |= {"after writes to interrupt #1", "before the answer #1"}
        effects |= {"before writes to resume #1", "after writes to resume #1"}
    assert effects <= points
    assert len(rows) == len(points) >= 30


@pytest.mark.slow
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_killed_again_and_again(scenario: str) -> None:
    """One ticket, whose processes are killed wherever one was not killed before."""
    (row,) = table(scenario, "workflow", "together")
    assert row.right, row
    assert row.killed > 20  # not all: some points are not met again after a kill


@pytest.mark.slow
def test_killed_on_a_bad_network() -> None:
    assert all(row.right for row in rows_of("refund", "bad network"))


@pytest.mark.slow
def test_fresh_keys_double() -> None:
    """The proof that the table can show it."""
    rows = {row.point: row for row in rows_of("refund", "fresh keys")}
    assert "refund LR-48213" in rows["after refund #1"].doubled
    assert "hold LR-48213" in rows["after hold #1"].doubled
    assert rows["before refund #1"].right


@pytest.mark.slow
def test_a_rule_is_no_idempotency() -> None:
    """The second refund is refused, and so the parcel goes to who has the money."""
    rows = {row.point: row for row in rows_of("refund", "fresh keys and a rule")}
    killed = rows["after refund #1"]
    assert (killed.doubled, killed.held) == ([], False)
    assert killed.unwanted == ["hand_over", "release LR-48213"]


@pytest.mark.slow
def test_noting_before_doing_loses() -> None:
    rows = {row.point: row for row in rows_of("refund", "noted before")}
    assert rows["before refund #1"].lost == ["refund LR-48213"]
    assert rows["after refund #1"].doubled == []


@pytest.mark.slow
def test_going_on_only_if_a_node_is_next_loses() -> None:
    rows = rows_of("refund", "by next")
    assert sum(len(row.lost) for row in rows) > 0
    assert any(row.point.startswith("after writes") and row.lost for row in rows)


@pytest.mark.slow
def test_a_plan_is_saved_before_it_is_begun() -> None:
    """What a planner said that says something else the next time."""

    def half(rows: list[Row]) -> list[Row]:
        return [row for row in rows if row.outcome == "packed" and row.held]

    assert half(rows_of("refund", "moody")) == []
    assert half(rows_of("refund", "moody, saved later"))


def test_every_variant_is_one_of_the_above() -> None:
    assert set(VARIANTS) == {
        "workflow",
        "bad network",
        "fresh keys",
        "fresh keys and a rule",
        "noted before",
        "by next",
        "moody",
        "moody, saved later",
    }


def test_two_processes_for_one_ticket(desk: Desk) -> None:
    """As after a queue has given up on a worker that is only slow."""
    with ThreadPoolExecutor(4) as pool:
        states = list(pool.map(lambda _: go(desk, refund_of(CHEAP)), range(4)))
    assert [state and state["outcome"] for state in states] == ["refunded 25.00"] * 4
    assert kinds(desk) == ["hold", "refund"]


# The model, and the command


class Api(BaseHTTPRequestHandler):
    """Says whatever `says` holds, the way the OpenAI-compatible APIs do; hangs if that is None."""

    says: Any = None
    asked: ClassVar[list[Any]] = []

    def do_POST(self) -> None:
        length = int(self.headers["Content-Length"])
        type(self).asked.append(json.loads(self.rfile.read(length)))
        if self.says is None:
            time.sleep(60)
            return
        message = {"role": "assistant", "content": None, **self.says}
        body = {
            "id": "1",
            "object": "chat.completion",
            "created": 1,
            "model": "assistant",
            "choices": [{"index": 0, "finish_reason": "stop", "message": message}],
            "usage": {"prompt_tokens": 30, "completion_tokens": 12, "total_tokens": 42},
        }
        answer = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *arguments: Any) -> None:
        """Not in a test."""


def calls(name: str, arguments: str) -> dict[str, Any]:
    function = {"name": name, "arguments": arguments}
    return {"tool_calls": [{"id": "1", "type": "function", "function": function}]}


@pytest.fixture
def api() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Api)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    Api.says, Api.asked = None, []
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()


REFUND = calls("refund", json.dumps({"order": CHEAP.number, "reason": "late"}))


@pytest.mark.parametrize(
    ("says", "kinds"),
    [
        (REFUND, ["look_up", "hold", "refund"]),
        (calls("look_up_order", '{"order": "LR-1"}'), ["look_up"]),
        (calls("triage", "{}"), ["hand_over"]),
        (calls("delete_all", "{}"), ["hand_over"]),
        (calls("refund", '{"order": '), ["hand_over"]),
        (calls("refund", '["LR-1"]'), ["hand_over"]),
        ({"content": "I have refunded it."}, ["hand_over"]),
    ],
)
def test_a_tool_call_becomes_steps(api: str, says: Any, kinds: list[str]) -> None:
    Api.says = says
    planner = ModelPlanner(Endpoint(api, "assistant", "none"))
    plan = planner.plan(refund_of(CHEAP), "The ticket does not speak of it.")
    assert ([step["kind"] for step in plan.steps], plan.tokens) == (kinds, 42)
    assert "does not speak" in Api.asked[0]["messages"][0]["content"]


@pytest.mark.slow
def test_the_command_is_killed_from_outside_and_goes_on(desk: Desk, api: str) -> None:
    ticket = desk.path.with_name("ticket.json")
    ticket.write_text(json.dumps(refund_of(DEAR)))
    saved = desk.path.with_name("checkpoints.db")
    command = [sys.executable, "-m", "triage.agent.workflow"]
    command += [str(desk.path), str(saved), "T-9", str(ticket)]
    environment = os.environ | {"OPENAI_BASE_URL": api, "OPENAI_MODEL": "assistant"}
    with subprocess.Popen(command, env=environment) as process:
        deadline = time.monotonic() + 60
        while not Api.asked and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert kinds(desk) == []

    text = json.dumps({"order": DEAR.number, "reason": "late"})
    Api.says = calls("refund", text)
    assert subprocess.run(command, env=environment).returncode == WAITS
    desk.approve(DEAR.number, "Ada")
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True)
    assert (done.returncode, done.stdout) == (0, "T-9: refunded 100.10\n")
    assert [each.key for each in desk.effects()] == ["T-9/1", "T-9/2"]


def test_the_command_says_how_it_is_called() -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "triage.agent.workflow"], capture_output=True, text=True
    )
    assert ran.returncode == 2
    assert "DESK CHECKPOINTS THREAD TICKET" in ran.stderr


def test_a_desk_refuses_a_declined_refund(desk: Desk) -> None:
    desk.decline(DEAR.number, "Ada")
    desk.approve(DEAR.number, "Eve")  # too late: the first answer stays
    assert desk.decision(DEAR.number) is False
    assert desk.decision(CHEAP.number) is None
    with pytest.raises(Refused, match="a person must approve"):
        desk.refund(DEAR.number, "late", "k")
