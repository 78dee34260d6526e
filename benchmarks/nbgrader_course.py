"""A course folder of plain nbgrader, without the judge: what most classrooms run today."""

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from nbgrader.api import Gradebook, MissingEntry

from benchmarks.report import environment
from benchmarks.warmup import NAME, nbgrader_source

CONFIGURATION = """\
c = get_config()
c.CourseDirectory.course_id = "benchmark"
"""
FAST = 'c.Execute.shutdown_kernel = "immediate"\n'
SECONDS = 600
PROGRAMS = Path(sys.executable).parent  # nbgrader calls alembic by name


@dataclass(frozen=True)
class PlainCourse:
    """A course folder with the warm-up released."""

    folder: Path

    @classmethod
    def create(cls, folder: Path, *, fast: bool = False) -> "PlainCourse":
        """With nbgrader's defaults; `fast` adds the one that makes it quicker: kernels end at once."""
        (folder / "source" / NAME).mkdir(parents=True)
        (folder / "home").mkdir()
        configuration = CONFIGURATION + (FAST if fast else "")
        (folder / "nbgrader_config.py").write_text(configuration)
        nbformat.write(nbgrader_source(), folder / "source" / NAME / f"{NAME}.ipynb")
        course = cls(folder)
        generated = course.run("generate_assignment", NAME)
        if generated.returncode:
            raise RuntimeError(f"nbgrader made no assignment:\n{generated.stderr}")
        return course

    def copied(self, folder: Path) -> "PlainCourse":
        """Another like this one, which it takes nbgrader seconds to make."""
        return PlainCourse(shutil.copytree(self.folder, folder))

    def released(self) -> NotebookNode:
        return nbformat.read(self.folder / "release" / NAME / f"{NAME}.ipynb", 4)

    def submit(self, learner: str, notebook: NotebookNode) -> None:
        hand_in(self.folder / "submitted", learner, notebook)

    def autograde(self) -> subprocess.CompletedProcess[str]:
        return self.run("autograde", NAME)

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """nbgrader in a process of its own, which sees no settings of the user who runs the benchmark."""
        home = str(self.folder / "home")
        own = {"HOME": home, "JUPYTER_CONFIG_DIR": home, "IPYTHONDIR": home}
        return subprocess.run(
            [sys.executable, "-m", "nbgrader", *command],
            cwd=self.folder,
            env=environment(PROGRAMS) | own,
            capture_output=True,
            text=True,
            timeout=SECONDS,
        )

    def points(self, learner: str) -> float | None:
        return gradebook_points(self.folder, learner)


def gradebook_points(course: Path, learner: str) -> float | None:
    """What a course's gradebook says; None if a test of the learner's has no score there."""
    with Gradebook(f"sqlite:///{course / 'gradebook.db'}") as gradebook:
        try:
            submission = gradebook.find_submission(NAME, learner)
        except MissingEntry:
            return None
        grades = [grade for book in submission.notebooks for grade in book.grades]
        tests = [grade for grade in grades if grade.cell.cell_type == "code"]
        if any(grade.auto_score is None for grade in tests):
            return None
        return submission.score


def hand_in(folder: Path, learner: str, notebook: NotebookNode) -> Path:
    """Write a notebook where nbgrader collects it, and where the judge finds it as well."""
    path = folder / learner / NAME / f"{NAME}.ipynb"
    path.parent.mkdir(parents=True)
    nbformat.write(notebook, path)
    return path.parent
