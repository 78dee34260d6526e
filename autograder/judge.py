"""The judge: a submission in, a verdict out. Whatever the submission does, there is exactly one verdict."""

import contextlib
import platform
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from nbformat import NotebookNode

from autograder import assignments
from autograder.assign import source_notebook
from autograder.checks import Assignment, Check, Outcome
from autograder.errors import InfrastructureError, LearnerError
from autograder.intake import Intake, take_in
from autograder.intake.notebook import read_submitted, rebuild
from autograder.room import room
from autograder.sandbox import Sandbox, choose
from autograder.verdict import CheckResult, Verdict
from autograder.work import Work

if TYPE_CHECKING:
    from autograder.engine import Engine

NOT_RUN = "Not run, because “{}” earned no points."
MEND_FIRST = "Mend that one first."


def grade(
    source: Path,
    assignment: Assignment,
    *,
    learner: str,
    seed: int | None = None,
    earlier: Verdict | None = None,
) -> Verdict:
    """The verdict on what lies in `source`: a folder, an archive or a notebook.

    `earlier` is this learner's last verdict: it is returned as it stands if the same checks gave it on the
    same files, and lends its seed otherwise, so that grading again gives the same or has a reason not to.
    Raises nothing that the submission can provoke.
    """
    start = time.monotonic()
    seed = (
        seed if seed is not None else earlier.seed if earlier else secrets.randbits(48)
    )
    frame = Verdict(
        status="infrastructure-error",
        assignment=assignment.name,
        learner=learner,
        points=0,
        max_points=assignment.points,
        judge=digest(assignment.folder),
        seed=seed,
        versions={
            "the-pivot": version("the-pivot"),
            "python": platform.python_version(),
        },
    )
    try:
        with taken_in(source, assignment) as (intake, folder):
            frame = frame.model_copy(update={"submission": intake.digest})
            if earlier and settles(earlier, frame):
                return earlier
            with work_on(folder, assignment, seed=seed) as work:
                results = list(run_checks(work, list(assignment.checks.values())))
                notes, image = [*intake.notes, *work.notes], work.image
        return frame.model_copy(
            update={
                "status": "graded",
                "checks": results,
                "points": round(sum(result.points for result in results), 4),
                "notes": notes,
                "image": image,
                "seconds": round(time.monotonic() - start, 3),
            }
        )
    except LearnerError as error:
        update = {"status": "learner-error", "message": str(error)}
        return frame.model_copy(update=update)
    except InfrastructureError as error:
        return frame.model_copy(update={"message": str(error)})
    except Exception as error:  # a defect of the judge or of a check
        message = f"The judge itself failed: {type(error).__name__}: {error}"
        return frame.model_copy(update={"message": message})


def settles(earlier: Verdict, frame: Verdict) -> bool:
    """Whether an earlier verdict stands: same files, same checks, and it was not the machine's fault."""
    return (
        earlier.status != "infrastructure-error"
        and earlier.submission == frame.submission
        and earlier.judge == frame.judge
    )


@contextlib.contextmanager
def taken_in(source: Path, assignment: Assignment) -> Iterator[tuple[Intake, Path]]:
    """A clean copy of the submission for as long as the context lasts. Raises LearnerError."""
    with room() as temporary:
        folder = temporary / "submission"
        intake = take_in(source, folder, wanted=assignment.wanted)
        if missing := [
            name for name in assignment.submits if not (folder / name).exists()
        ]:
            raise LearnerError(
                f"There is no {' and no '.join(missing)} in what was handed in.",
                "Look whether it is the right folder and the file is called just so.",
            )
        for path in assignment.given:
            given = assignment.folder.parent / path
            shutil.copyfile(given, folder / given.name)
        yield intake, folder


@contextlib.contextmanager
def work_on(
    folder: Path,
    assignment: Assignment,
    *,
    seed: int,
    sandbox: Callable[[], Sandbox] = choose,
    engine: "Callable[[], Engine] | None" = None,
) -> Iterator[Work]:
    """The handle that checks get, with everything they start ended afterwards."""

    def code() -> list[str]:
        submitted = read_submitted(folder / assignment.notebook)
        rebuilt = rebuild(_skeleton(assignment.folder), submitted)
        work.notes += rebuilt.notes
        return rebuilt.code

    deadline = time.monotonic() + assignment.seconds
    with Work(
        folder,
        seed=seed,
        code=code,
        sandbox=sandbox,
        engine=engine or connect,
        deadline=deadline,
    ) as work:
        yield work


def run_checks(work: Work, checks: list[Check]) -> Iterator[CheckResult]:
    """Run checks in order, passing over those whose needs earned nothing. Raises InfrastructureError."""
    earned: dict[str, float] = {}
    titles = {check.id: check.title for check in checks}
    for check in checks:
        start = time.monotonic()
        missing = next((need for need in check.needs if not earned[need]), None)
        if missing:
            outcome = Outcome(0, NOT_RUN.format(titles[missing]), MEND_FIRST)
        else:
            try:
                work.begin(check.id)
                outcome = check.function(work)
            except LearnerError as error:
                outcome = lost_by(error, check)
        earned[check.id] = round(outcome.share * check.points, 4)
        yield CheckResult(
            id=check.id,
            title=check.title,
            hidden=check.hidden,
            points=earned[check.id],
            max_points=check.points,
            seen=outcome.seen,
            advice=outcome.advice,
            evidence=outcome.evidence,
            seconds=round(time.monotonic() - start, 3),
        )


def connect() -> "Engine":
    """The container engine, rid of what judges that were killed have left in it."""
    from autograder.engine import Engine

    engine = Engine.connect()
    engine.sweep()
    return engine


def lost_by(error: LearnerError, check: Check) -> Outcome:
    """What a learner is told of an error; not its words in a hidden check, which may quote the inputs."""
    if not check.hidden:
        return Outcome(0, error.seen, error.advice)
    seen = "The work failed before there was an answer to look at."
    return Outcome(0, seen, error.advice, {"seen": error.seen})


@cache
def digest(folder: Path) -> str:
    """What `assignments.digest` says, computed once for each folder."""
    return assignments.digest(folder)


@cache
def _skeleton(folder: Path) -> NotebookNode:
    """The assignment's notebook without solutions: a solution cell that was deleted counts as empty."""
    notebook = source_notebook(assignments.load(folder))
    for cell in notebook.cells:
        if cell.metadata.get("nbgrader", {}).get("solution"):
            cell.source = ""
    return notebook
