"""Verdicts into nbgrader's gradebook, by nbgrader itself: scores, autograded/ and formgrader always agree."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout
from nbgrader.converters import NbGraderException
from nbgrader.coursedir import CourseDirectory
from traitlets.config import Config
from traitlets.config.loader import PyFileConfigLoader

from autograder.errors import InfrastructureError, UsageError

CONFIG = "nbgrader_config.py"
PATIENCE = 120.0
"""Seconds to wait for another process to write one learner's grades, which takes it a fraction of one."""


class NotACourse(UsageError):
    """The folder is no course folder; the message says how to make one."""


def record(course: Path, assignment: str, learner: str) -> None:
    """Write one learner's verdict into the gradebook and autograded/, as `nbgrader autograde` would.

    Uses the verdict in the course's verdicts/ if it is about the files now submitted, else grades them first.
    Recording the same verdict again changes nothing. Call it from one thread: it changes the working folder.
    Raises NotACourse, or InfrastructureError, with nothing recorded, if the submission cannot be graded.
    """
    from autograder.autograde import JudgedAutograde, NotAllGraded  # they need this

    config, folders = open_course(course)
    folders.assignment_id, folders.student_id = assignment, learner
    converter = JudgedAutograde(coursedir=folders, config=config)
    converter.log = converter.log.getChild("quiet")
    converter.log.setLevel("CRITICAL")  # what goes wrong is raised
    try:
        converter.start()
    except NotAllGraded:
        raise
    except NbGraderException as error:
        raise InfrastructureError(str(error)) from error


def open_course(course: Path) -> tuple[Config, CourseDirectory]:
    """A course folder's nbgrader settings. Raises NotACourse."""
    course = course.resolve()
    if not (course / CONFIG).is_file():
        raise NotACourse(
            f"{course} is not a course folder: it has no {CONFIG}. "
            f"Make one with: make classroom CLASSROOM={course}"
        )
    config = PyFileConfigLoader(CONFIG, path=str(course)).load_config()
    return config, CourseDirectory(config=config, root=str(course))


def verdict_path(course: Path, assignment: str, learner: str) -> Path:
    """Where a learner's verdict is kept. It holds the inputs of hidden checks: for the instructor alone."""
    return course / "verdicts" / assignment / f"{learner}.json"


@contextlib.contextmanager
def writing(course: Path) -> Iterator[None]:
    """The gradebook has one writer at a time. Raises InfrastructureError if another does not finish."""
    try:
        with FileLock(course / ".gradebook.lock", timeout=PATIENCE):
            yield
    except Timeout as error:
        raise InfrastructureError(
            f"Another process has been writing the gradebook of {course} for {PATIENCE:.0f} seconds. "
            "Wait for it or end it, then run this again."
        ) from error
