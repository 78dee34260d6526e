"""The graders: they pass who does the work, fail who does not, and name what is wrong."""

import json
from dataclasses import replace

import pytest

from triage.agent.dialogues import LOOK_UP, OTHER, REFUND, TRAINING
from triage.agent.evaluation import (
    DAY,
    attempt,
    call,
    grade,
    suite,
    summary,
    wilson,
    without,
)
from triage.agent.loop import End, Limits, Run
from triage.agent.standins import Idle, Reference

TASKS = suite(16, seed=1)
WHERE = next(task for task in TASKS if task.family == "where")
REFUNDING = next(task for task in TASKS if task.family == "refund")
DEAR = next(task for task in TASKS if task.family == "over 100 euros")


def test_a_suite_is_drawn_from_its_seed() -> None:
    assert suite(16, seed=1) == TASKS
    assert suite(16, seed=2) != TASKS


def test_a_suite_has_every_family_in_phrasings_nobody_was_trained_on() -> None:
    families = {"where", "not theirs", "refund", "over 100 euros", "other"}
    assert {task.family for task in TASKS} == families
    trained = [*LOOK_UP[TRAINING], *OTHER[TRAINING]]
    trained += [text for reason in REFUND.values() for text in reason[TRAINING]]
    for text in trained:
        longest = max(text.replace("{item}", "{order}").split("{order}"), key=len)
        if len(longest) > 20:
            assert not [task.message for task in TASKS if longest in task.message]


def test_who_knows_the_plan_solves_every_task() -> None:
    for task in TASKS:
        graded = attempt(task, Reference(task))
        assert (graded.solved, graded.straight) == (True, True), task


def test_who_does_nothing_solves_none() -> None:
    """Where nothing must be done, the reply tells who did not look."""
    grades = [attempt(task, Idle()) for task in TASKS]
    assert not any(each.solved for each in grades)
    assert any(each.right for each in grades)


def test_a_careful_way_is_longer_and_as_right() -> None:
    graded = attempt(REFUNDING, Reference(REFUNDING, careful=True))
    assert graded.solved
    assert [name for name, _ in graded.detours] == ["look_up_order"]


def finished(*calls: tuple[str, str], reply: str = "", end: End = End.ANSWERED) -> Run:
    said = [{"role": "assistant", "content": reply}]
    return Run("t", said, steps=2, tokens=10, ended=end, calls=list(calls))


def test_each_defect_is_named_alone() -> None:
    right = grade(WHERE, finished(*WHERE.plan, reply=DAY), [])
    assert (right.solved, right.straight) == (True, True)
    paid = ("refund", {"order": "LR-11111", "reason": "late"})
    assert grade(WHERE, finished(reply=DAY), [paid]).unwanted == (paid,)
    assert grade(WHERE, finished(reply="Soon."), []).untold == (DAY,)
    extra = call("triage", {})
    assert grade(WHERE, finished(*WHERE.plan, extra), []).detours == (extra,)
    twice = finished(*WHERE.plan, *WHERE.plan, reply=DAY)
    assert grade(WHERE, twice, []).detours == WHERE.plan
    assert grade(REFUNDING, finished(), []).missing == REFUNDING.effects


def test_a_refund_done_twice_is_one_too_many() -> None:
    ledger = [*REFUNDING.effects, *REFUNDING.effects]
    assert grade(REFUNDING, finished(), ledger).unwanted == REFUNDING.effects


def test_the_wrong_order_is_missing_and_unwanted() -> None:
    ((kind, request),) = REFUNDING.effects
    wrong = (kind, request | {"order": "LR-00000"})
    graded = grade(REFUNDING, finished(reply="42.00"), [wrong])
    assert (graded.missing, graded.unwanted) == (REFUNDING.effects, (wrong,))


def test_a_run_that_was_stopped_is_not_solved() -> None:
    graded = attempt(DEAR, Reference(DEAR), limits=Limits(steps=2))
    assert graded.right  # it handed over, and was stopped before it said so
    assert graded.run.ended is End.STEPS
    assert (graded.solved, graded.straight) == (False, False)


def test_without_counts() -> None:
    assert without("aab", "a") == ("a", "b")
    assert without("a", "aa") == ()


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [
        (0, 20, 0.0, 0.161),
        (20, 20, 0.839, 1.0),
        (5, 10, 0.237, 0.763),
        (0, 0, 0.0, 1.0),
    ],
)
def test_intervals(successes: int, trials: int, low: float, high: float) -> None:
    assert wilson(successes, trials) == pytest.approx((low, high), abs=0.001)


def test_what_is_solved_pays_for_what_is_not() -> None:
    good = grade(WHERE, finished(*WHERE.plan, reply=DAY), [])
    bad = grade(WHERE, replace(finished(), tokens=30), [])
    said = summary([good, bad])
    assert (said["solved"], said["tokens a task"]) == (1, 20)
    assert said["tokens a solved task"] == 40
    assert summary([bad])["tokens a solved task"] == "none solved"


def test_calls_are_compared_whatever_the_order_of_arguments() -> None:
    given = {"reason": "late", "order": "LR-11111"}
    backwards = dict(reversed(given.items()))
    assert call("refund", given) == call("refund", backwards)
    assert json.loads(call("refund", given)[1]) == given
