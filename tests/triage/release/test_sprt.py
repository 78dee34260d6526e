"""The sequential test keeps its promises, measured."""

import numpy as np
import pytest

from triage.errors import TriageError
from triage.release.sprt import SequentialTest

TEST = SequentialTest(good=0.15, bad=0.20, false_alarms=0.05, misses=0.05)


def verdicts(rate: float, trials: int = 600, longest: int = 6_000) -> list[str | None]:
    """The first verdict of many canaries that fail at this rate, looked at after every message."""
    rng = np.random.default_rng(7)
    low, high = TEST.limits
    step = (TEST.evidence(0, 1), TEST.evidence(1, 1))
    found: list[str | None] = []
    for _ in range(trials):
        path = np.where(rng.random(longest) < rate, step[1], step[0]).cumsum()
        out = np.flatnonzero((path >= high) | (path <= low))
        first = path[out[0]] if len(out) else 0.0
        found.append("bad" if first >= high else "good" if first <= low else None)
    return found


def test_errors_are_as_rare_as_agreed() -> None:
    good, bad = verdicts(TEST.good), verdicts(TEST.bad)
    assert good.count("bad") / len(good) <= 0.07  # 0.05 and two standard deviations
    assert bad.count("good") / len(bad) <= 0.07
    assert None not in good + bad


def test_a_better_one_is_not_called_bad() -> None:
    assert verdicts(0.10).count("bad") == 0


def test_verdict_follows_the_evidence() -> None:
    test = SequentialTest(0.1, 0.3)
    assert test.verdict(0, 0) is None
    assert test.verdict(30, 60) == "bad"
    assert test.verdict(2, 60) == "good"
    assert test.evidence(1, 1) > 0 > test.evidence(0, 1)


@pytest.mark.parametrize("rates", [(0.2, 0.2), (0.3, 0.2), (0, 0.1), (0.5, 1)])
def test_rates_that_cannot_be_told_apart_are_refused(
    rates: tuple[float, float],
) -> None:
    with pytest.raises(TriageError, match="0 < good < bad < 1"):
        SequentialTest(*rates)


def test_a_test_that_is_always_wrong_is_refused() -> None:
    with pytest.raises(TriageError, match="wrong half the time"):
        SequentialTest(0.1, 0.2, false_alarms=0.5)
