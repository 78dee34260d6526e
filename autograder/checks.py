"""Checks: what an assignment asks, as functions that depend on each other.

assignment = Assignment("serve", title="Serve a model", submits=("service.py",))

@assignment.check("serve/alive", title="Says that it is alive", points=1)
def alive(work: Work) -> Outcome:
    answer = work.shared(running).get("/healthz")
    if answer.status == 200:
        return passed("GET /healthz answered 200.")
    return failed(f"GET /healthz answered {answer.status}.", "Answer 200 while it lives.")
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from autograder.work import Work


@dataclass(frozen=True)
class Outcome:
    """What a check saw. `share` of its points is earned, 0 to 1.

    `seen` and `advice` are shown to the learner. `evidence` (JSON values: the inputs drawn, what came back)
    is for the instructor alone.
    """

    share: float
    seen: str
    advice: str = ""
    evidence: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1:
            raise ValueError(f"a share of the points is 0 to 1, not {self.share}")
        if self.share < 1 and not self.advice:
            raise ValueError("who loses points is told what to try next")


def passed(seen: str, **evidence: Any) -> Outcome:
    return Outcome(1.0, seen, evidence=evidence)


def failed(seen: str, advice: str, **evidence: Any) -> Outcome:
    return Outcome(0.0, seen, advice, evidence)


def partly(share: float, seen: str, advice: str, **evidence: Any) -> Outcome:
    """Some of the points: right in 4 of 6 cases is `partly(4 / 6, …)`."""
    return Outcome(share, seen, advice, evidence)


@dataclass(frozen=True)
class Check:
    """One thing an assignment asks for. `needs`: ids of checks that must earn points before this one runs."""

    id: str
    title: str
    points: float
    needs: tuple[str, ...]
    hidden: bool
    function: Callable[[Work], Outcome]


class Assignment:
    """What is asked and how it is judged.

    `submits` are the files a learner must hand in, `optional` glob patterns of those they may; the rest is
    ignored. `given` are files the judge lays over the
    submission from its own copies, as paths in the folder of all assignments. `seconds` limits the grading of
    one submission. `folder` is where the assignment was loaded from.
    """

    def __init__(
        self,
        name: str,
        *,
        title: str,
        submits: tuple[str, ...],
        optional: tuple[str, ...] = (),
        given: tuple[str, ...] = (),
        notebook: str | None = None,
        seconds: float = 300,
    ):
        self.name = name
        self.title = title
        self.submits = submits
        self.optional = optional
        self.given = given
        self.notebook = notebook or f"{name}.ipynb"
        self.seconds = seconds
        self.checks: dict[str, Check] = {}
        self.folder = Path()

    @property
    def wanted(self) -> tuple[str, ...]:
        """Glob patterns of everything that is taken in."""
        return (*self.submits, *self.optional, self.notebook)

    @property
    def points(self) -> float:
        return sum(check.points for check in self.checks.values())

    def check(
        self,
        id: str,
        *,
        title: str,
        points: float,
        needs: tuple[str, ...] = (),
        hidden: bool = False,
    ) -> Callable[[Callable[[Work], Outcome]], Callable[[Work], Outcome]]:
        """Register a check function. Raises ValueError for an id used twice or a need not defined above."""
        if not id.startswith(f"{self.name}/"):
            raise ValueError(f"check {id!r}: its id must begin with '{self.name}/'")
        if id in self.checks:
            raise ValueError(f"check {id!r} is registered twice")
        if points <= 0:
            raise ValueError(f"check {id!r}: points must be more than 0, not {points}")
        for need in needs:
            if need not in self.checks:
                raise ValueError(
                    f"check {id!r} needs {need!r}, which is not defined above it"
                )

        def register(function: Callable[[Work], Outcome]) -> Callable[[Work], Outcome]:
            self.checks[id] = Check(id, title, points, needs, hidden, function)
            return function

        return register

    def required(self, ids: list[str]) -> Iterator[Check]:
        """The checks named and all they need, in the order of their definition."""
        wanted: set[str] = set()
        waiting = list(ids)
        while waiting:
            id = waiting.pop()
            if id not in wanted:
                wanted.add(id)
                waiting.extend(self.checks[id].needs)
        return (check for check in self.checks.values() if check.id in wanted)
