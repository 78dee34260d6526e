"""The assignment `monitor-and-retrain`: its streams are what the contract says, and its checks tell apart."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from autograder import assignments, judge
from autograder.checks import Assignment
from autograder.errors import LearnerError
from autograder.verdict import CheckResult, Verdict

FOLDER = assignments.COURSE / "06-monitor-and-retrain"
SUBMISSIONS = sorted(path.name for path in (FOLDER / "submissions").iterdir())
WRONG = [name for name in SUBMISSIONS if name.startswith("wrong-")]
# Who cannot tell a bad month from a good one, or says nothing at all, has no more to be looked at.
FATAL = {
    "wrong-untouched-starter",
    "wrong-nervous",
    "wrong-every-day-a-tuesday",
    "wrong-waits-for-labels",
}
# The model's own answers teach nothing new, in either stream; a date is wrong about every one.
TWICE = {"wrong-teaches-itself", "wrong-retrains-by-the-calendar"}


@pytest.fixture(scope="module")
def monitor() -> Assignment:
    return assignments.load(FOLDER)


@pytest.fixture(scope="module")
def bench(monitor: Assignment) -> ModuleType:
    function = monitor.checks["monitor-and-retrain/answers"].function
    return sys.modules[f"{function.__module__.rpartition('.')[0]}.bench"]


@pytest.fixture(scope="module")
def streams(bench: ModuleType) -> ModuleType:
    return bench.streams()


def expectation(name: str) -> dict:
    return json.loads((FOLDER / "submissions" / name / "expected.json").read_bytes())


def graded(folder: Path, monitor: Assignment, seed: int = 7) -> Verdict:
    verdict = judge.grade(folder, monitor, learner="ada", seed=seed)
    assert verdict.status == "graded", verdict.message
    return verdict


def checked(tmp_path: Path, monitor: Assignment, code: str, check: str) -> CheckResult:
    """What a check says of a monitor.py with this code, and of the reference's rest."""
    folder = tmp_path / "handed-in"
    shutil.copytree(FOLDER / "submissions/reference", folder)
    with (folder / "monitor.py").open("a") as file:
        file.write(f"\n\n{code}\n")
    with (
        judge.taken_in(folder, monitor) as (_, copy),
        judge.work_on(copy, monitor, seed=7) as work,
    ):
        wanted = monitor.required([f"monitor-and-retrain/{check}"])
        return list(judge.run_checks(work, list(wanted)))[-1]


# --- its parts ---


def test_every_check_has_a_submission_that_fails_it_alone(monitor: Assignment) -> None:
    losses = [expectation(name)["loses"] for name in WRONG if name not in FATAL | TWICE]
    assert all(len(loses) == 1 for loses in losses)
    never = {f"monitor-and-retrain/{check}" for check in ("answers", "tells")}
    assert {loses[0] for loses in losses} == monitor.checks.keys() - never
    for check in never:
        assert any(check in expectation(name)["loses"] for name in FATAL)


def test_notebook_and_checks_name_the_same_figures(
    monitor: Assignment, bench: ModuleType, streams: ModuleType
) -> None:
    contract = " ".join((FOLDER / "notebook.md").read_text().split())
    package = monitor.checks["monitor-and-retrain/answers"].function.__module__
    checks = sys.modules[package]
    hidden = sys.modules[f"{package.rpartition('.')[0]}.hidden"]
    assert (
        f"nothing, for {streams.DAYS} days | at most {checks.FALSE_ALARMS} day"
        in contract
    )
    assert f"at most {hidden.FEW} such days in {hidden.FEW * streams.DAYS}" in contract
    assert f"one of the first {checks.NOTICED} days" in contract
    for days in (checks.RETRAINED, hidden.GRADUALLY, hidden.POLICY):
        assert f"`retrain` on one of the first {days}" in contract
    assert f"calls it {bench.TRAINED_AFTER} days after the change" in contract
    assert f"trained on {bench.ROWS:,} fresh messages" in contract
    assert f"at most {100 * bench.WITHIN:.0f} points less" in contract


def test_whatever_day_it_begins_there_is_time_for_what_is_asked(
    monitor: Assignment, bench: ModuleType, streams: ModuleType
) -> None:
    package = monitor.checks["monitor-and-retrain/answers"].function.__module__
    checks = sys.modules[package]
    hidden = sys.modules[f"{package.rpartition('.')[0]}.hidden"]
    asked = (checks.RETRAINED, hidden.GRADUALLY, hidden.POLICY, bench.TRAINED_AFTER)
    assert max(streams.CHANGES) + max(asked) <= streams.DAYS


def test_no_date_is_within_all_that_is_given_for_a_sudden_change(
    monitor: Assignment, streams: ModuleType
) -> None:
    checks = sys.modules[
        monitor.checks["monitor-and-retrain/answers"].function.__module__
    ]
    assert len(streams.CHANGES) > checks.RETRAINED
    assert checks.SUDDENLY > 1


# --- the streams ---


def accuracy(stream: dict[str, Any], first: int, last: int) -> float:
    """How often the model was right about the labelled rows of days, counted from the baseline's first."""
    days = [*stream["baseline"], *stream["days"]]
    right = [
        days[day - 3]["requests"][row]["intent"] == intent
        for day in range(first + 3, last + 3)
        for row, intent in days[day]["labels"]
    ]
    return float(np.mean(right))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("kind", "loses"),
    [("calm", False), ("mix", False), ("sudden", True), ("relabelled", True)],
)
def test_the_model_becomes_worse_in_the_streams_that_say_so(
    streams: ModuleType, kind: str, loses: bool, seed: int
) -> None:
    stream = streams.Desk(f"test/{seed}/{kind}").stream(kind)
    change = streams.BASELINE + stream["change"]
    before = accuracy(stream, 0, change)
    after = accuracy(stream, change, streams.BASELINE + streams.DAYS - 3)
    assert (before - after > 0.15) is loses
    assert before > 0.65


def test_a_stream_is_the_same_for_the_same_seed_and_no_other(
    streams: ModuleType,
) -> None:
    first, same, other = (streams.Desk(seed).stream("mix") for seed in ("a", "a", "b"))
    assert first == same
    assert first["days"] != other["days"]
    assert json.loads(json.dumps(first)) == first


@pytest.mark.parametrize("kind", ["percent", "empty", "unknown"])
def test_broken_requests_begin_on_the_day_of_the_change(
    streams: ModuleType, kind: str
) -> None:
    stream = streams.Desk("broken").stream(kind)
    intents = {r["intent"] for day in stream["baseline"] for r in day["requests"]}

    def odd(request: dict) -> bool:
        return (
            request["vector"] is None
            or request["confidence"] > 1
            or request["intent"] not in intents
        )

    counts = [sum(map(odd, day["requests"])) for day in stream["days"]]
    assert not any(counts[: stream["change"]])
    assert all(counts[stream["change"] :])


def test_vectors_are_those_of_the_tickets(streams: ModuleType) -> None:
    desk = streams.Desk("any")
    assert desk.vectors.shape == (len(desk.intents), 16)
    assert set(streams.NEW) | set(desk.known) == set(desk.intents)
    assert set(desk.moved) | set(desk.moved.values()) <= set(desk.known)


def test_learners_draw_their_own_streams(tmp_path: Path, streams: ModuleType) -> None:
    for name in ("streams.py", "head.py", "vectors.npz"):
        shutil.copy(FOLDER / "given" / name, tmp_path)
    subprocess.run(
        [sys.executable, "streams.py", "--seed", "7"], cwd=tmp_path, check=True
    )
    made = {path.stem for path in (tmp_path / "streams").iterdir()}
    assert made == set(streams.KINDS)


# --- what it says ---


@pytest.mark.slow
@pytest.mark.parametrize(
    ("code", "check", "said"),
    [
        ("def watch(b, d): return 'quiet'", "answers", "returned no list for 56 days"),
        ("def watch(b, d): return ['quiet']", "answers", "a list of 1 for 56 days"),
        ("def watch(b, d): return [True] * len(d)", "answers", "said true of a day"),
        ("def watch(b, d): return 1 / 0", "answers", "raised ZeroDivisionError"),
        ("def watch(b, d): return ['look'] * len(d)", "tells", "on 56 days"),
        ("def watch(b, d): return ['quiet'] * len(d)", "tells", "nothing for 3 days"),
        ("def training_rows(b, d): return []", "rows", "no list of rows"),
        ("def training_rows(b, d): return [['a', 'b']]", "rows", "the row"),
        ("def training_rows(b, d): return [[[0.0], 'x']]", "rows", "no message had"),
        (
            "def training_rows(b, d): return [[b[0]['requests'][0]['vector'], 'x']]",
            "rows",
            "have one intent",
        ),
    ],
)
def test_what_is_no_answer_is_called_that(
    tmp_path: Path, monitor: Assignment, code: str, check: str, said: str
) -> None:
    result = checked(tmp_path, monitor, code, check)
    assert result.points == 0
    assert said in result.seen
    assert result.advice


def test_rows_that_cannot_be_trained_on_are_refused(bench: ModuleType) -> None:
    one, two, three = [0.5, 1.0], [0.1, -2.0], [0.5, 2.0]
    came = {tuple(one), tuple(two)}
    vectors, intents = bench.usable([[one, "a"], [two, "b"]], came)
    assert vectors.tolist() == [one, two]
    assert intents == ["a", "b"]
    bad = (None, {}, [], [1], [[one]], [[[True, 1.0], "a"]], [[one, 2]], [[three, "a"]])
    for rows in bad:
        with pytest.raises(LearnerError):
            bench.usable(rows, came)


def test_what_is_known_of_one_desk_says_nothing_of_another(streams: ModuleType) -> None:
    """Whoever reads vectors.npz and this course's repository knows no message of a grading."""
    first, second = (streams.Desk(seed) for seed in ("a", "b"))
    assert np.allclose(
        np.linalg.norm(first.vectors, axis=1), np.linalg.norm(second.vectors, axis=1)
    )
    away = np.linalg.norm(first.vectors - second.vectors, axis=1)
    assert away.min() > 1
    assert first.moved != second.moved
    assert not set(first.moved) & set(first.moved.values())


# --- grading the graders ---


@pytest.mark.slow
@pytest.mark.parametrize("name", SUBMISSIONS)
def test_submission_gets_what_it_deserves(name: str, monitor: Assignment) -> None:
    verdict = graded(FOLDER / "submissions" / name, monitor)
    lost = {check.id for check in verdict.checks if check.points < check.max_points}
    assert lost == set(expectation(name)["loses"])
    assert verdict.points == expectation(name)["points"]
