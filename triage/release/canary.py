"""A canary's life: more traffic while nothing speaks against it, none at once when something does."""

from dataclasses import dataclass, field
from typing import Literal

from triage.errors import TriageError
from triage.release.sprt import SequentialTest

Status = Literal["running", "promoted", "rolled back"]


@dataclass
class Rate:
    """Failures among what was seen, under a test."""

    test: SequentialTest
    failures: int = 0
    total: int = 0

    def add(self, failed: bool) -> None:
        self.failures += failed
        self.total += 1

    @property
    def verdict(self) -> str | None:
        return self.test.verdict(self.failures, self.total)

    def __str__(self) -> str:
        return f"{self.failures} of {self.total}, where {self.test.good:.1%} is usual"


# region canary
@dataclass
class Canary:
    """What is known about a canary, and what follows from it.

    `errors` come with each answer, `corrections` (an agent changed the intent) later.
    The share grows by a step after every `patience` answers. Promotion takes proof that
    there are no more corrections than usual.
    """

    errors: Rate
    corrections: Rate
    shares: tuple[float, ...] = (0.01, 0.05, 0.2, 0.5)
    patience: int = 100
    status: Status = "running"
    reason: str = ""
    step: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        rising = sorted(set(self.shares))
        if list(self.shares) != rising or not 0 < rising[0] <= rising[-1] <= 1:
            raise TriageError("A canary's shares rise, and lie between 0 and 1.")

    @property
    def share(self) -> float:
        """The part of the traffic that it gets now."""
        if self.status == "running":
            return self.shares[self.step]
        return 1.0 if self.status == "promoted" else 0.0

    def answered(self, failed: bool) -> None:
        """It has answered, or failed to."""
        self.errors.add(failed)
        self._decide()
        waited = self.errors.total // self.patience
        self.step = min(waited, len(self.shares) - 1)

    def corrected(self, changed: bool) -> None:
        """An agent has looked at one of its answers, and changed it or not."""
        self.corrections.add(changed)
        self._decide()

    def _decide(self) -> None:
        if self.status != "running":
            return  # a decision stands, whatever comes in late
        for name, rate in (("errors", self.errors), ("corrections", self.corrections)):
            if rate.verdict == "bad":
                self.status, self.reason = "rolled back", f"{name}: {rate}"
                return
        if self.corrections.verdict == "good" and self.step == len(self.shares) - 1:
            self.status, self.reason = "promoted", f"corrections: {self.corrections}"


# endregion canary


def usual(corrections: float, errors: float = 0.001) -> Canary:
    """A canary for a champion with these rates: five points more corrections are bad, or 2 % errors."""
    return Canary(
        errors=Rate(SequentialTest(errors, max(0.02, 20 * errors))),
        corrections=Rate(SequentialTest(corrections, corrections + 0.05)),
    )
