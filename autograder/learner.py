"""The learner's side: the same public checks that count later, on their own machine, answered at once."""

import atexit
import contextlib
import html
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from autograder import assignments, base, judge
from autograder.checks import Assignment
from autograder.engine import Engine
from autograder.errors import InfrastructureError, LearnerError
from autograder.sandbox import Sandbox, choose
from autograder.sandbox.direct import Direct
from autograder.verdict import CheckResult
from autograder.work import Work


@dataclass(frozen=True, repr=False)
class Shown:
    """One check's answer, as a notebook or a terminal shows it."""

    mark: str  # "Right", "Partly", "Not yet", "Later" or "Could not check"
    title: str
    points: str
    seen: str
    advice: str = ""

    def __repr__(self) -> str:
        head = f"{self.mark}: {self.title}{f' ({self.points})' if self.points else ''}"
        return "\n  ".join(line for line in (head, self.seen, self.advice) if line)

    def _repr_html_(self) -> str:
        colour = {"Right": "#1a7f37", "Later": "#57606a"}.get(self.mark, "#bc4c00")
        mark, title, points, seen, advice = map(
            html.escape, (self.mark, self.title, self.points, self.seen, self.advice)
        )
        lines = (
            f"<strong>{mark}: {title}</strong> {points}",
            seen,
            f"<em>{advice}</em>",
        )
        body = "<br>".join(line for line in lines if line != "<em></em>")
        return f'<div style="border-left: 4px solid {colour}; padding-left: 1em">{body}</div>'


def show(result: CheckResult) -> Shown:
    mark = "Not yet"
    if result.points:
        mark = "Right" if result.points == result.max_points else "Partly"
    points = f"{result.points:g} of {result.max_points:g} points"
    return Shown(mark, result.title, points, result.seen, result.advice)


def check(id: str) -> Shown:
    """Run one public check, such as `check("serve/ready")`, on the files in the current folder."""
    try:
        assignment = assignments.load(assignments.find(id.split("/")[0]))
        wanted = assignment.checks.get(id)
        if wanted is None or wanted.hidden:
            title = wanted.title if wanted else id
            seen = (
                "A hidden check: it runs, with fresh inputs, when your work is graded."
            )
            return Shown(
                "Later", title, f"{wanted.points:g} points" if wanted else "", seen
            )
        *_, result = results(assignment, Path.cwd(), [id])
        return show(result)
    except (LearnerError, InfrastructureError, assignments.UnknownAssignment) as error:
        return Shown("Could not check", id, "", str(error))


def results(
    assignment: Assignment, folder: Path, ids: list[str]
) -> Iterator[CheckResult]:
    """Run public checks and all they need on the files in `folder`.

    Raises LearnerError if the files cannot be taken in, InfrastructureError if this machine lacks something.
    """
    work = _bench.work(assignment, folder)
    return judge.run_checks(work, list(assignment.required(ids)))


class Bench:
    """The last submission's built image and running service, kept while its files stay as they are.

    A learner calls check after check in a notebook: building the same image for each would cost a minute.
    """

    def __init__(self) -> None:
        self._kept = contextlib.ExitStack()
        self._key: tuple[str, str] | None = None
        self._work: Work | None = None

    def work(self, assignment: Assignment, folder: Path) -> Work:
        with contextlib.ExitStack() as opening:
            intake, copy = opening.enter_context(judge.taken_in(folder, assignment))
            key = assignment.name, intake.digest
            if self._work is None or key != self._key:
                self.close()
                self._work = opening.enter_context(
                    judge.work_on(
                        copy,
                        assignment,
                        seed=0,
                        sandbox=own_sandbox,
                        engine=own_engine,
                    )
                )
                self._key = key
                self._kept = opening.pop_all()
        return self._work

    def close(self) -> None:
        self._work = self._key = None
        self._kept.close()


def own_sandbox() -> Sandbox:
    """Bubblewrap, as the judge has it. Without it a learner's own code runs as it does in their terminal."""
    try:
        return choose("bubblewrap")
    except InfrastructureError:
        return Direct()


def own_engine() -> Engine:
    """The learner's docker or podman, with the image to build on; making that takes a minute, once."""
    engine = judge.connect()
    base.ensure(engine, say=lambda text: print(f"{text}.", file=sys.stderr))
    return engine


_bench = Bench()
atexit.register(_bench.close)
