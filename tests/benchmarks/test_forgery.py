"""Forgeries are what they say, and the benchmark sees whom they fool."""

import nbformat
import pytest

from benchmarks import forgeries, forgery
from benchmarks.forgeries import ALL, Forgery
from benchmarks.forgery import (
    CLASSMATES,
    FORGER,
    NO_SCORE,
    against_nbgrader,
    against_the_judge,
    forged,
    hand_all_in,
    reason,
    wronged,
)
from benchmarks.nbgrader_course import PlainCourse
from benchmarks.warmup import REFERENCE, judge_notebook, nbgrader_source

BY_NAME = {one.name: one for one in ALL}
DROPS_ASSERTS = BY_NAME["takes the assert statements out of every later cell"]
TAMPERING = [one for one in ALL if one.tamper is not forgeries.unchanged]


def test_there_are_enough_of_them_and_no_two_alike():
    assert len(ALL) >= 20
    assert len(BY_NAME) == len(ALL)


@pytest.mark.parametrize("one", ALL, ids=lambda one: one.name)
def test_each_is_python_in_a_notebook(one: Forgery):
    compile(one.answer, one.name, "exec")
    for name, text in one.files.items():
        compile(text, name, "exec")
    for released in (judge_notebook(), nbgrader_source()):
        nbformat.validate(forged(released, one))


@pytest.mark.parametrize("one", TAMPERING, ids=lambda one: one.name)
def test_tampering_changes_both_notebooks(one: Forgery):
    for released in (judge_notebook(), nbgrader_source()):
        honest = forged(released, Forgery("does nothing"))
        assert forged(released, one) != honest


def test_files_lie_beside_the_forgers_notebook(tmp_path):
    one = Forgery("brings a file", files={"random.py": "x = 1"})
    folders = hand_all_in(tmp_path, judge_notebook(), one)
    assert [path.parent.name for path in folders] == ["anna", "mallory", "zoe"]
    assert sorted(path.name for path in (tmp_path / FORGER / "warmup").iterdir()) == [
        "random.py",
        "warmup.ipynb",
    ]


def test_classmates_are_looked_after():
    assert wronged({"anna": 2, "zoe": 5, FORGER: 0}) == []
    assert wronged({"anna": 5, FORGER: 0}) == [
        "anna got 5 instead of 2",
        "zoe got no grade instead of 5",
    ]


def test_the_reason_is_the_logs_last_error():
    log = (
        "[App | INFO] fine\nRuntimeError: one\nnbclient.DeadKernelError: Kernel died\n"
    )
    assert reason(log) == "nbclient.DeadKernelError: Kernel died"
    log = "[App | INFO] fine\n[App | ERROR] It is too old.\n    Update it.\n"
    assert reason(log) == "It is too old."
    assert reason("[App | INFO] fine") == NO_SCORE


@pytest.mark.slow
@pytest.mark.needs("bubblewrap")
@pytest.mark.parametrize(
    ("one", "points"),
    [(DROPS_ASSERTS, 0), (Forgery("does the work", REFERENCE), 5)],
    ids=["forged", "honest"],
)
def test_the_judge(one: Forgery, points: float, tmp_path):
    found = against_the_judge(tmp_path, one)
    assert found["points"] == points
    assert found["verdict"] == "graded"
    assert found["classmates"] == {
        name: worth for name, (_, worth) in CLASSMATES.items()
    }


@pytest.mark.slow
def test_nbgrader_is_fooled_and_the_benchmark_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(forgery, "SETTLE", 0)
    course = PlainCourse.create(tmp_path / "course")
    found = against_nbgrader(course, DROPS_ASSERTS)
    assert found == {"points": 5, "classmates": {"anna": 2, "zoe": 5}, "what": []}
