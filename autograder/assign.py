"""From an assignment's folder to what learners get: its notebook with a grade cell per check, and its files.

Release stays nbgrader's: `source/<name>/` is written here, and it makes `release/<name>/` of that.
"""

import ast
import re
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

from autograder.checks import Assignment, Check
from autograder.errors import UsageError

ORDINARY = {
    "schema_version": 3,
    "grade": False,
    "solution": False,
    "locked": False,
    "task": False,
}
HIDDEN_HEADING = """## Hidden checks

These run with fresh inputs when your work is graded, so here they only say that they exist."""
LEFT_OUT = shutil.ignore_patterns("__pycache__", "*.pyc", ".ipynb_checkpoints")


class NotReleasable(UsageError):
    """An assignment's notebook, checks and files do not fit together; the message says what to change."""


def source_notebook(assignment: Assignment) -> NotebookNode:
    """The instructor's notebook with nbgrader's metadata: one locked grade cell per check, worth its points.

    Cells graded by hand keep the metadata they have, completed. Hidden checks that the notebook does not
    place get their cells at its end. The same notebook each time, cell ids included. Raises NotReleasable.
    """
    from autograder.notebooks import NotebookUnreadable, read_notebook

    path = assignment.folder / "notebook.md"
    try:
        notebook = read_notebook(path)
    except (OSError, NotebookUnreadable) as error:
        raise NotReleasable(
            f"The notebook of {assignment.name} cannot be read: {error}."
        ) from error
    notebook.metadata.pop("jupytext", None)
    seen = _mark(notebook, assignment)
    missing = [check for id, check in assignment.checks.items() if id not in seen]
    for check in missing:
        if not check.hidden:
            raise NotReleasable(
                f"{path} has no cell for the check {check.id}. "
                f'Add a code cell that holds only check("{check.id}").'
            )
    if missing:
        notebook.cells.append(nbformat.v4.new_markdown_cell(HIDDEN_HEADING))
        for check in missing:
            cell = nbformat.v4.new_code_cell(f'check("{check.id}")')
            cell.metadata["nbgrader"] = _grade_cell(check)
            notebook.cells.append(cell)
    _name_cells(notebook, path)
    return notebook


def released_notebook(assignment: Assignment) -> NotebookNode:
    """The notebook as learners get it: solutions and outputs cleared. Raises NotReleasable."""
    # nbgrader takes two seconds to import, and most grading needs no released notebook.
    from nbgrader.nbgraderformat import MetadataValidator
    from nbgrader.preprocessors import (
        ClearOutput,
        ClearSolutions,
        ComputeChecksums,
        LockCells,
    )

    notebook = source_notebook(assignment)
    resources: dict[str, Any] = {}
    try:
        MetadataValidator().validate_nb(notebook)
        for step in (LockCells, ClearSolutions, ClearOutput, ComputeChecksums):
            notebook, resources = step().preprocess(notebook, resources)
    except Exception as error:  # nbgrader raises RuntimeError, ValidationError, others
        reason = str(error).splitlines()[0]
        raise NotReleasable(
            f"nbgrader cannot release the notebook of {assignment.name}: {reason}"
        ) from error
    return notebook


def grade_id(check_id: str) -> str:
    """nbgrader's name for a check's cell: `serve/ready` is `serve-ready`."""
    return re.sub(r"[^A-Za-z0-9_-]", "-", check_id)


def write_source(assignment: Assignment, destination: Path) -> None:
    """Write `destination` anew: notebook, starter files, given files, README.md and nothing else.

    Raises NotReleasable, and then leaves what was there before.
    """
    _write(assignment, source_notebook(assignment), destination)


def write_release(assignment: Assignment, destination: Path) -> None:
    """Write the folder `destination` as learners get it. Raises NotReleasable, or UsageError if it exists."""
    if destination.exists():
        raise UsageError(
            f"{destination} exists already, and may hold your work. Choose another folder with --folder."
        )
    _write(assignment, released_notebook(assignment), destination)


def _write(assignment: Assignment, notebook: NotebookNode, destination: Path) -> None:
    unfinished = destination.with_name(f".{destination.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    try:
        for path in released_files(assignment):
            if path.is_dir():
                shutil.copytree(path, unfinished / path.name, ignore=LEFT_OUT)
            else:
                shutil.copyfile(path, unfinished / path.name)
        nbformat.write(notebook, unfinished / assignment.notebook)
        shutil.rmtree(destination, ignore_errors=True)
        unfinished.rename(destination)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def released_files(assignment: Assignment) -> list[Path]:
    """All that a learner gets beside the notebook. Raises NotReleasable if files clash or are missing."""
    starter = [
        path
        for path in sorted((assignment.folder / "starter").glob("*"))
        if path.name not in LEFT_OUT(str(path.parent), [path.name])
    ]
    given = [assignment.folder.parent / path for path in assignment.given]
    files = [*starter, *given, assignment.folder / "README.md"]
    for path in files:
        if not path.exists():
            raise NotReleasable(
                f"{assignment.name} hands out {path}, which does not exist."
            )
        if path.suffix == ".ipynb":
            raise NotReleasable(
                f"{path} is a second notebook; the notebook of an assignment is its notebook.md."
            )
    counted = Counter(path.name for path in files)
    for name, count in counted.items():
        if count > 1:
            raise NotReleasable(
                f"{assignment.name} hands out {count} files called {name}. Rename one."
            )
    return files


def _mark(notebook: NotebookNode, assignment: Assignment) -> set[str]:
    """Give cells their nbgrader metadata; the ids of the checks that have a cell."""
    seen: set[str] = set()
    answers = 0
    for cell in notebook.cells:
        id = _check_of(cell, assignment.name)
        if id is not None:
            if id not in assignment.checks:
                known = ", ".join(assignment.checks)
                raise NotReleasable(
                    f"The notebook of {assignment.name} calls the check {id}, which is not defined. "
                    f"Known are: {known}."
                )
            if id in seen:
                raise NotReleasable(
                    f"The notebook of {assignment.name} has two cells for the check {id}. Remove one."
                )
            seen.add(id)
            cell.metadata["nbgrader"] = _grade_cell(assignment.checks[id])
        elif "nbgrader" in cell.metadata:
            cell.metadata["nbgrader"] = {**ORDINARY, **cell.metadata["nbgrader"]}
        elif cell.cell_type == "code" and "BEGIN SOLUTION" in cell.source:
            answers += 1
            cell.metadata["nbgrader"] = {
                **ORDINARY,
                "solution": True,
                "grade_id": f"answer-{answers}",
            }
    return seen


def _check_of(cell: NotebookNode, assignment: str) -> str | None:
    """The id of the check that a cell calls. Raises NotReleasable if the cell does anything else beside."""
    if cell.cell_type != "code":
        return None
    try:
        tree = ast.parse(cell.source)
    except SyntaxError:  # a magic, or a gap for the learner to fill
        return None
    ids = list(_ids_checked(tree))
    if not any(id.startswith(f"{assignment}/") for id in ids):
        return None
    match tree.body:
        case [ast.Expr(value=ast.Call(args=[ast.Constant(value=str(id))]))]:
            return id
    raise NotReleasable(
        f'A cell of the notebook of {assignment} calls check("{ids[0]}") among other things. '
        "Give the check its own cell."
    )


def _ids_checked(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.Call(
                func=ast.Name(id="check"), args=[ast.Constant(value=str(id)), *_]
            ):
                yield id


def _grade_cell(check: Check) -> dict[str, Any]:
    return {
        **ORDINARY,
        "grade": True,
        "locked": True,
        "grade_id": grade_id(check.id),
        "points": check.points,
    }


def _name_cells(notebook: NotebookNode, path: Path) -> None:
    """The same cell ids at every release, so that a released notebook and a rebuilt one can be compared."""
    names: Iterable[str] = (
        cell.metadata.get("nbgrader", {}).get("grade_id", "") for cell in notebook.cells
    )
    taken: set[str] = set()
    for number, (cell, name) in enumerate(
        zip(notebook.cells, list(names), strict=True)
    ):
        if name and name in taken:
            raise NotReleasable(
                f"{path} has two cells with the grade_id {name}. Rename one."
            )
        taken.add(name)
        cell["id"] = name[:64] or f"cell-{number}"
