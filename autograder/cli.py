"""The instructor's command line."""

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional, TypeVar

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import MofNCompleteColumn, Progress, TimeElapsedColumn
from rich.table import Table

from autograder import assignments
from autograder.assignments import UnknownAssignment
from autograder.errors import InfrastructureError, UsageError
from triage.errors import TriageError

if TYPE_CHECKING:
    from autograder.batch import Job
    from autograder.verdict import Verdict

app = typer.Typer(
    help="Release assignments, grade what comes back, and say what was seen.",
    no_args_is_help=True,
    add_completion=False,
)
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
Workers = Annotated[
    int, typer.Option(min=1, help="How many submissions are graded at once.")
]
Seed = Annotated[
    Optional[int],  # noqa: UP045 - typer reads it at run time
    typer.Option(help="Draw the hidden inputs from this seed instead of a fresh one."),
]
T = TypeVar("T")
CORES = os.cpu_count() or 1


@app.callback()
def main() -> None:
    """Exit status: 0 nothing wrong, 1 a finding, 2 could not run as asked."""


@contextmanager
def refusals(command: str) -> Iterator[None]:
    """What the caller can mend becomes one sentence and exit status 2."""
    try:
        yield
    except (UsageError, InfrastructureError, TriageError) as error:
        typer.echo(f"autograder {command}: {error}", err=True)
        raise typer.Exit(2) from error


@app.command()
def run(
    notebooks: Annotated[
        list[Path],
        typer.Argument(metavar="NOTEBOOK...", help="Notebooks, .ipynb or MyST .md"),
    ],
) -> None:
    """Run notebooks and prove that every code cell was executed and ended as its tags say."""
    from autograder.notebooks import NotebookUnreadable, run_notebook

    findings = 0
    for path in notebooks:
        try:
            with tempfile.TemporaryDirectory() as cwd:
                report = run_notebook(path, Path(cwd))
        except (OSError, NotebookUnreadable) as error:
            typer.echo(f"autograder run: {error}", err=True)
            raise typer.Exit(2) from error
        typer.echo(
            str(report) if report.findings else f"{path}: every cell ran as it should"
        )
        findings += len(report.findings)
    raise typer.Exit(1 if findings else 0)


@app.command()
def release(
    names: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Argument(metavar="[ASSIGNMENT]...", help="All, where none is named"),
    ] = None,
    course: Annotated[
        Path, typer.Option(help="The course folder that `make classroom` made.")
    ] = Path(),
) -> None:
    """Write what learners get into the course's release/, without solutions and hidden checks."""
    from autograder import classroom

    with refusals("release"):
        released = classroom.release(course, names or [])
    typer.echo(f"Released into {course / 'release'}: {', '.join(released)}")


@app.command()
def grade(
    submissions: Annotated[
        Optional[list[Path]],  # noqa: UP045
        typer.Argument(
            metavar="[SUBMISSION]...", help="Folders, archives or notebooks"
        ),
    ] = None,
    course: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(
            metavar="FOLDER",
            help="Grade what was submitted to this course and record it in its gradebook.",
        ),
    ] = None,
    assignment: Annotated[
        str, typer.Option(help="Its name, where the path does not tell.")
    ] = "",
    record: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(
            metavar="FOLDER",
            help="Keep verdicts here; what is graded already is not graded again.",
        ),
    ] = None,
    workers: Workers = CORES,
    seed: Seed = None,
    as_json: AsJson = False,
) -> None:
    """Grade submissions. --json prints one verdict a line. Exits with 1 if one could not be graded."""
    from autograder.batch import grade_all

    with refusals("grade"):
        if bool(course) == bool(submissions):
            raise UsageError("name submissions, or a course with --course FOLDER")
        if course:
            jobs = submitted(course, assignment)
        else:
            jobs = [
                job_for(path, assignment, record, seed) for path in submissions or []
            ]
        verdicts = []
        graded = grade_all(jobs, workers=workers)
        for verdict in watched((verdict for _, verdict in graded), len(jobs)):
            verdicts.append(verdict)
            if as_json:
                typer.echo(verdict.model_dump_json())
        if course:
            verdicts = record_all(course, verdicts)
    if not as_json:
        print_verdicts(verdicts)
    raise typer.Exit(int(any(verdict.status != "graded" for verdict in verdicts)))


def job_for(
    path: Path, assignment: str, record: Path | None, seed: int | None
) -> "Job":
    """Raises UsageError or UnknownAssignment."""
    from autograder.batch import Job

    if not path.exists():
        raise UsageError(f"there is no {path}")
    name = assignment or assignment_of(path)
    learner = learner_of(path, name)
    kept = record / name / f"{learner}.json" if record else None
    return Job(path, assignments.find(name), learner, kept, seed)


def submitted(course: Path, assignment: str) -> "list[Job]":
    """A job for each learner's folder of one assignment, or of all. Raises UsageError, UnknownAssignment."""
    from autograder.batch import Job
    from autograder.gradebook import open_course, verdict_path

    _, folders = open_course(course)
    wanted = [assignment] if assignment else list(assignments.names())
    jobs = [
        Job(
            path,
            assignments.find(name),
            learner=path.parent.name,
            record=verdict_path(course, name, path.parent.name),
        )
        for name in wanted
        for path in sorted((course / folders.submitted_directory).glob(f"*/{name}"))
    ]
    if not jobs:
        raise UsageError(
            f"nothing is submitted in {course / folders.submitted_directory}"
        )
    return jobs


def record_all(course: Path, verdicts: "list[Verdict]") -> "list[Verdict]":
    """Write verdicts into the gradebook, one learner after another: it has one writer."""
    from autograder.gradebook import record

    recorded = []
    for verdict in watched(iter(verdicts), len(verdicts), "Recording"):
        if verdict.status != "infrastructure-error":
            try:
                record(course, verdict.assignment, verdict.learner)
            except InfrastructureError as error:
                problem = {"status": "infrastructure-error", "message": str(error)}
                verdict = verdict.model_copy(update=problem)
        recorded.append(verdict)
    return recorded


def print_verdicts(verdicts: "list[Verdict]") -> None:
    table = Table("Learner", "Assignment", "Verdict", "Points", "Why")
    for verdict in sorted(verdicts, key=lambda one: (one.assignment, one.learner)):
        points = f"{verdict.points:g} of {verdict.max_points:g}"
        if verdict.status == "infrastructure-error":
            points = "none yet"
        lost = [one.title for one in verdict.checks if one.points < one.max_points]
        more = f" and {len(lost) - 2} more" if len(lost) > 2 else ""
        why = escape(verdict.message or ", ".join(lost[:2]) + more)
        who = escape(verdict.learner)
        table.add_row(who, verdict.assignment, verdict.status, points, why)
    Console().print(table)


def assignment_of(path: Path) -> str:
    """The assignment a path is about, by the nearest folder called like one. Raises UnknownAssignment."""
    known = {folder.name: name for name, folder in assignments.names().items()}
    known |= {name: name for name in assignments.names()}
    for part in reversed([*path.absolute().parts[:-1], path.name.split(".")[0]]):
        if part in known:
            return known[part]
    raise UnknownAssignment(
        f"{path} does not say which assignment it is. Add --assignment with one of: "
        f"{', '.join(assignments.names())}."
    )


def learner_of(path: Path, assignment: str) -> str:
    """Who handed it in: nbgrader keeps submissions as <learner>/<assignment>, everybody else as <learner>."""
    path = path.absolute()
    return path.parent.name if path.name == assignment else path.name.split(".")[0]


@app.command()
def selfcheck(
    names: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Argument(metavar="[ASSIGNMENT]...", help="All, where none is named"),
    ] = None,
    workers: Workers = CORES,
    seed: Seed = None,
    as_json: AsJson = False,
) -> None:
    """Grade the submissions that come with each assignment; exits with 1 if points are not as expected."""
    from autograder.selfcheck import compare, folders

    with refusals("selfcheck"):
        chosen = folders(names or [])
        total = sum(1 for folder in chosen for _ in (folder / "submissions").iterdir())
        compared = list(watched(compare(chosen, workers=workers, seed=seed), total))
    compared.sort(key=lambda one: (one.assignment, one.submission))
    if as_json:
        result = {"agrees": all(one.agrees for one in compared)}
        rows = [one.record() for one in compared]
        typer.echo(json.dumps(result | {"submissions": rows}, indent=2))
    else:
        table = Table("Assignment", "Submission", "Expected", "Actual", "")
        for one in compared:
            expected = " ".join([f"{one.expected_points:g}", *one.expected_loses])
            actual = " ".join([f"{one.verdict.points:g}", *one.loses])
            if one.verdict.status != "graded":
                actual = f"{one.verdict.status}: {one.verdict.message}"
            mark = "" if one.agrees else "[bold red]differs"
            table.add_row(one.assignment, one.submission, expected, actual, mark)
        Console().print(table)
    raise typer.Exit(int(not all(one.agrees for one in compared)))


def watched(items: Iterator[T], total: int, what: str = "Grading") -> Iterator[T]:
    """Pass items through while a bar on standard error shows how many came."""
    columns = (
        *Progress.get_default_columns()[:2],
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        yield from progress.track(items, total=total, description=what)
