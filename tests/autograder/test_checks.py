"""Checks and what they return."""

import pytest

from autograder.checks import Assignment, Outcome, failed, partly, passed


def anything(work: object) -> Outcome:
    return passed("Fine.")


def test_a_lost_point_comes_with_advice():
    with pytest.raises(ValueError, match="what to try next"):
        failed("It is wrong.", "")


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_nobody_earns_less_than_nothing_or_more_than_all(share: float):
    with pytest.raises(ValueError, match="0 to 1"):
        partly(share, "Odd.", "Even it out.")


def test_an_assignment_adds_up_its_points():
    assignment = Assignment("a", title="A", submits=())
    assignment.check("a/one", title="One", points=1.5)(anything)
    assignment.check("a/two", title="Two", points=2, needs=("a/one",))(anything)
    assert assignment.points == 3.5


@pytest.mark.parametrize(
    ("id", "options", "complaint"),
    [
        ("b/one", {}, "must begin with 'a/'"),
        ("a/first", {}, "registered twice"),
        ("a/one", {"points": 0}, "more than 0"),
        ("a/one", {"needs": ("a/later",)}, "not defined above"),
    ],
)
def test_a_check_that_cannot_work_is_refused(id: str, options: dict, complaint: str):
    assignment = Assignment("a", title="A", submits=())
    assignment.check("a/first", title="First", points=1)(anything)
    with pytest.raises(ValueError, match=complaint):
        assignment.check(id, **{"title": "One", "points": 1} | options)(anything)


def test_what_a_check_needs_comes_first_and_the_rest_stays_out():
    assignment = Assignment("a", title="A", submits=())
    assignment.check("a/one", title="1", points=1)(anything)
    assignment.check("a/other", title="-", points=1)(anything)
    assignment.check("a/two", title="2", points=1, needs=("a/one",))(anything)
    assignment.check("a/three", title="3", points=1, needs=("a/two",))(anything)
    ids = [check.id for check in assignment.required(["a/three"])]
    assert ids == ["a/one", "a/two", "a/three"]
