"""The alarm goes off as rarely as was asked for when nothing has changed, and soon when something has."""

import numpy as np
import pytest

from triage.monitor.alarm import SIGNALS, Watch, Window, distances

SIZE = 100


def traffic(
    count: int,
    rng: np.random.Generator,
    shift: float = 0,
    late: float = 0.2,
    sure: float = 5,
) -> Window:
    """Messages of three intents, each with vectors around a direction of its own."""
    shares = [0.8 - late, 0.2, late]
    kinds = rng.choice(3, count, p=shares)
    vectors = np.eye(3, 16)[kinds] + rng.normal(shift, 0.3, (count, 16))
    names = np.array(["refund", "invoice", "late"])[kinds]
    return Window(vectors.astype(np.float32), names, rng.beta(sure, 2, count))


@pytest.fixture(scope="module")
def watch() -> Watch:
    baseline = traffic(1500, np.random.default_rng(0))
    return Watch.calibrate(baseline, SIZE, rate=0.05)


def test_calm_windows_alarm_as_rarely_as_was_asked_for(watch: Watch) -> None:
    """400 windows at 5 %: the 99.9 % interval of the binomial, either way."""
    rng = np.random.default_rng(1)
    raised = sum(bool(watch.alarms(traffic(SIZE, rng))) for _ in range(400))
    assert 6 <= raised <= 37


@pytest.mark.parametrize(
    ("changed", "signal"),
    [
        ({"shift": 0.2}, "input"),
        ({"late": 0.5}, "prediction"),
        ({"sure": 2}, "confidence"),
    ],
)
def test_what_changes_is_what_alarms(
    watch: Watch, changed: dict[str, float], signal: str
) -> None:
    rng = np.random.default_rng(2)
    for _ in range(20):
        assert signal in watch.alarms(traffic(SIZE, rng, **changed))


def test_a_window_is_at_no_distance_from_itself() -> None:
    window = traffic(50, np.random.default_rng(3))
    assert distances(window, window) == pytest.approx(dict.fromkeys(SIGNALS, 0.0))


def test_the_same_seed_gives_the_same_thresholds() -> None:
    baseline = traffic(200, np.random.default_rng(0))
    first, second = (Watch.calibrate(baseline, 20, 0.1, seed=4) for _ in range(2))
    assert first.thresholds == second.thresholds
