"""An alarm for a window of requests whose rate of false alarms is chosen, not hoped for.

A distance between a window and the baseline says nothing by itself: small windows are far from everything.
So many windows of the same size are drawn from the baseline itself, and the distance that only a chosen
share of them exceeds becomes the threshold.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.spatial.distance import jensenshannon

DRAWS = 2000
"""Windows drawn to set the thresholds; the rarest alarm that can be set is a few in as many."""


@dataclass(frozen=True)
class Window:
    """What a number of requests looked like, in the order they came."""

    vectors: np.ndarray
    """Float32 [n, 384], the encoder's."""
    intents: np.ndarray
    """Strings [n], as predicted."""
    confidence: np.ndarray
    """Floats [n], 0 to 1."""

    def __len__(self) -> int:
        return len(self.intents)

    def take(self, rows: np.ndarray) -> "Window":
        return Window(self.vectors[rows], self.intents[rows], self.confidence[rows])


# region signals
def input_distance(window: Window, baseline: Window) -> float:
    """Between the mean messages: the maximum mean discrepancy with a linear kernel."""
    apart = window.vectors.mean(axis=0) - baseline.vectors.mean(axis=0)
    return float(np.linalg.norm(apart))


def prediction_distance(window: Window, baseline: Window) -> float:
    """Between the shares of the intents: Jensen-Shannon, 0 to 1."""
    both = np.concatenate([window.intents, baseline.intents])
    names, codes = np.unique(both, return_inverse=True)
    here, there = (
        np.bincount(part, minlength=len(names))
        for part in (codes[: len(window)], codes[len(window) :])
    )
    return float(jensenshannon(here, there, base=2))


def confidence_distance(window: Window, baseline: Window) -> float:
    """Between the distributions of the confidence: Kolmogorov-Smirnov, 0 to 1."""
    mine, theirs = np.sort(window.confidence), np.sort(baseline.confidence)
    at = np.concatenate([mine, theirs])
    below = np.searchsorted(mine, at, "right") / len(mine)
    return float(
        np.abs(below - np.searchsorted(theirs, at, "right") / len(theirs)).max()
    )


SIGNALS: dict[str, Callable[[Window, Window], float]] = {
    "input": input_distance,
    "prediction": prediction_distance,
    "confidence": confidence_distance,
}
# endregion signals


# region watch
@dataclass(frozen=True)
class Watch:
    """A baseline and how far from it a window of `size` requests may be."""

    baseline: Window
    size: int
    thresholds: dict[str, float]

    @classmethod
    def calibrate(
        cls, baseline: Window, size: int, rate: float, seed: int = 0
    ) -> "Watch":
        """Set the thresholds so that a calm window raises any alarm with chance `rate`.

        The signals share that chance: all thresholds stand at the same quantile, the
        one at which only `rate` of the drawn windows passes at least one of them.
        """
        rng = np.random.default_rng(seed)
        drawn = np.array(
            [
                # The baseline is drawn again too: it is a sample like the windows.
                list(
                    distances(
                        draw(baseline, size, rng), draw(baseline, len(baseline), rng)
                    ).values()
                )
                for _ in range(DRAWS)
            ]
        )
        places = np.sort((drawn[:, None] <= drawn).mean(axis=0).max(axis=1))
        quantile = places[int(np.ceil((1 - rate) * DRAWS)) - 1]
        limits = np.quantile(drawn, quantile, axis=0, method="inverted_cdf")
        return cls(baseline, size, dict(zip(SIGNALS, map(float, limits), strict=True)))

    def alarms(self, window: Window) -> list[str]:
        """The signals on which a window is further away than calm ones are."""
        apart = distances(window, self.baseline)
        return [name for name in SIGNALS if apart[name] > self.thresholds[name]]


# endregion watch


def draw(window: Window, size: int, rng: np.random.Generator) -> Window:
    """So many of its requests, each as likely as any other every time."""
    return window.take(rng.integers(len(window), size=size))


def distances(window: Window, baseline: Window) -> dict[str, float]:
    return {name: signal(window, baseline) for name, signal in SIGNALS.items()}
