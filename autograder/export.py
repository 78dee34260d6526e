"""Grades as CSV for a spreadsheet or a learning platform, with names that stay names.

nbgrader's own export writes `=HYPERLINK(…)` as it stands, which a spreadsheet executes, quotes nothing, and
gives zero to submissions that are not graded yet.
"""

import csv
from pathlib import Path
from typing import Any

from nbgrader.api import Gradebook, MissingEntry
from nbgrader.plugins import ExportPlugin

COLUMNS = [
    "assignment",
    "duedate",
    "timestamp",
    "student_id",
    "last_name",
    "first_name",
    "email",
    "raw_score",
    "late_submission_penalty",
    "score",
    "max_score",
]
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


class CsvExport(ExportPlugin):
    """The columns of nbgrader's CsvExportPlugin. No score means: submitted, not graded yet."""

    def export(self, gradebook: Gradebook) -> None:
        with open(self.to or "grades.csv", "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
            writer.writeheader()
            for assignment in gradebook.assignments:
                for student in gradebook.students:
                    if self._is_wanted(assignment.name, student.id):
                        writer.writerow(self._row(gradebook, assignment, student))

    def _is_wanted(self, assignment: str, student: str) -> bool:
        return (not self.assignment or assignment in map(str, self.assignment)) and (
            not self.student or student in map(str, self.student)
        )

    def _row(self, gradebook: Gradebook, assignment: Any, student: Any) -> dict:
        row = {
            "assignment": neutral(assignment.name),
            "duedate": assignment.duedate,
            "student_id": neutral(student.id),
            "last_name": neutral(student.last_name),
            "first_name": neutral(student.first_name),
            "email": neutral(student.email),
            "max_score": assignment.max_score,
        }
        try:
            submission = gradebook.find_submission(assignment.name, student.id)
        except MissingEntry:
            if self._is_waiting(assignment.name, student.id):
                return row
            nothing = dict.fromkeys(
                ("raw_score", "late_submission_penalty", "score"), 0.0
            )
            return row | nothing
        penalty = submission.late_submission_penalty
        return row | {
            "timestamp": submission.timestamp,
            "raw_score": submission.score,
            "late_submission_penalty": penalty,
            "score": max(0.0, submission.score - penalty),
        }

    def _is_waiting(self, assignment: str, student: str) -> bool:
        folders = self.parent.coursedir
        path = folders.format_path(folders.submitted_directory, student, assignment)
        return Path(path).exists()


def neutral(text: str | None) -> str:
    """The text as a spreadsheet shows it: what would be read as a formula gets a leading apostrophe."""
    text = text or ""
    return f"'{text}" if text.startswith(FORMULA) else text
