"""Wald's sequential probability ratio test: look after every message, and be wrong as seldom as agreed.

Wald 1945, "Sequential Tests of Statistical Hypotheses", Annals of Mathematical Statistics 16(2). An ordinary
test that is repeated until it says something says something in the end, whatever the truth.
"""

from dataclasses import dataclass
from math import log
from typing import Literal

from triage.errors import TriageError

Verdict = Literal["good", "bad"]


# region sprt
@dataclass(frozen=True)
class SequentialTest:
    """Is a rate of failures as low as `good` or as high as `bad`? Shares, 0 to 1."""

    good: float
    bad: float
    false_alarms: float = 0.01
    """How often a rate of `good` is called bad, however long one looks."""
    misses: float = 0.01
    """How often a rate of `bad` is called good."""

    def __post_init__(self) -> None:
        if not 0 < self.good < self.bad < 1:
            raise TriageError("A sequential test needs 0 < good < bad < 1.")
        if not (0 < self.false_alarms < 0.5 and 0 < self.misses < 0.5):
            raise TriageError("A test that is wrong half the time tells nothing.")

    def evidence(self, failures: int, total: int) -> float:
        """How much likelier these failures are if the rate is `bad`, as a logarithm."""
        successes = total - failures
        return failures * log(self.bad / self.good) + successes * log(
            (1 - self.bad) / (1 - self.good)
        )

    @property
    def limits(self) -> tuple[float, float]:
        """Evidence at which the verdict is good, and at which it is bad."""
        return (
            log(self.misses / (1 - self.false_alarms)),
            log((1 - self.misses) / self.false_alarms),
        )

    def verdict(self, failures: int, total: int) -> Verdict | None:
        """None: go on looking."""
        evidence, (low, high) = self.evidence(failures, total), self.limits
        return "bad" if evidence >= high else "good" if evidence <= low else None


# endregion sprt
