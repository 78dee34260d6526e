"""A HorizontalPodAutoscaler on paper: what it would do with a load, second by second.

https://kubernetes.io/docs/concepts/workloads/autoscaling/horizontal-pod-autoscale/
"""

import math
from dataclasses import dataclass

import numpy as np

PERIOD = 15
"""Seconds from one look at the metric to the next."""
TOLERANCE = 0.1
CALM = 300
"""Seconds; the highest number asked for in them is what it shrinks to."""
ROOM = 64
"""Messages that may wait in a pod before it refuses, as `triage.service.batching.MAX_WAITING`."""


# region desired
@dataclass(frozen=True)
class Autoscaler:
    """A target for the mean CPU use of the pods, as a share of what they request."""

    target: float
    least: int = 2
    most: int = 10

    def wanted(self, ready: int, starting: int, use: float) -> int:
        """How many replicas, from the mean use (0 to 1) of those that are ready.

        One that is starting counts as idle when more are asked for.
        """
        current = ready + starting
        ratio = use / self.target
        if abs(ratio - 1) <= TOLERANCE or ready == 0:
            return current
        if ratio > 1 and starting:
            ratio = use * ready / current / self.target
            if ratio <= 1 + TOLERANCE:
                return current
            return math.ceil(ratio * current)
        return math.ceil(ratio * ready)

    def replicas(self, current: int, wanted: list[int]) -> int:
        """What it sets now; `wanted` are the answers of the last CALM seconds."""
        quickest = max(2 * current, current + 4)  # in one period
        asked = min(wanted[-1], quickest)
        if asked < current:
            asked = min(current, max(wanted))
        return max(self.least, min(self.most, asked))


# endregion desired


@dataclass(frozen=True)
class Day:
    """What happened, a value for each second."""

    replicas: np.ndarray
    ready: np.ndarray
    waiting: np.ndarray
    """Messages in queues at the end of the second."""
    refused: np.ndarray
    """Messages answered 503."""


# region simulate
def simulate(
    scaler: Autoscaler, arrivals: np.ndarray, capacity: float, start_up: int
) -> Day:
    """Messages come, `arrivals` of them in each second; a ready pod answers `capacity`.

    A new pod is ready after `start_up` seconds. One that is taken away has answered
    what it held.
    """
    ready = scaler.least
    starting: list[int] = []  # the seconds at which they will be ready
    waiting = 0.0
    wanted: list[int] = []
    work: list[float] = []
    days: list[tuple[float, ...]] = []
    for second, come in enumerate(arrivals):
        ready += sum(at <= second for at in starting)
        starting = [at for at in starting if at > second]
        answered = min(waiting + come, ready * capacity)
        left = waiting + come - answered
        waiting = min(left, ready * ROOM)
        work.append(answered)
        if second % PERIOD == PERIOD - 1:
            use = float(np.mean(work[-PERIOD:])) / (ready * capacity)
            wanted.append(scaler.wanted(ready, len(starting), use))
            current = ready + len(starting)
            target = scaler.replicas(current, wanted[-CALM // PERIOD :])
            starting += [second + start_up] * (target - current)
            while current > target:  # the youngest go first
                current -= 1
                if starting:
                    starting.pop()
                else:
                    ready -= 1
        days.append((ready + len(starting), ready, waiting, left - waiting))
    return Day(*np.array(days).T)


# endregion simulate
