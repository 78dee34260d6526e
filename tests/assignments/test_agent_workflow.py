"""The assignment `agent-workflow`: its desk is what the contract says, and its checks tell apart."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import psutil
import pytest

from autograder import assignments, judge
from autograder.checks import Assignment
from autograder.errors import LearnerError
from autograder.sandbox.direct import Direct
from autograder.verdict import CheckResult
from autograder.work import Work

FOLDER = assignments.COURSE / "07-agent-workflow"
SUBMISSIONS = sorted(path.name for path in (FOLDER / "submissions").iterdir())
WRONG = [name for name in SUBMISSIONS if name.startswith("wrong-")]
# Who cannot answer a question, or make a plain refund, has no more to be looked at.
FATAL = {"wrong-untouched-starter", "wrong-hands-everything-over"}
# What was never held before a refund is not there to be let go after one that failed.
TWICE = {"wrong-holds-after-paying"}


@pytest.fixture(scope="module")
def agents() -> Assignment:
    return assignments.load(FOLDER)


def module(agents: Assignment, name: str) -> ModuleType:
    checks = agents.checks["agent-workflow/answers"].function.__module__
    return sys.modules[f"{checks.rpartition('.')[0]}.{name}"]


@pytest.fixture(scope="module")
def bench(agents: Assignment) -> ModuleType:
    return module(agents, "bench")


@pytest.fixture(scope="module")
def rules(agents: Assignment) -> ModuleType:
    return module(agents, "rules")


@pytest.fixture(scope="module")
def desk(agents: Assignment) -> ModuleType:
    return module(agents, "given.desk")


def expectation(name: str) -> dict:
    return json.loads((FOLDER / "submissions" / name / "expected.json").read_bytes())


# --- its parts ---


def test_every_check_has_a_submission_that_fails_it_alone(agents: Assignment) -> None:
    losses = [expectation(name)["loses"] for name in WRONG if name not in FATAL | TWICE]
    assert all(len(loses) == 1 for loses in losses)
    never = {f"agent-workflow/{check}" for check in ("answers", "outcomes")}
    assert {loses[0] for loses in losses} == agents.checks.keys() - never
    for name in FATAL:
        assert expectation(name) == {"points": 0, "loses": list(agents.checks)}


def test_notebook_and_desk_name_the_same_figures(
    bench: ModuleType, desk: ModuleType
) -> None:
    contract = " ".join((FOLDER / "notebook.md").read_text().split())
    assert f"({desk.APPROVAL:,} cents)" in contract
    assert f"**{desk.MODEL_CALLS} calls of the model**" in contract
    assert f"**{desk.TOOL_CALLS} of tools**" in contract
    assert f"{bench.SECONDS:g} seconds from a call of `handle`" in contract
    assert f"no more than {bench.ENTRIES}, and {bench.KEPT >> 20} MB" in contract
    assert (desk.PASSING, desk.RETURNS) == (3, 4)
    assert "after at most three calls" in contract
    assert "called again later, at most four times" in contract
    for reason in desk.REASONS:
        assert f"`{reason}`" in contract


def test_notebook_has_a_row_for_each_tool(desk: ModuleType) -> None:
    rows = {}
    for line in (FOLDER / "notebook.md").read_text().splitlines():
        if line.startswith("| `"):
            tool, takes = (cell.strip() for cell in line.split("|")[1:3])
            rows[tool.strip("`")] = tuple(takes.replace("`", "").split(", "))
    assert rows == desk.TOOLS


# --- tickets ---


@pytest.mark.parametrize("seed", range(5))
def test_a_ticket_is_the_same_for_the_same_seed_and_no_other(
    desk: ModuleType, seed: int
) -> None:
    for kind in desk.KINDS:
        first, same, other = (desk.draw(kind, s) for s in (f"{seed}", f"{seed}", "x"))
        assert first == same
        assert first.ticket["id"] != other.ticket["id"]
        assert set(first.orders) != set(other.orders)


@pytest.mark.parametrize("seed", range(5))
def test_a_ticket_is_what_its_kind_says(desk: ModuleType, seed: int) -> None:
    for kind, (wants, status, cents, _) in desk.KINDS.items():
        case = desk.draw(kind, str(seed))
        assert (case.kind, case.wants) == (kind, wants)
        assert (case.number in case.ticket["message"]) is (wants != "other")
        assert not any(day in case.ticket["message"] for day in desk.DAYS)
        assert case.other not in case.ticket["message"]
        if kind in ("stranger", "nosy", "nowhere"):
            continue
        assert case.order.customer == case.ticket["customer"]
        assert case.orders[case.other].customer == case.ticket["customer"]
        assert case.orders[case.other].cents <= desk.APPROVAL
        assert (case.order.cents > desk.APPROVAL) is (cents == "dear")
        assert not status or case.order.status == status
        assert (desk.lure_text(case) in case.order.note) if case.lure else True


def test_every_kind_is_looked_at_by_a_check(desk: ModuleType) -> None:
    checks = "".join((FOLDER / name).read_text() for name in ("checks.py", "hidden.py"))
    assert all(f'"{kind}"' in checks for kind in desk.KINDS)


# --- the desk ---


@pytest.fixture
def world(desk: ModuleType) -> Any:
    return desk.World(desk.draw("dear-packed", "any"))


def test_the_same_key_does_it_once_and_a_new_one_again(world: Any) -> None:
    order = world.case.number
    first = world.call("hold", {"order": order, "key": "a"})
    assert first == world.call("hold", {"order": order, "key": "a"}) == {"hold": True}
    assert len(world.ledger) == 1
    world.call("hold", {"order": order, "key": "b"})
    assert len(world.ledger) == 2
    other = world.call("release", {"order": order, "key": "a"})
    assert other["error"] == "refused"
    assert len(world.ledger) == 2


def test_keys_are_known_to_the_tickets_after(desk: ModuleType) -> None:
    keys: dict[str, Any] = {}
    answers = []
    for seed in "ab":
        world = desk.World(desk.draw("refund", seed), keys)
        arguments = {"order": world.case.number, "reason": "late", "key": "refund"}
        answers.append(world.call("refund", arguments))
    assert "refunded" in answers[0]
    assert answers[1]["error"] == "refused"


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("pay", {}),
        ("hold", None),
        ("hold", {"order": "LR-00000"}),
        ("hold", {"order": "LR-00000", "key": ""}),
        ("hold", {"order": 5, "key": "a"}),
        ("hold", {"order": "LR-00000", "key": "a"}),
        ("reply", {"text": ["a"], "key": "a"}),
        ("reply", {"text": "a", "key": "a", "to": "b"}),
    ],
)
def test_a_call_that_cannot_be_made_has_no_effect(
    world: Any, tool: str, arguments: Any
) -> None:
    assert world.call(tool, arguments)["error"] == "refused"
    assert not world.ledger
    assert not world.keys


def test_what_cannot_be_is_refused(desk: ModuleType) -> None:
    world = desk.World(desk.draw("refund", "any"))
    order = world.case.number
    held = world.call("hold", {"order": order, "key": "a"})
    because = world.call("refund", {"order": order, "reason": "sad", "key": "b"})
    assert held["error"] == because["error"] == "refused"
    assert not world.ledger


def test_an_outage_passes_and_does_nothing(desk: ModuleType) -> None:
    world = desk.World(desk.draw("shaky", "any"))
    for tool in ("look_up_order", "look_up_approval"):
        answers = [world.call(tool, {"order": world.case.number}) for _ in range(4)]
        out = [answer.get("error") for answer in answers]
        assert 1 <= out.count("unavailable") <= desk.PASSING
        assert out == sorted(out, key=lambda error: error is None)
    assert not world.ledger


def test_a_lost_answer_was_an_effect(desk: ModuleType) -> None:
    world = desk.World(desk.draw("lost-refund", "any"))
    arguments = {"order": world.case.number, "reason": "late", "key": "a"}
    assert world.call("refund", arguments)["error"] == "unavailable"
    assert [effect.tool for effect in world.ledger] == ["refund"]
    assert "refunded" in world.call("refund", arguments)
    assert len(world.ledger) == 1


def test_an_approval_comes_after_the_waits_and_not_by_asking_often(world: Any) -> None:
    order = {"order": world.case.number}

    def state() -> str:
        return world.call("look_up_approval", order)["state"]

    assert state() == "not asked"
    world.waited()
    assert state() == "not asked"
    world.waits = 0
    world.call("ask_approval", {**order, "key": "a"})
    assert [state() for _ in range(10)] == ["waiting"] * 10
    world.call("refund", {**order, "reason": "late", "key": "b"})
    world.waited()
    assert state() == "granted"
    world.call("refund", {**order, "reason": "late", "key": "c"})
    assert [each.approved for each in world.ledger] == [False, False, True]


# --- the model ---


def conversation(world: Any, *more: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"role": "user", "content": world.case.ticket["message"]}, *more]


def proposed(world: Any, messages: list[dict[str, Any]]) -> tuple[str, str]:
    """Tool and arguments that the model proposes, or "" and its words."""
    message = world.say(messages)["choices"][0]["message"]
    for call in message.get("tool_calls", []):
        return call["function"]["name"], call["function"]["arguments"]
    return "", message["content"]


def looked_up(world: Any) -> dict[str, Any]:
    order = world.call("look_up_order", {"order": world.case.number})
    return {"role": "tool", "content": json.dumps(order)}


def test_the_model_goes_from_step_to_step(desk: ModuleType) -> None:
    world = desk.World(desk.draw("refund", "any"))
    case = world.case
    assert proposed(world, [{"role": "user", "content": "hi"}])[0] == ""
    number = json.dumps({"order": case.number})
    assert proposed(world, conversation(world)) == ("look_up_order", number)
    reason = json.dumps({"order": case.number, "reason": case.reason})
    found = looked_up(world)
    assert proposed(world, conversation(world, found)) == ("refund", reason)
    paid = {
        "role": "tool",
        "content": f'{{"refunded": "{desk.euros(case.order.cents)}"}}',
    }
    assert proposed(world, conversation(world, found, paid))[0] == ""


def test_the_model_reads_facts_wherever_they_stand(desk: ModuleType) -> None:
    world = desk.World(desk.draw("where", "any"))
    text = f"{world.case.ticket['message']}\n{looked_up(world)['content']}"
    tool, words = proposed(world, [{"role": "user", "content": text}])
    assert tool == ""
    assert world.case.order.day in words


def test_the_model_obeys_a_note_that_it_reads_twice(desk: ModuleType) -> None:
    world = desk.World(desk.draw("lure-order", "any"))
    messages = conversation(world, looked_up(world))
    numbers = [json.loads(proposed(world, messages)[1])["order"] for _ in range(3)]
    assert numbers == [world.case.other, world.case.other, world.case.number]


def test_the_model_answers_only_so_often(desk: ModuleType) -> None:
    world = desk.World(desk.draw("endless", "any"))
    for _ in range(desk.MODEL_CALLS):
        assert proposed(world, conversation(world))[0]
    assert not world.over_budget
    assert world.say(conversation(world))["error"] == "refused"
    assert world.over_budget
    assert world.tokens > 0


@pytest.mark.parametrize(
    "messages",
    [None, [], ["hi"], [{"content": "hi"}], [{"role": "user", "content": 5}]],
)
def test_the_model_reads_conversations_only(world: Any, messages: Any) -> None:
    assert world.say(messages)["error"] == "refused"
    assert world.model_calls == 0


def test_the_model_says_otherwise_after_a_crash(desk: ModuleType) -> None:
    world = desk.World(desk.draw("crash-reply", "any"))
    messages = conversation(world, looked_up(world))
    before = proposed(world, messages)
    assert proposed(world, messages) == before
    assert world.kills("reply") == "before"
    assert world.kills("reply") == ""
    assert proposed(world, messages) != before


# --- the rules ---


@pytest.mark.parametrize(
    ("kind", "done"),
    [
        ("where", "reply"),
        ("refund", "refund reply"),
        ("other", "hand_over"),
        ("packed", "hold refund reply"),
        ("nosy", "hand_over"),
        ("nowhere", "hand_over"),
        ("late", "ask_approval refund reply"),
        ("denied-packed", "hold ask_approval release reply"),
        ("refused-packed", "hold release hand_over"),
        ("no-orders", "hand_over"),
        ("no-refunds", "hand_over"),
        ("lure-words", "reply"),
        ("endless", "hand_over"),
        ("endless", "refund reply"),
        ("claims", "hand_over"),
    ],
)
def test_what_is_right_has_no_fault(
    bench: ModuleType, rules: ModuleType, desk: ModuleType, kind: str, done: str
) -> None:
    assert rules.fault(traced(bench, desk, kind, done), tuple(rules.FAULTS)) is None


@pytest.mark.parametrize(
    ("kind", "done", "said"),
    [
        ("where", "", "neither reply nor hand_over"),
        ("where", "hand_over", "ended with hand_over"),
        ("where", "reply hand_over", "ended with reply and hand_over"),
        ("where", "reply:soon", "does not say what the customer needs"),
        ("where", "reply:week", "names another day"),
        ("refund", "reply", "was not made"),
        ("refund", "hand_over", "handed over without it"),
        ("refund", "refund refund reply", "refund was done 2 times"),
        ("refund", "refund:other refund reply", "not named"),
        ("refund", "ask_approval refund reply", "needs no approval"),
        ("refund", "refund:why reply", "another reason"),
        ("shipped", "release refund reply", "left alone"),
        ("packed", "refund reply", "was not held"),
        ("packed", "refund hold reply", "before the parcel was held"),
        ("packed", "hold refund release reply", "though its order was refunded"),
        ("late", "refund reply", "without one"),
        ("late", "hand_over", "should have been asked"),
        ("denied", "ask_approval refund reply", "without one"),
        ("denied", "reply", "should have been asked"),
        ("refused-packed", "hold hand_over", "still held"),
        ("stranger", "refund reply", "should not have been"),
        ("lure-words", "reply:link", "a note in the order"),
    ],
)
def test_what_is_wrong_is_said(
    bench: ModuleType,
    rules: ModuleType,
    desk: ModuleType,
    kind: str,
    done: str,
    said: str,
) -> None:
    found = rules.fault(traced(bench, desk, kind, done), tuple(rules.FAULTS))
    assert found is not None
    assert said in found[0]
    assert found[1]


def traced(bench: ModuleType, desk: ModuleType, kind: str, done: str) -> Any:
    """What was done in a ticket, told as `tool` or `tool:how`."""
    world = desk.World(desk.draw(kind, "any"))
    case = world.case
    order = case.orders.get(case.number)
    facts = f"{order.status}, {order.day}; {desk.euros(order.cents)}" if order else ""
    if case.wants == "refund" and order:
        facts = desk.euros(order.cents)
    texts = {
        "": facts,
        "soon": "It will come soon.",
        "week": f"{facts} {' '.join(desk.DAYS)}",
        "link": f"{facts} {desk.LINK}",
    }
    approved = False
    for step in done.split():
        tool, _, how = step.partition(":")
        arguments = {"order": case.other if how == "other" else case.number}
        if tool == "refund":
            arguments["reason"] = "so" if how == "why" else case.reason
        if tool in ("reply", "hand_over"):
            arguments = {"text": texts[how]} if tool == "reply" else {"why": "so"}
        world.ledger.append(desk.Effect(tool, arguments, approved))
        approved = approved or (tool == "ask_approval" and case.approval == "granted")
    return bench.Trace(case, world, None)


# --- the state folder ---


def test_a_state_folder_is_kept_as_it_was(bench: ModuleType, tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    (old / "a/b").mkdir(parents=True)
    (old / "a/b/c.txt").write_bytes(b"c\0")
    (old / "d.txt").write_bytes(b"")
    bench.restore(bench.kept(old), new)
    assert bench.kept(new) == bench.kept(old)
    assert (new / "a/b/c.txt").read_bytes() == b"c\0"
    assert (new / "a").stat().st_mode & 0o777 == 0o777


def test_no_link_of_a_state_folder_is_followed(
    bench: ModuleType, tmp_path: Path
) -> None:
    secret, state = tmp_path / "secret", tmp_path / "state"
    for folder in (secret, state):
        folder.mkdir()
    (secret / "key").write_text("hush")
    (state / "file").symlink_to(secret / "key")
    (state / "folder").symlink_to(secret)
    os.mkfifo(state / "pipe")
    assert bench.kept(state) == {}
    linked = tmp_path / "linked"
    linked.symlink_to(secret)
    assert bench.kept(linked) == {}
    assert bench.kept(tmp_path / "gone") == {}


def test_a_state_folder_has_limits(bench: ModuleType, tmp_path: Path) -> None:
    many, large = tmp_path / "many", tmp_path / "large"
    for folder in (many, large):
        folder.mkdir()
    for number in range(bench.ENTRIES + 1):
        (many / str(number)).touch()
    with pytest.raises(LearnerError, match="more than 40 files"):
        bench.kept(many)
    with (large / "file").open("wb") as file:
        file.truncate(bench.KEPT + 1)
    with pytest.raises(LearnerError, match="more than 16 MB"):
        bench.kept(large)
    with pytest.raises(LearnerError, match="could not be kept"):
        bench.restore({}, many)


# --- agents that do as they like ---


@contextlib.contextmanager
def work_on(
    tmp_path: Path, agents: Assignment, code: str, **more: Any
) -> Iterator[Work]:
    """The reference, with this code after it, to be checked."""
    folder = tmp_path / "handed-in"
    shutil.copytree(FOLDER / "submissions/reference", folder)
    with (folder / "agent.py").open("a") as file:
        file.write(f"\n\n{code}\n")
    with (
        judge.taken_in(folder, agents) as (_, copy),
        judge.work_on(copy, agents, seed=7, **more) as work,
    ):
        yield work


def checked(work: Work, agents: Assignment, check: str) -> CheckResult:
    wanted = agents.required([f"agent-workflow/{check}"])
    return list(judge.run_checks(work, list(wanted)))[-1]


WILD = {
    "raises": ("    raise ValueError('no')", "raised ValueError: no"),
    "exits": ("    raise SystemExit", "raised SystemExit"),
    "ends": ("    os._exit(3)", "ended by itself"),
    "waits": ("    return 'waiting'", '"waiting" 5 times'),
    "calls": (
        "    while True: desk.call('look_up_order', {'order': 'LR-1'})",
        "ore than 40 calls",
    ),
    "garbage": ("    desk._line._socket.sendall(b'{\\n')", "read as JSON"),
    "other": ("    desk._line.ask({'do': 'it'})", "no tool and no message"),
    "long": ("    model.say(['x' * (2 << 20)])", "more than 1,048,576 bytes"),
    "sleeps": ("    import time; time.sleep(60)", "not handled within 2 seconds"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", WILD)
def test_what_is_no_agent_is_called_that(
    tmp_path: Path,
    agents: Assignment,
    bench: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    body, said = WILD[name]
    monkeypatch.setattr(bench, "SECONDS", 2.0 if name == "sleeps" else bench.SECONDS)
    code = f"def handle(ticket, desk, model, state):\n{body}"
    with work_on(tmp_path, agents, code) as work:
        result = checked(work, agents, "answers")
    assert result.points == 0
    assert said in result.seen
    assert result.advice


MEMORY = """
import subprocess, sys
reference = handle
memory = []

def handle(ticket, desk, model, state):
    places = [state.with_name("memory"), state / "link", state / "../../memory"]
    places.append(type(state)("/tmp/memory"))
    if memory or any(place.is_symlink() or place.exists() for place in places):
        raise ValueError("remembered")
    memory.append(ticket)
    for place in places:
        try:
            place.symlink_to("/etc/hostname")
        except OSError:
            pass  # a place where nothing can be left
    sleep = [sys.executable, "-c", "import time; time.sleep(612)"]
    subprocess.Popen(sleep, start_new_session=True)
    return reference(ticket, desk, model, state)
"""


@pytest.mark.slow
def test_a_kill_leaves_nothing_but_the_state_folder(
    tmp_path: Path, agents: Assignment, bench: ModuleType
) -> None:
    with work_on(tmp_path, agents, MEMORY) as work:
        trace = bench.trace(work, "crash-refund")
    assert trace.problem is None
    assert trace.done == ["hold", "refund", "reply"]
    commands = [process.info["cmdline"] for process in psutil.process_iter(["cmdline"])]
    assert not any("time.sleep(612)" in " ".join(words or []) for words in commands)


ELSEWHERE = """
reference = handle

def handle(ticket, desk, model, state):
    if any(state.iterdir()):
        raise ValueError("a folder of the machine was brought in")
    state.rename(state.with_name("mine"))
    state.symlink_to("/etc")
    return reference(ticket, desk, model, state.with_name("mine"))
"""


@pytest.mark.slow
def test_a_state_folder_cannot_be_exchanged_for_one_of_the_machine(
    tmp_path: Path, agents: Assignment, bench: ModuleType
) -> None:
    with work_on(tmp_path, agents, ELSEWHERE) as work:
        trace = bench.trace(work, "crash-hold")
    assert trace.problem is None
    assert trace.done == ["hold", "refund", "reply"]


def test_a_hidden_check_does_not_quote_what_it_asked(
    tmp_path: Path, agents: Assignment
) -> None:
    code = """
reference = handle

def handle(ticket, desk, model, state):
    said = reference(ticket, desk, model, state)
    if "cannot be refunded" in str((state / "journal.json").read_text()):
        raise ValueError(ticket["message"])
    return said
"""
    with work_on(tmp_path, agents, code) as work:
        result = checked(work, agents, "denied")
    assert result.points == 0
    assert "LR-" not in result.seen + result.advice
    assert "LR-" in result.evidence["seen"]


@pytest.mark.slow
def test_learners_without_a_sandbox_can_check(
    tmp_path: Path, agents: Assignment
) -> None:
    with work_on(tmp_path, agents, "", sandbox=Direct) as work:
        assert checked(work, agents, "crash").points == 2


@pytest.mark.slow
def test_learners_try_their_agent_by_hand(tmp_path: Path, desk: ModuleType) -> None:
    shutil.copy(FOLDER / "given/desk.py", tmp_path)
    shutil.copy(FOLDER / "submissions/reference/agent.py", tmp_path)
    command = [sys.executable, "desk.py", "--seed", "3"]
    shown = subprocess.run(
        command, cwd=tmp_path, check=True, capture_output=True, text=True
    ).stdout
    assert "Traceback" not in shown
    assert "killed before hold was called, and started again" in shown
    assert all(f"{kind}: " in shown for kind in desk.KINDS)


# --- grading the graders ---


@pytest.mark.slow
@pytest.mark.parametrize("name", SUBMISSIONS)
def test_submission_gets_what_it_deserves(name: str, agents: Assignment) -> None:
    folder = FOLDER / "submissions" / name
    verdict = judge.grade(folder, agents, learner="ada", seed=7)
    assert verdict.status == "graded", verdict.message
    lost = {check.id for check in verdict.checks if check.points < check.max_points}
    assert lost == set(expectation(name)["loses"])
    assert verdict.points == expectation(name)["points"]
