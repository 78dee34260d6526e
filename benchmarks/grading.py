"""Seconds per submission: nbgrader, otter-grader and the judge on the same 40 trivial notebooks.

The work is next to nothing, so this is what the graders themselves cost. Every figure is the wall-clock time
of cold processes, imports included. The judge runs once before and once after each of the others, and the
ratio is taken to the mean of those two, so that a machine that slows down does not favour anybody. A grader
that gives any submission other points than it is worth makes the benchmark fail: speed without right grades
is worth nothing.

The judge runs every submission in sandboxes, on two workers. nbgrader and otter-grader (without containers)
run learners' code unprotected in Jupyter kernels, one after the other; they have no option for more.
"""

import platform
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import mean
from typing import Any, Protocol

from rich.progress import track
from rich.table import Table

from benchmarks import otter_course, report
from benchmarks.judged import WORKERS, make_course, verdicts
from benchmarks.nbgrader_course import PlainCourse, gradebook_points, hand_in
from benchmarks.otter_course import Otter
from benchmarks.warmup import Submission, answered, judge_notebook, submissions

COUNT = 40
JUDGE = "the judge"


class Grader(Protocol):
    """Prepared with a folder and submissions. `grade` is what is measured; `points` tells what it gave."""

    def grade(self) -> None: ...

    def points(self) -> dict[str, float | None]: ...


class Judge:
    """`autograder grade`, whose verdicts go to files."""

    def __init__(self, folder: Path, submitted: Sequence[Submission]):
        self.folder = folder
        released = judge_notebook()
        self.submitted = [
            hand_in(folder, one.learner, answered(released, one.answer))
            for one in submitted
        ]

    def grade(self) -> None:
        record = tempfile.mkdtemp(
            dir=self.folder
        )  # a verdict that stands is not redone
        self.verdicts = verdicts(self.submitted, "--record", record)

    def points(self) -> dict[str, float | None]:
        return {
            learner: verdict.points if verdict.status == "graded" else None
            for learner, verdict in self.verdicts.items()
        }


class JudgeWithGradebook:
    """`autograder grade --course`: verdicts, and then nbgrader's gradebook, from which points are read."""

    def __init__(self, folder: Path, submitted: Sequence[Submission]):
        self.folder = folder
        self.learners = [one.learner for one in submitted]
        make_course(folder)
        released = judge_notebook()
        for one in submitted:
            notebook = answered(released, one.answer)
            hand_in(folder / "submitted", one.learner, notebook)

    def grade(self) -> None:
        verdicts([], "--course", str(self.folder))

    def points(self) -> dict[str, float | None]:
        return {
            learner: gradebook_points(self.folder, learner) for learner in self.learners
        }


class Nbgrader:
    """`nbgrader autograde`."""

    def __init__(
        self, folder: Path, submitted: Sequence[Submission], fast: bool = False
    ):
        self.course = PlainCourse.create(folder, fast=fast)
        self.learners = [one.learner for one in submitted]
        released = self.course.released()
        for one in submitted:
            self.course.submit(one.learner, answered(released, one.answer))

    def grade(self) -> None:
        self.course.autograde().check_returncode()

    def points(self) -> dict[str, float | None]:
        return {learner: self.course.points(learner) for learner in self.learners}


class OtterRun:
    """`otter run` for each notebook."""

    def __init__(self, folder: Path, submitted: Sequence[Submission]):
        self.otter = Otter(folder)
        self.otter.submit(submitted)

    def grade(self) -> None:
        self.graded = self.otter.run_each()

    def points(self) -> dict[str, float | None]:
        return dict(self.graded)


class OtterLoop(OtterRun):
    """otter-grader's Python interface, all notebooks in one process."""

    def grade(self) -> None:
        self.graded = self.otter.loop()


OTHERS: dict[str, Callable[[Path, Sequence[Submission]], Grader]] = {
    "the judge, with nbgrader's gradebook": JudgeWithGradebook,
    "nbgrader autograde": Nbgrader,
    "nbgrader autograde, kernels ended at once": lambda folder, submitted: Nbgrader(
        folder, submitted, fast=True
    ),
    "otter run, notebook by notebook": OtterRun,
    "otter-grader, all in one process": OtterLoop,
}


@dataclass(frozen=True)
class Timed:
    seconds: float
    mistakes: dict[
        str, dict[str, float | None]
    ]  # by learner: the points worth and given


def timed(grader: Grader, submitted: Sequence[Submission]) -> Timed:
    start = time.perf_counter()
    grader.grade()
    seconds = time.perf_counter() - start
    given = grader.points()
    mistakes = {
        one.learner: {"worth": one.points, "given": given.get(one.learner)}
        for one in submitted
        if given.get(one.learner) != one.points
    }
    return Timed(seconds, mistakes)


def measure(count: int, others: Sequence[str] = tuple(OTHERS)) -> dict[str, Any]:
    """Grade `count` submissions with the judge and each of the others."""
    submitted = submissions(count)
    rows = []
    mistakes = {}
    with tempfile.TemporaryDirectory(prefix="the-pivot-grading-") as temporary:
        Judge(Path(temporary) / "first", submitted[:1]).grade()  # compiles its code
        judge = Judge(Path(temporary) / "judge", submitted)
        runs = [timed(judge, submitted)]
        for number, name in enumerate(track(others, "Grading", transient=True)):
            grader = OTHERS[name](Path(temporary) / str(number), submitted)
            other = timed(grader, submitted)
            runs.append(timed(judge, submitted))
            beside = mean(run.seconds for run in runs[-2:])
            rows.append(row(name, other.seconds, count, other.seconds / beside))
            mistakes[name] = other.mistakes
    mistakes[JUDGE] = next((run.mistakes for run in runs if run.mistakes), {})
    own = mean(run.seconds for run in runs)
    return {
        "submissions": count,
        "workers": WORKERS,
        "graders": [row(JUDGE, own, count, 1), *rows],
        "agree": not any(mistakes.values()),
        "mistakes": {name: wrong for name, wrong in mistakes.items() if wrong},
        "versions": {
            "python": platform.python_version(),
            "nbgrader": version("nbgrader"),
            "otter-grader": otter_course.VERSION,
        },
    }


def row(name: str, seconds: float, count: int, ratio: float) -> dict[str, Any]:
    return {
        "grader": name,
        "seconds_per_submission": round(seconds / count, 4),
        "times_the_judge": round(ratio, 1),
    }


def table(result: dict[str, Any]) -> Table:
    shown = Table("Grader", "Seconds per submission", "Times the judge")
    for line in result["graders"]:
        seconds, ratio = line["seconds_per_submission"], line["times_the_judge"]
        shown.add_row(line["grader"], f"{seconds:.3f}", f"{ratio:.1f}")
    agree = "All agree on every submission's points."
    shown.caption = agree if result["agree"] else f"WRONG GRADES: {result['mistakes']}"
    return shown


def main(argv: Sequence[str] | None = None) -> None:
    parser = report.arguments(__doc__)
    parser.add_argument("--submissions", type=int, default=COUNT, metavar="N")
    options = parser.parse_args(argv)
    result = measure(options.submissions)
    report.publish("grading", result, table(result), as_json=options.json)
    if not result["agree"]:
        sys.exit(f"benchmarks.grading: graders gave wrong points: {result['mistakes']}")


if __name__ == "__main__":
    main()
