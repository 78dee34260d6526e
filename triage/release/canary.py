"""A canary's life: more traffic while nothing speaks against it, none at once when something does."""

import logging
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
    The share grows by a step whenever agents have looked at `patience` more answers.
    Promotion takes proof against as many corrections as the test calls bad.
    """

    errors: Rate
    corrections: Rate
    shares: tuple[float, ...] = (0.01, 0.05, 0.2, 0.5)
    patience: int = 50
    status: Status = "running"
    reason: str = ""
    step: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        rising = sorted(set(self.shares))
        if not rising or list(self.shares) != rising:
            raise TriageError("A canary's shares rise.")
        if not 0 < rising[0] <= rising[-1] <= 1 or self.patience < 1:
            raise TriageError(
                "A canary's shares lie between 0 and 1, its patience above."
            )

    @property
    def share(self) -> float:
        """The part of the traffic that it gets now."""
        if self.status == "running":
            return self.shares[self.step]
        return 1.0 if self.status == "promoted" else 0.0

    def answered(self, failed: bool) -> None:
        """It has answered, or failed to. Errors end it even after it was promoted."""
        self.errors.add(failed)
        if self.status != "rolled back" and self.errors.verdict == "bad":
            self._end("rolled back", f"errors: {self.errors}")

    def corrected(self, changed: bool) -> None:
        """An agent has looked at one of its answers, and changed it or not."""
        if self.status != "running":
            return  # a decision stands, whatever comes in late
        self.corrections.add(changed)
        last = len(self.shares) - 1
        self.step = min(self.corrections.total // self.patience, last)
        if self.corrections.verdict == "bad":
            self._end("rolled back", f"corrections: {self.corrections}")
        elif self.corrections.verdict == "good" and self.step == last:
            self._end("promoted", f"corrections: {self.corrections}")

    def _end(self, status: Status, reason: str) -> None:
        self.status, self.reason = status, reason
        logging.getLogger(__name__).warning("The canary is %s: %s", status, reason)


# endregion canary


def usual(corrections: float) -> Canary:
    """A canary for a champion whose answers are corrected at this rate: five points more are bad.

    One error in a thousand is good, and one in fifty is bad.
    """
    if not 0 < corrections < 0.95:
        raise TriageError(
            f"{corrections:g} is no rate of corrections. Give the share, such as 0.17 for 17 %."
        )
    return Canary(
        errors=Rate(SequentialTest(0.001, 0.02)),
        corrections=Rate(SequentialTest(corrections, corrections + 0.05)),
    )
