"""A canary's life."""

import random

import pytest

from triage.errors import TriageError
from triage.release.canary import Canary, Rate, usual
from triage.release.sprt import SequentialTest


def live(rate: float, seed: int = 1, most: int = 20_000) -> Canary:
    """A canary whose answers are all looked at, and corrected at this rate."""
    canary, draw = usual(corrections=0.15), random.Random(seed)
    for _ in range(most):
        if canary.status != "running":
            break
        canary.answered(failed=False)
        canary.corrected(draw.random() < rate)
    return canary


def test_a_good_one_is_promoted_step_by_step() -> None:
    canary = usual(corrections=0.15)
    seen = []
    draw = random.Random(1)
    while canary.status == "running":
        canary.answered(failed=False)
        canary.corrected(draw.random() < 0.15)
        if canary.share not in seen:
            seen.append(canary.share)
    assert canary.status == "promoted"
    assert seen == [0.01, 0.05, 0.2, 0.5, 1.0]
    assert canary.reason.startswith("corrections: ")


def test_a_worse_one_is_rolled_back_for_its_corrections() -> None:
    for seed in range(5):
        canary = live(0.25, seed)
        assert (canary.status, canary.share) == ("rolled back", 0.0)
        assert "where 15.0% is usual" in canary.reason


def test_one_that_fails_is_rolled_back_within_a_handful() -> None:
    canary = usual(corrections=0.15)
    for _ in range(5):
        canary.answered(failed=True)
    assert canary.status == "rolled back"
    assert canary.reason == "errors: 2 of 2, where 0.1% is usual"


def test_without_anybody_looking_it_is_never_promoted() -> None:
    canary = usual(corrections=0.15)
    for _ in range(5_000):
        canary.answered(failed=False)
    assert (canary.status, canary.share) == ("running", 0.01)


def test_errors_end_it_even_after_it_was_promoted() -> None:
    canary = live(0.10)
    assert canary.status == "promoted"
    for _ in range(500):
        canary.answered(failed=True)
    assert (canary.status, canary.share) == ("rolled back", 0.0)


def test_a_decision_stands() -> None:
    canary = usual(corrections=0.15)
    for _ in range(2):
        canary.answered(failed=True)
    reason = canary.reason
    for _ in range(1_000):
        canary.answered(failed=False)
        canary.corrected(False)
    assert (canary.status, canary.reason) == ("rolled back", reason)


@pytest.mark.parametrize("shares", [(), (0.2, 0.1), (0.1, 0.1), (0.0, 1.0), (0.5, 1.5)])
def test_shares_that_do_not_rise_are_refused(shares: tuple[float, ...]) -> None:
    rate = Rate(SequentialTest(0.1, 0.2))
    with pytest.raises(TriageError, match="A canary's shares"):
        Canary(rate, rate, shares=shares)
    with pytest.raises(TriageError, match="its patience above"):
        Canary(rate, rate, patience=0)


@pytest.mark.parametrize("rate", [0, 1, 17, -0.1])
def test_what_is_no_rate_is_refused(rate: float) -> None:
    with pytest.raises(TriageError, match="is no rate of corrections"):
        usual(rate)
