"""What nbgrader's settings name: the verdict in the check cells, safe Markdown; and those settings."""

import warnings
from pathlib import Path
from typing import Any

import nbformat
from nbconvert.filters import markdown2html
from nbconvert.preprocessors.sanitize import SanitizeHTML
from nbformat import NotebookNode
from nbgrader import utils
from nbgrader.apps.api import NbGraderAPI
from nbgrader.preprocessors import NbGraderPreprocessor
from sqlalchemy.exc import SAWarning

from autograder.assign import grade_id
from autograder.autograde import KEY, JudgedAutograde, identity, submitted_timestamp
from autograder.errors import InfrastructureError
from autograder.learner import show
from autograder.verdict import CheckResult, Verdict

MARKUP = (
    "a abbr b blockquote br code dd del details div dl dt em h1 h2 h3 h4 h5 h6 hr i img "
    "li ol p pre s span strong sub summary sup table tbody td th thead tr ul"
)
ATTRIBUTES = {
    "*": ["class", "id", "title"],
    "a": ["href"],
    "img": ["src", "alt"],
}


class WriteVerdict(NbGraderPreprocessor):
    """Each check cell gets its points as its result, for nbgrader to read, and the sentences, for people."""

    def preprocess(
        self, nb: NotebookNode, resources: dict[str, Any]
    ) -> tuple[NotebookNode, dict[str, Any]]:
        verdict = resources["nbgrader"].get("verdict")
        if verdict is None:
            raise InfrastructureError(
                "nbgrader asked for grades without the judge. "
                "Keep the call of configure() in nbgrader_config.py."
            )
        cells = {
            cell.metadata.nbgrader.grade_id: cell
            for cell in nb.cells
            if utils.is_grade(cell) and not utils.is_solution(cell)
        }
        if verdict.status == "learner-error":
            results = {id: _refused(cell, verdict) for id, cell in cells.items()}
        else:
            results = {grade_id(result.id): result for result in verdict.checks}
        released = {id: cell.metadata.nbgrader.points for id, cell in cells.items()}
        if released != {id: result.max_points for id, result in results.items()}:
            raise InfrastructureError(
                f"The checks of {verdict.assignment} are not those released in this course. "
                f"Release them with: autograder release {verdict.assignment}"
            )
        for id, cell in cells.items():
            cell.outputs = [_shown(results[id])]
        nb.metadata[KEY] = identity(verdict)
        return nb, resources


def _shown(result: CheckResult) -> NotebookNode:
    """nbgrader takes a result that reads as a number for the points."""
    data = {
        "text/plain": repr(float(result.points)),
        "text/html": show(result)._repr_html_(),
    }
    return nbformat.v4.new_output("execute_result", data)


def _refused(cell: NotebookNode, verdict: Verdict) -> CheckResult:
    about = cell.metadata.nbgrader
    return CheckResult(
        id=about.grade_id,
        title="Nothing could be checked",
        hidden=False,
        points=0,
        max_points=about.points,
        seen=verdict.message,
    )


def safe_markdown(source: str) -> str:
    """Markdown to HTML for formgrader and feedback: an answer keeps its formatting and loses its scripts."""
    cleaner = SanitizeHTML(tags=MARKUP.split(), attributes=ATTRIBUTES)
    return cleaner.sanitize_html_tags(markdown2html(source))


def configure(config: Any, course: Path) -> None:
    """nbgrader's settings for a course folder; its nbgrader_config.py calls this."""
    import nbgrader.apps.api
    import nbgrader.apps.autogradeapp

    # There is a setting for the preprocessors but none for the converter, which copies what was submitted.
    for module in (nbgrader.apps.api, nbgrader.apps.autogradeapp):
        assert hasattr(module, "Autograde")
        module.Autograde = JudgedAutograde
    NbGraderAPI.get_submitted_timestamp = submitted_timestamp

    # nbgrader's own queries cause these at every submission, and nobody can act on them.
    warnings.filterwarnings("ignore", category=SAWarning)

    course = course.resolve()
    config.CourseDirectory.course_id = "the-pivot"
    config.CourseDirectory.root = str(course)
    config.Exchange.root = str(course / "exchange")
    config.ExchangeFactory.collect = "autograder.collect.Collect"
    check = "nbgrader.preprocessors.CheckCellMetadata"
    config.Autograde.sanitize_preprocessors = [check]
    config.Autograde.autograde_preprocessors = [
        "autograder.preprocessors.WriteVerdict",
        "nbgrader.preprocessors.SaveAutoGrades",
        "nbgrader.preprocessors.AssignLatePenalties",
        check,
    ]
    config.HTMLExporter.filters = {
        "markdown2html": "autograder.preprocessors.safe_markdown"
    }
    config.ExportApp.plugin_class = "autograder.export.CsvExport"
