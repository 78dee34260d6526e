"""Grading the graders: every submission that comes with an assignment must get just what it should."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autograder import assignments
from autograder.batch import Job, grade_all
from autograder.errors import UsageError
from autograder.verdict import Verdict


class NotAnExpectation(UsageError):
    """An expected.json that cannot be used; the message says why."""


@dataclass(frozen=True)
class Comparison:
    """What a submission should get, and what it got. `loses`: checks that gave less than full points."""

    assignment: str
    submission: str
    expected_points: float
    expected_loses: list[str]
    verdict: Verdict

    @property
    def loses(self) -> list[str]:
        checks = self.verdict.checks
        return [check.id for check in checks if check.points < check.max_points]

    @property
    def agrees(self) -> bool:
        return (
            self.verdict.status == "graded"
            and abs(self.verdict.points - self.expected_points) < 0.005
            and sorted(self.loses) == sorted(self.expected_loses)
        )

    def record(self) -> dict[str, Any]:
        return {
            "assignment": self.assignment,
            "submission": self.submission,
            "agrees": self.agrees,
            "expected": {"points": self.expected_points, "loses": self.expected_loses},
            "actual": {
                "status": self.verdict.status,
                "message": self.verdict.message,
                "points": self.verdict.points,
                "loses": self.loses,
            },
        }


def compare(
    folders: list[Path], *, workers: int, seed: int | None = None
) -> Iterator[Comparison]:
    """Grade every submission that comes with these assignments. Raises NotAnExpectation."""
    expected = {}
    jobs = []
    for folder in folders:
        for path in sorted((folder / "submissions").iterdir()):
            job = Job(path, folder, learner=path.name, seed=seed)
            jobs.append(job)
            expected[job] = read_expectation(path / "expected.json")
    for job, verdict in grade_all(jobs, workers=workers):
        wanted = expected[job]
        yield Comparison(
            verdict.assignment, job.learner, wanted["points"], wanted["loses"], verdict
        )


def read_expectation(path: Path) -> dict[str, Any]:
    try:
        expected = json.loads(path.read_bytes())
        points, loses = float(expected["points"]), list(expected["loses"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise NotAnExpectation(
            f'{path} must hold {{"points": NUMBER, "loses": [CHECK, …]}}: {error!r}'
        ) from error
    return {"points": points, "loses": loses}


def folders(names: list[str]) -> list[Path]:
    """The folders of these assignments, or of all. Raises UnknownAssignment."""
    return [assignments.find(name) for name in names] or list(
        assignments.names().values()
    )
