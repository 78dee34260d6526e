"""The comparison of graders, on one or two submissions."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from benchmarks import grading
from benchmarks.grading import JUDGE, Judge, JudgeWithGradebook, Nbgrader, timed
from benchmarks.warmup import Submission, submissions


class Generous:
    """A grader that is quick and gives everybody full marks."""

    def __init__(self, folder: Path, submitted: Sequence[Submission]):
        self.submitted = submitted

    def grade(self) -> None:
        pass

    def points(self) -> dict[str, float | None]:
        return {one.learner: 5 for one in self.submitted}


class Right(Generous):
    def points(self) -> dict[str, float | None]:
        return {one.learner: one.points for one in self.submitted}


class Forgetful(Right):
    def points(self) -> dict[str, float | None]:
        return dict(list(super().points().items())[1:])


@pytest.mark.parametrize("wrong", [Generous, Forgetful])
def test_a_grader_that_grades_wrongly_is_named(wrong, monkeypatch):
    monkeypatch.setattr(grading, "Judge", Right)
    monkeypatch.setattr(grading, "OTHERS", {"wrong": wrong, "right": Right})
    result = grading.measure(4, ["wrong", "right"])
    assert not result["agree"]
    assert list(result["mistakes"]) == ["wrong"]
    assert "learner-00" in result["mistakes"]["wrong"]


def test_a_judge_that_grades_wrongly_is_named(monkeypatch):
    monkeypatch.setattr(grading, "Judge", Generous)
    monkeypatch.setattr(grading, "OTHERS", {"right": Right})
    assert list(grading.measure(4, ["right"])["mistakes"]) == [JUDGE]


def test_every_grader_is_compared_with_the_judge_runs_beside_it(monkeypatch):
    seconds = iter([1.0, 30.0, 3.0, 10.0, 1.0])
    monkeypatch.setattr(grading, "Judge", Right)
    monkeypatch.setattr(grading, "OTHERS", {"one": Right, "other": Right})
    monkeypatch.setattr(grading, "timed", lambda *_: grading.Timed(next(seconds), {}))
    result = grading.measure(10, ["one", "other"])
    assert result["agree"]
    assert [row["times_the_judge"] for row in result["graders"]] == [1, 15.0, 5.0]
    assert [row["seconds_per_submission"] for row in result["graders"]][1:] == [3, 1]


@pytest.mark.slow
@pytest.mark.needs("bubblewrap")
def test_the_judge_gives_what_each_is_worth(tmp_path: Path):
    submitted = submissions(2)
    judge = Judge(tmp_path, submitted)
    for _ in range(2):  # the second run grades anew
        assert timed(judge, submitted).mistakes == {}


@pytest.mark.slow
@pytest.mark.needs("bubblewrap")
def test_the_gradebook_says_the_same(tmp_path: Path):
    submitted = submissions(2)
    judge = JudgeWithGradebook(tmp_path / "course", submitted)
    assert timed(judge, submitted).mistakes == {}


@pytest.mark.slow
def test_nbgrader_gives_what_each_is_worth(tmp_path: Path):
    submitted = submissions(2)
    assert timed(Nbgrader(tmp_path, submitted), submitted).mistakes == {}
