"""The self-checks of the pages: what they accept, what they refuse and in which words."""

import numpy as np
import pytest

from pivot.exercise import Exercise

COVERAGE = Exercise(
    cases=[(([0.9, 0.4], 0.5), 0.5), (([], 0.5), 0.0)], hint="Count, then divide."
)


def test_an_answer_that_is_right_says_on_how_many_cases():
    def coverage(confidences, threshold):
        return (
            sum(c >= threshold for c in confidences) / len(confidences)
            if confidences
            else 0.0
        )

    result = COVERAGE(coverage)

    assert result.passed
    assert repr(result) == "Right: 2 of 2 cases."


def test_the_starter_is_told_what_it_gave_and_gets_the_hint():
    def coverage(confidences, threshold): ...

    result = COVERAGE(coverage)

    assert not result.passed
    assert (
        repr(result)
        == "Not yet: coverage([0.9, 0.4], 0.5) gave None, expected 0.5. Count, then divide."
    )


def test_the_second_case_counts_too():
    assert "raised ZeroDivisionError" in repr(
        COVERAGE(lambda cs, t: sum(c >= t for c in cs) / len(cs))
    )


def answer_that_raises(x):
    return {}["missing"]


def answer_that_exits(x):
    raise SystemExit("bye")


def answer_that_recurses(x):
    return answer_that_recurses(x)


def answer_without_arguments():
    return 1


@pytest.mark.parametrize(
    ("answer", "seen"),
    [
        (answer_that_raises, "answer_that_raises(1) raised KeyError: 'missing'."),
        (answer_that_exits, "answer_that_exits(1) raised SystemExit: bye."),
        (
            answer_that_recurses,
            "answer_that_recurses(1) raised RecursionError: maximum recursion depth exceeded",
        ),
        (
            answer_without_arguments,
            "raised TypeError: answer_without_arguments() takes 0 positional arguments",
        ),
        (5, "the check wants the function itself, not called; it got 5."),
    ],
)
def test_what_goes_wrong_in_an_answer_becomes_a_sentence(answer, seen):
    result = Exercise(cases=[((1,), 1)])(answer)

    assert not result.passed
    assert repr(result).startswith("Not yet: ")
    assert seen in repr(result)
    assert "\n" not in repr(result)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (0.1 + 0.2, 0.3),
        (3.0, 3),
        (float("nan"), float("nan")),
        (np.float32(0.3), 0.3),
        (np.True_, True),
        (np.array([[0.1 + 0.2], [1.0]]), [[0.3], [1]]),
        ({"card": [("lost", 0.1 + 0.2)]}, {"card": [("lost", 0.3)]}),
        ({1, 2}, {2, 1}),
        ("café", "café"),
    ],
)
def test_values_that_count_as_the_expected_one(given, expected):
    assert Exercise(cases=[((), expected)])(lambda: given).passed


class EqualToEverything:
    def __eq__(self, other):
        return True

    __hash__ = None  # type: ignore[assignment]


class RefusesToBeCompared:
    def __eq__(self, other):
        raise RuntimeError("no")

    __hash__ = None  # type: ignore[assignment]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (0.3001, 0.3),
        ("0.3", 0.3),
        (1, True),
        (True, 1),
        ([1, 2], (1, 2)),
        ([1, 2, 3], [1, 2]),
        ({"a": 1, "b": 2}, {"a": 1}),
        ((x for x in [1, 2]), [1, 2]),
        (EqualToEverything(), [1, 2]),
        (RefusesToBeCompared(), "text"),
        (float("nan"), 0.3),
        (None, 0),
    ],
)
def test_values_that_do_not(given, expected):
    assert not Exercise(cases=[((), expected)])(lambda: given).passed


def test_a_wrong_type_is_named_where_the_values_look_alike():
    assert "gave '0.5' (str), expected 0.5 (float)" in repr(
        COVERAGE(lambda confidences, threshold: "0.5")
    )


def test_an_answer_that_changes_its_arguments_changes_neither_the_cases_nor_the_message():
    check = Exercise(cases=[(([3, 1],), [1, 3]), (([2],), [2])])

    def empties(values):
        values.clear()

    def in_place(values):
        values.sort()
        return values

    assert "empties([3, 1]) gave None" in repr(check(empties))
    assert check(in_place).passed
    assert check(in_place).passed


def test_a_large_value_is_shortened():
    message = repr(
        Exercise(cases=[((list(range(100_000)),), 0)])(lambda values: "x" * 100_000)
    )

    assert len(message) < 500
    assert "0, 1, 2" in message


@pytest.mark.parametrize("cases", [[], [("abc", 0)], [((1,),)], [[(1,), 2]]])
def test_cases_that_could_not_check_anything_are_refused(cases):
    with pytest.raises(ValueError, match="case"):
        Exercise(cases=cases)
