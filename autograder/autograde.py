"""nbgrader's autograding with the judge in it: nothing submitted is trusted, and no cell is ever executed.

`nbgrader autograde` and formgrader's button use nbgrader's Autograde, which copies whatever was submitted,
links included, believes its metadata and runs it in a kernel beside the gradebook. Here it reads a clean copy
instead, rebuilt from the released notebook, and the verdict comes from the judge's own process.
"""

import contextlib
import hashlib
import html
import os
import re
import secrets
import shutil
import stat
import tempfile
from datetime import datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode
from nbgrader import utils
from nbgrader.api import Gradebook, MissingEntry
from nbgrader.apps.api import NbGraderAPI
from nbgrader.converters import Autograde, NbGraderException

from autograder import assignments, judge
from autograder.batch import Job, grade_all
from autograder.checks import Assignment
from autograder.errors import InfrastructureError, LearnerError
from autograder.gradebook import verdict_path, writing
from autograder.intake import take_in
from autograder.intake.notebook import read_submitted, rebuild
from autograder.verdict import Verdict

ATTEMPTS = 3
"""How often a submission that is replaced while it is being graded is graded anew."""

LONGEST_NOTE = 200
"""Bytes of what nbgrader puts beside a submission, and a learner may forge: timestamp.txt and a secret."""

KEY = "the_pivot"
"""Where an autograded notebook's metadata say which verdict it shows."""


class NotAllGraded(NbGraderException, InfrastructureError):
    """Some submissions could not be graded; the message says whose and why."""


class JudgedAutograde(Autograde):
    """nbgrader's Autograde, reading clean copies of the submissions and the judge's verdicts on them.

    One learner's failure is that learner's alone: nothing of theirs is written and the others go on. At the
    end NotAllGraded names them, and nbgrader's commands exit with 1.
    """

    _clean = ""  # the folder of clean copies, relative to the course folder
    _verdict: Verdict
    _assignment: Assignment

    @property
    def _input_directory(self) -> str:
        return self._clean if self._sanitizing else self.coursedir.autograded_directory

    @property
    def _course(self) -> Path:
        return Path(self.coursedir.root)

    def start(self) -> None:
        with tempfile.TemporaryDirectory(
            prefix=".taken-in-", dir=self._course
        ) as folder:
            self._clean = Path(folder).name
            super().start()

    def init_notebooks(self) -> None:
        """Everybody who handed something in, even if there is no notebook in it."""
        name = self.coursedir.assignment_id
        try:
            self._assignment = assignments.load(assignments.find(name))
        except assignments.UnknownAssignment as error:
            self.log.error(error)
            raise NbGraderException(str(error)) from error
        # What is shown beside the grades is the learner's files, not the starter's again.
        source = self.coursedir.format_path(self.coursedir.source_directory, ".", name)
        self.exclude_overwriting = {
            name: [
                os.path.relpath(path, source) for path in utils.find_all_files(source)
            ]
        }
        wanted = self.coursedir.student_id
        excluded = self.coursedir.student_id_exclude.split(",")
        self.assignments = {
            learner: [
                os.path.join(
                    self._format_source(name, learner), self._assignment.notebook
                )
            ]
            for learner in sorted(os.listdir(self._submitted("", "")))
            if os.path.lexists(self._submitted(learner, name))
            if learner not in excluded
            if learner == wanted or fnmatchcase(learner, wanted)
        }
        if not self.assignments:
            message = (
                f"Nothing was submitted: there is no {self._submitted(wanted, name)}."
            )
            self.log.error(message)
            raise NbGraderException(message)

    def convert_notebooks(self) -> None:
        failures: dict[str, str] = {}
        for learner, notebooks in self.assignments.items():
            self.notebooks = notebooks
            try:
                self._convert(learner)
            except InfrastructureError as error:
                failures[learner] = str(error)
            except Exception as error:
                self.log.exception("Grading %s failed", learner)
                failures[learner] = f"{type(error).__name__}: {error}"
            finally:
                shutil.rmtree(self._course / self._clean / learner, ignore_errors=True)
        if failures:
            message = "\n".join(
                f"{learner} was not graded: {why}" for learner, why in failures.items()
            )
            self.log.error(message)
            raise NotAllGraded(message)

    def _convert(self, learner: str) -> None:
        """Grade one learner and record it, or raise and leave no trace of the attempt."""
        name = self.coursedir.assignment_id
        clean = Path(self._format_source(name, learner))
        self._verdict = self._grade(learner, clean)
        with writing(self._course):
            if not self.init_destination(name, learner):
                return
            first = not self._is_known(learner)
            try:
                self._complete(learner, clean)
                self.run_pre_convert_hook()
                self.init_assignment(name, learner)
                for notebook in self.notebooks:
                    self.convert_single_notebook(notebook)
                self.set_permissions(name, learner)
                self.run_post_convert_hook()
            except BaseException:
                shutil.rmtree(self._format_dest(name, learner), ignore_errors=True)
                if first:
                    self._forget(learner)
                raise

    def _grade(self, learner: str, clean: Path) -> Verdict:
        """The verdict on what is submitted now; `clean` becomes the copy it is about.

        Raises InfrastructureError.
        """
        source = self._submitted(learner, self.coursedir.assignment_id)
        record = verdict_path(self._course, self.coursedir.assignment_id, learner)
        clean.parent.mkdir(parents=True, exist_ok=True)
        for _ in range(ATTEMPTS):
            shutil.rmtree(clean, ignore_errors=True)
            try:
                digest, refusal = self._take_in(source, clean), ""
            except LearnerError as error:
                digest, refusal = "", str(error)
                clean.mkdir()
            verdict = self._kept(record, digest, refusal)
            if verdict is None:
                graded = source if refusal else clean
                job = Job(graded, self._assignment.folder, learner, record)
                [(_, verdict)] = grade_all([job], workers=1)
            if verdict.status == "infrastructure-error":
                raise InfrastructureError(verdict.message)
            if verdict.submission == digest:
                return verdict
        raise InfrastructureError(
            f"The submission of {learner} kept changing while it was graded. Run this again."
        )

    def _take_in(self, source: Path, clean: Path) -> str:
        """Copy what the assignment asks for; its digest. Raises LearnerError or InfrastructureError."""
        return take_in(source, clean, wanted=self._assignment.wanted).digest

    def _kept(self, record: Path, digest: str, refusal: str) -> Verdict | None:
        """The verdict at hand, if it is still the one to give."""
        try:
            verdict = Verdict.read(record)
        except (OSError, ValueError):
            return None
        now = {
            "submission": digest,
            "judge": judge.digest(self._assignment.folder),
        }
        settled = judge.settles(verdict, verdict.model_copy(update=now))
        return verdict if settled and verdict.message == refusal else None

    def _complete(self, learner: str, clean: Path) -> None:
        """Add to the clean copy what nbgrader wants there: the rebuilt notebook and its own two notes.

        Both notes are always there, because releasing feedback stops for everybody where one is missing.
        """
        notes = list(self._verdict.notes)
        notebook = self._released()
        try:
            submitted = read_submitted(clean / self._assignment.notebook)
            rebuilt = rebuild(notebook, submitted)
            notebook = rebuilt.notebook
            notes += [note for note in rebuilt.notes if note not in notes]
        except LearnerError as error:  # the released notebook stands in its place
            if self._verdict.status == "graded":
                notes.append(str(error))
        if notes:
            notebook.cells.insert(0, notes_cell(notes))
        nbformat.write(notebook, clean / self._assignment.notebook)
        folder = self._submitted(learner, self.coursedir.assignment_id)
        (clean / "timestamp.txt").write_text(submission_time(folder))
        (clean / "submission_secret.txt").write_text(submission_secret(folder))

    def _released(self) -> NotebookNode:
        name = self.coursedir.assignment_id
        folder = self.coursedir.format_path(self.coursedir.release_directory, ".", name)
        try:
            return nbformat.read(Path(folder, self._assignment.notebook), as_version=4)
        except OSError as error:
            raise InfrastructureError(
                f"{name} is not released in this course. Release it with: autograder release --course "
                f"{self._course} {name}"
            ) from error

    def init_destination(self, assignment_id: str, student_id: str) -> bool:
        """Whether there is anything to record: not if this very verdict is recorded already."""
        folder = Path(self._format_dest(assignment_id, student_id))
        if not folder.exists():
            return True
        if not self.force:
            with contextlib.suppress(OSError, nbformat.reader.NotJSONError):
                shown = nbformat.read(folder / self._assignment.notebook, as_version=4)
                if shown.metadata.get(KEY) == identity(self._verdict):
                    self.log.info("%s is recorded already", student_id)
                    return False
        shutil.rmtree(folder)
        return True

    def init_single_notebook_resources(self, notebook_filename: str) -> dict[str, Any]:
        resources = super().init_single_notebook_resources(notebook_filename)
        resources["nbgrader"]["verdict"] = self._verdict
        return resources

    def _submitted(self, learner: str, assignment: str) -> Path:
        folder = self.coursedir.submitted_directory
        return Path(self.coursedir.format_path(folder, learner, assignment))

    def _is_known(self, learner: str) -> bool:
        with self._gradebook() as gradebook:
            try:
                gradebook.find_submission(self.coursedir.assignment_id, learner)
            except MissingEntry:
                return False
        return True

    def _forget(self, learner: str) -> None:
        with self._gradebook() as gradebook, contextlib.suppress(MissingEntry):
            gradebook.remove_submission(self.coursedir.assignment_id, learner)

    def _gradebook(self) -> Gradebook:
        return Gradebook(self.coursedir.db_url, self.coursedir.course_id)


def identity(verdict: Verdict) -> str:
    """64 hex digits, the same for the same verdict."""
    return hashlib.sha256(verdict.model_dump_json().encode()).hexdigest()


def notes_cell(notes: list[str]) -> NotebookNode:
    """What the judge noticed beside the checks, for the learner to read."""
    items = (f"<li>{html.escape(' '.join(note.split()))}</li>" for note in notes)
    source = f"<p>What the judge noticed:</p><ul>{''.join(items)}</ul>"
    return nbformat.v4.new_markdown_cell(source, id="notes")


def submission_time(folder: Path) -> str:
    """When nbgrader says that this was handed in, or "" if it does not."""
    text = _note(folder / "timestamp.txt")
    try:
        return text if text and utils.parse_utc(text) else ""
    except (ValueError, OverflowError):
        return ""


def submitted_timestamp(
    api: NbGraderAPI, assignment_id: str, student_id: str
) -> datetime | None:
    """Stands in for the method of NbGraderAPI, which waits for a pipe and fails for a text that is no time.

    Formgrader calls it for every learner whenever it lists submissions.
    """
    folders = api.coursedir
    folder = folders.format_path(folders.submitted_directory, student_id, assignment_id)
    text = submission_time(Path(folder))
    return utils.parse_utc(text) if text else None


def submission_secret(folder: Path) -> str:
    """128 hex digits, under whose hash the learner finds the feedback; fresh ones where there are none."""
    text = _note(folder / "submission_secret.txt")
    return text if re.fullmatch("[0-9a-f]{128}", text) else secrets.token_hex(64)


def _note(path: Path) -> str:
    """A short text file that nbgrader wrote, unless a learner put something else in its place: then ""."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with open(handle, "rb") as file:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                return ""
            return file.read(LONGEST_NOTE).decode().strip()
    except (OSError, UnicodeDecodeError):
        return ""
