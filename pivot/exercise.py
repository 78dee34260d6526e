"""Self-checks for the pages: call the learner's function on known cases and say what came back.

It runs in the learner's own notebook and grades nothing, so it is kind: floats are compared with a tolerance,
arrays count as the lists they hold, and whatever the answer does wrong becomes a sentence, not a traceback.
"""

import math
import reprlib
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

Case = tuple[tuple[Any, ...], Any]

_short = reprlib.Repr()
_short.maxlevel = 4
_short.maxlist = _short.maxtuple = _short.maxset = _short.maxdict = 8
_short.maxstring = _short.maxother = 120


@dataclass(frozen=True, repr=False)
class Result:
    """What a check saw. A notebook shows it as its one sentence, which begins `Right:` or `Not yet:`."""

    passed: bool
    message: str

    def __repr__(self) -> str:
        return self.message


class Exercise:
    """A function to write, as cases it must get right.

    `cases` holds pairs of (tuple of arguments, expected value); `hint` follows every failure.
    Raises ValueError for a case that is no such pair, or for no cases at all: such a check could not fail.
    """

    def __init__(self, cases: Sequence[Case], hint: str = "") -> None:
        self.cases = list(cases)
        self.hint = hint
        if not self.cases:
            raise ValueError("an exercise needs at least one case")
        for case in self.cases:
            if not (
                isinstance(case, tuple)
                and len(case) == 2
                and isinstance(case[0], tuple)
            ):
                raise ValueError(
                    f"a case is (tuple of arguments, expected value), not {_show(case)}"
                )

    def __call__(self, answer: Callable[..., Any]) -> Result:
        if not callable(answer):
            return self._not_yet(
                f"the check wants the function itself, not called; it got {_show(answer)}"
            )
        for arguments, expected in self.cases:
            if seen := _complaint(answer, arguments, expected):
                return self._not_yet(seen)
        count = len(self.cases)
        return Result(
            True, f"Right: {count} of {count} case{'s' if count > 1 else ''}."
        )

    def _not_yet(self, seen: str) -> Result:
        return Result(False, f"Not yet: {seen}. {self.hint}".strip())


def _complaint(
    answer: Callable[..., Any], arguments: tuple[Any, ...], expected: Any
) -> str:
    """What is wrong with the answer on one case, or an empty string."""
    name = getattr(answer, "__name__", type(answer).__name__)
    call = f"{name}({', '.join(map(_show, arguments))})"
    try:
        given = answer(
            *deepcopy(arguments)
        )  # an answer that changes its arguments must not change the cases
    except (Exception, SystemExit) as error:
        return f"{call} raised {type(error).__name__}: {error}".rstrip(": ")
    if _same(given, expected):
        return ""
    kinds = type(given).__name__, type(expected).__name__
    numbers = set(kinds) <= {"int", "float"}
    if given is None or expected is None or kinds[0] == kinds[1] or numbers:
        return f"{call} gave {_show(given)}, expected {_show(expected)}"
    return f"{call} gave {_show(given)} ({kinds[0]}), expected {_show(expected)} ({kinds[1]})"


def _same(given: Any, expected: Any) -> bool:
    """Equal in type and value, except that floats may differ by rounding and arrays stand for their lists."""
    try:
        if hasattr(given, "tolist"):  # numpy, torch and pandas alike
            given = given.tolist()
        if isinstance(expected, bool) or isinstance(given, bool):
            return given is expected
        if isinstance(expected, (int, float)):
            if not isinstance(given, (int, float)):
                return False
            both_nan = given != given and expected != expected
            return both_nan or math.isclose(given, expected, rel_tol=1e-6, abs_tol=1e-9)
        if isinstance(expected, (list, tuple)):
            alike = (
                isinstance(given, list)
                if isinstance(expected, list)
                else isinstance(given, tuple)
            )
            return (
                alike
                and len(given) == len(expected)
                and all(map(_same, given, expected))
            )
        if isinstance(expected, dict):
            return (
                isinstance(given, dict)
                and given.keys() == expected.keys()
                and all(_same(given[key], expected[key]) for key in expected)
            )
        return bool(given == expected)
    except Exception:  # an object that cannot be compared is not the expected one
        return False


def _show(value: Any) -> str:
    """One line, however large the value."""
    return " ".join(line.strip() for line in _short.repr(value).splitlines())
