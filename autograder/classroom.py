"""A course folder for nbgrader, ready for formgrader, with the judge in the place of nbgrader's autograder.

    python -m autograder.classroom DIR

Made anew it is complete; made again it takes up changed assignments and keeps submissions and grades.
"""

import contextlib
import logging
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from nbgrader.converters import GenerateAssignment, NbGraderException

from autograder import assignments
from autograder.assign import NotReleasable, write_source
from autograder.errors import InfrastructureError, UsageError
from autograder.gradebook import CONFIG, open_course, writing

SETTINGS = '''"""nbgrader's settings for this course; yours go below. See https://nbgrader.readthedocs.io."""

from pathlib import Path

from autograder.preprocessors import configure

c = get_config()  # noqa: F821
configure(c, Path(__file__).parent)
'''
NEXT = """The course folder is {course}, with {names} released.
  Put submissions into    {course}/submitted/LEARNER/ASSIGNMENT/, or have nbgrader collect them.
  Grade them with         autograder grade --course {course}
  Grade by hand with      cd {course} && jupyter lab, then Nbgrader > Formgrader in the menu
Running this again keeps submissions and grades."""


def make(course: Path, names: Iterable[str] = ()) -> list[str]:
    """Make or update the course folder and release assignments into it, all where none is named.

    Returns their names. Raises UnknownAssignment, NotReleasable, InfrastructureError or OSError.
    """
    course.mkdir(parents=True, exist_ok=True)
    if not (course / CONFIG).exists():
        (course / CONFIG).write_text(SETTINGS)
    for folder in ("submitted", "exchange"):
        (course / folder).mkdir(exist_ok=True)
    return release(course, names)


def release(course: Path, names: Iterable[str] = ()) -> list[str]:
    """Write source/NAME/ and have nbgrader make release/NAME/ of it; all assignments where none is named.

    Returns the names. Raises UnknownAssignment, NotACourse, NotReleasable or InfrastructureError.
    """
    chosen = list(names) or list(assignments.names())
    loaded = [assignments.load(assignments.find(name)) for name in chosen]
    config, folders = open_course(course)
    root = Path(folders.root)
    for assignment in loaded:
        write_source(assignment, root / folders.source_directory / assignment.name)
        folders.assignment_id = assignment.name
        converter = GenerateAssignment(coursedir=folders, config=config)
        converter.force = True
        with writing(root), own_programs_first(), complaints(converter.log) as said:
            try:
                converter.start()
            except NbGraderException as error:
                reason = said[-1] if said else str(error)
                raise NotReleasable(
                    f"nbgrader did not release {assignment.name}: {reason}"
                ) from error
    return chosen


@contextlib.contextmanager
def complaints(log: logging.Logger) -> Iterator[list[str]]:
    """nbgrader logs the reason and raises without it: the last line of each error that it logs meanwhile."""
    said: list[str] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines = record.getMessage().strip().splitlines() or [""]
            if lines[0].startswith("Traceback"):
                said.append(lines[-1])

    listener, handlers, propagate = Listener(logging.ERROR), log.handlers, log.propagate
    log.handlers, log.propagate = [listener], False
    try:
        yield said
    finally:
        log.handlers, log.propagate = handlers, propagate


@contextlib.contextmanager
def own_programs_first() -> Iterator[None]:
    """nbgrader calls `alembic` by name when it makes a gradebook, so it must be found."""
    before = os.environ.get("PATH", "")
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), before])
    try:
        yield
    finally:
        os.environ["PATH"] = before


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit("Usage: python -m autograder.classroom DIR")
    course = Path(sys.argv[1])
    try:
        names = make(course)
    except (UsageError, InfrastructureError, OSError) as error:
        print(f"make classroom: {error}", file=sys.stderr)
        sys.exit(2)
    print(NEXT.format(course=course, names=", ".join(names) or "nothing"))


if __name__ == "__main__":
    main()
