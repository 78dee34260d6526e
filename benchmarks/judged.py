"""`autograder grade` as an instructor runs it: a cold process, sandboxes, two workers."""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from autograder.verdict import Verdict
from benchmarks.report import environment
from benchmarks.warmup import COURSE, NAME

PROGRAM = Path(sys.executable).with_name("autograder")
WORKERS = 2
SECONDS = 600


def verdicts(folders: Sequence[Path], *options: str) -> dict[str, Verdict]:
    """The judge's verdicts on warm-up submissions, or on those of a course in `options`, by learner."""
    command = [str(PROGRAM), "grade", "--assignment", NAME, "--json"]
    arguments = ["--workers", str(WORKERS), *options, *map(str, folders)]
    completed = run(*command, *arguments)
    if completed.returncode > 1:
        raise RuntimeError(f"autograder grade failed:\n{completed.stderr}")
    found = map(Verdict.model_validate_json, completed.stdout.splitlines())
    return {verdict.learner: verdict for verdict in found}


def make_course(folder: Path) -> None:
    """A course folder whose gradebook takes the judge's verdicts, with the warm-up released."""
    with tempfile.TemporaryDirectory() as temporary:
        copy = shutil.copytree(COURSE, Path(temporary), dirs_exist_ok=True)
        (copy / "01-warmup" / "README.md").touch()  # every release hands one out
        command = (sys.executable, "-m", "autograder.classroom", str(folder))
        completed = run(*command, course=copy)
    if completed.returncode:
        raise RuntimeError(f"no course was made:\n{completed.stderr}")


def run(*command: str, course: Path = COURSE) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        env=environment(PROGRAM.parent) | {"PIVOT_ASSIGNMENTS": str(course)},
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
