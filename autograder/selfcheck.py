"""Grading the graders: every submission that comes with an assignment must get just what it should."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autograder import assignments
from autograder.batch import Job, grade_all
from autograder.errors import UsageError
from autograder.room import room
from autograder.verdict import Verdict


class NotAnExpectation(UsageError):
    """An expected.json that cannot be used; the message says why."""


class NotASubmission(UsageError):
    """The submissions of an assignment cannot be made; the message says why."""


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
    """Grade every submission that comes with these assignments.

    Raises NotAnExpectation or NotASubmission.
    """
    expected = {}
    jobs = []
    with ExitStack() as made:
        for folder in folders:
            for path in made.enter_context(submissions(folder)):
                job = Job(path, folder, learner=path.name, seed=seed)
                jobs.append(job)
                expected[job] = read_expectation(path / "expected.json")
        for job, verdict in grade_all(jobs, workers=workers):
            wanted = expected[job]
            yield Comparison(
                verdict.assignment,
                job.learner,
                wanted["points"],
                wanted["loses"],
                verdict,
            )


@contextmanager
def submissions(folder: Path) -> Iterator[list[Path]]:
    """The submissions that come with an assignment, as learners would hand them in.

    They lie in its folder `submissions`. Where they hold what text cannot, such as a database, the assignment
    has a `submissions.py`: it is given a new folder, and makes of each one there what is handed in.
    """
    program = folder / "submissions.py"
    if not program.exists():
        yield sorted((folder / "submissions").iterdir())
        return
    with room() as temporary:
        made = temporary / "submissions"
        completed = subprocess.run(
            [sys.executable, program, made],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        if completed.returncode:
            raise NotASubmission(
                f"{program} made no submissions: {completed.stdout.strip()[-500:]}"
            )
        yield sorted(made.iterdir())


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
