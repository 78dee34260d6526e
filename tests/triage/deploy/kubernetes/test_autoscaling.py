"""The autoscaler of the documentation: its formula, its limits, and loads whose outcome is known."""

import numpy as np
import pytest

from triage.deploy.kubernetes.autoscaling import CALM, PERIOD, Autoscaler, simulate

SCALER = Autoscaler(target=0.5, least=2, most=20)


@pytest.mark.parametrize(
    ("ready", "starting", "use", "wanted"),
    [
        (4, 0, 1.0, 8),  # ceil(4 x 1.0 / 0.5)
        (4, 0, 0.54, 4),  # within the tolerance
        (4, 0, 0.56, 5),
        (4, 0, 0.25, 2),
        (4, 4, 1.0, 8),  # those that are starting count as idle: enough are coming
        (4, 1, 1.0, 8),  # and here they are not enough
        (0, 2, 0.0, 2),
    ],
)
def test_the_formula(ready: int, starting: int, use: float, wanted: int) -> None:
    assert SCALER.wanted(ready, starting, use) == wanted


def test_it_grows_by_four_or_doubles_and_no_quicker() -> None:
    assert SCALER.replicas(2, [20]) == 6
    assert SCALER.replicas(8, [20]) == 16
    assert SCALER.replicas(16, [40]) == 20


def test_it_shrinks_to_the_most_that_was_wanted_lately() -> None:
    assert SCALER.replicas(10, [9, 3, 2]) == 9
    assert SCALER.replicas(10, [2, 2]) == 2
    assert SCALER.replicas(10, [14, 3]) == 10
    assert SCALER.replicas(3, [0]) == 2


def test_a_load_it_can_carry_changes_nothing() -> None:
    day = simulate(SCALER, np.full(600, 100.0), capacity=100, start_up=30)
    assert set(day.replicas) == {2}
    assert day.waiting.max() == day.refused.sum() == 0


def test_a_step_is_refused_until_new_pods_are_ready() -> None:
    arrivals = np.r_[np.full(60, 100.0), np.full(600, 500.0)]
    day = simulate(SCALER, arrivals, capacity=100, start_up=60)
    refused = np.flatnonzero(day.refused)
    assert 60 <= refused[0] <= 62  # queues are full after a second
    assert refused[-1] < 60 + 2 * PERIOD + 2 * 60
    assert day.ready[-1] == 10  # half used: as the target says
    assert (day.ready <= day.replicas).all()


def test_a_slower_start_refuses_more() -> None:
    arrivals = np.r_[np.full(60, 100.0), np.full(600, 500.0)]
    quick, slow = (
        simulate(SCALER, arrivals, capacity=100, start_up=seconds).refused.sum()
        for seconds in (10, 120)
    )
    assert slow > 5 * quick > 0


def test_every_message_is_answered_waits_or_is_refused() -> None:
    rng = np.random.default_rng(0)
    arrivals = rng.poisson(300, 900).astype(float)
    day = simulate(SCALER, arrivals, capacity=100, start_up=45)
    capacity = np.r_[2, day.ready[:-1]] * 100
    answered = arrivals - day.refused - np.diff(day.waiting, prepend=0)
    assert (answered >= -1e-9).all()
    # Pods that become ready or go within the second may make it one period's worth more.
    assert (answered <= np.maximum(capacity, day.ready * 100) + 1e-9).all()


def test_after_a_peak_it_waits_before_it_shrinks() -> None:
    arrivals = np.r_[np.full(300, 500.0), np.full(900, 50.0)]
    day = simulate(SCALER, arrivals, capacity=100, start_up=10)
    peak = day.replicas[299]
    assert day.replicas[300 + CALM - 2 * PERIOD] == peak
    assert day.replicas[-1] == 2
