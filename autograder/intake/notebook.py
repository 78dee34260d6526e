"""Read a submitted notebook that may be anything."""

import codecs
import errno
import json
import os
import re
import stat
from pathlib import Path
from typing import Any

from nbformat import NotebookNode

from autograder.errors import InfrastructureError, LearnerError
from autograder.intake.folder import OPEN
from autograder.intake.names import shown
from autograder.intake.rebuild import Rebuilt, rebuild
from autograder.intake.source import MB, megabytes

__all__ = ["Rebuilt", "read_submitted", "rebuild"]

SIZE = 10 * MB
"""Of the file. JSON takes up to 25 times its size in memory."""
CELLS = 1_000
SOURCE = 200_000
"""Characters of one cell."""
SAVE_AGAIN = "Open it in JupyterLab, save it and hand it in again."
NO_TEXT = re.compile("[\0\ud800-\udfff]")
UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def read_submitted(path: Path) -> NotebookNode:
    """An untrusted .ipynb as format 4: cell types, sources, ids and nbgrader's marks, and nothing else.

    Format 3 is read too; a kernel named in the file is ignored. Raises LearnerError if it cannot be read.
    """
    name = shown(path.name)
    cells = [
        _read_cell(cell, f"Cell {number} of {name}")
        for number, cell in enumerate(
            _listed(_parsed(_content(path, name), name), name), 1
        )
    ]
    return NotebookNode(nbformat=4, nbformat_minor=5, metadata={}, cells=cells)


def _content(path: Path, name: str) -> str:
    try:
        descriptor = os.open(path, OPEN)
    except FileNotFoundError:
        raise LearnerError(
            f"There is no {name} in the submission.",
            "Hand it in under exactly that name.",
        ) from None
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):
            raise _not_a_file(name) from error
        raise InfrastructureError(f"Cannot read {path}: {error.strerror}.") from error
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        raise _not_a_file(name)
    with open(descriptor, "rb") as file:
        # By its size first, and once more by what comes: it may be growing.
        content = file.read(SIZE + 1) if status.st_size <= SIZE else b""
    if status.st_size > SIZE or len(content) > SIZE:
        raise LearnerError(
            f"{name} is larger than {megabytes(SIZE)}.",
            "Clear all outputs, save it and hand it in again.",
        )
    if content.startswith(UTF16):
        raise LearnerError(f"{name} is stored as UTF-16.", "Store it as UTF-8.")
    if not content.strip():
        raise LearnerError(f"{name} is empty.", SAVE_AGAIN)
    try:
        return content.decode("utf-8-sig")  # an editor may have put a mark in front
    except UnicodeDecodeError as error:
        raise LearnerError(
            f"{name} is not UTF-8: byte {error.start + 1} is no part of any character.",
            "Store it as UTF-8.",
        ) from error


def _not_a_file(name: str) -> LearnerError:
    return LearnerError(f"{name} is not a plain file.", "Hand in the notebook itself.")


def _parsed(content: str, name: str) -> dict[str, Any]:
    try:
        data = json.loads(content)
    except json.JSONDecodeError as error:
        raise LearnerError(
            f"{name} is not a notebook: line {error.lineno} is not JSON ({error.msg}).",
            SAVE_AGAIN,
        ) from error
    except (RecursionError, ValueError) as error:
        # Brackets in brackets, or a number of thousands of digits.
        raise LearnerError(
            f"{name} is not a notebook: it holds JSON that no notebook needs.",
            SAVE_AGAIN,
        ) from error
    if not isinstance(data, dict):
        raise LearnerError(f"{name} is not a notebook.", SAVE_AGAIN)
    return data


def _listed(data: dict[str, Any], name: str) -> list[Any]:
    """The cells, whatever they are. Raises LearnerError for a format that is not known and for too many."""
    version = data.get("nbformat")
    if type(version) is not int or version < 1:
        raise LearnerError(f"{name} is not a notebook: it has no format.", SAVE_AGAIN)
    if version not in (3, 4):
        raise LearnerError(
            f"{name} is in notebook format {shown(str(version))}; formats 3 and 4 can be read.",
            SAVE_AGAIN,
        )
    cells: Any = data.get("cells")
    if version == 3:
        sheets = data.get("worksheets")
        cells = []
        for sheet in sheets if isinstance(sheets, list) else []:
            held = sheet.get("cells") if isinstance(sheet, dict) else None
            cells += held if isinstance(held, list) else []
    if not isinstance(cells, list):
        raise LearnerError(f"{name} is not a notebook: it has no cells.", SAVE_AGAIN)
    if len(cells) > CELLS:
        raise LearnerError(
            f"{name} has {len(cells):,} cells; {CELLS:,} are allowed.",
            "Delete the cells that the assignment does not need.",
        )
    return cells


def _read_cell(cell: Any, name: str) -> NotebookNode:
    if not isinstance(cell, dict):
        raise LearnerError(f"{name} is not a cell.", SAVE_AGAIN)
    kind = cell.get("cell_type")
    if kind in ("heading", "html"):  # format 3 had these
        kind = "markdown"
    if kind not in ("code", "markdown", "raw"):
        raise LearnerError(f"{name} is of no known type.", SAVE_AGAIN)
    # Format 3 called the source of a code cell its input.
    source = cell.get("source", cell.get("input", ""))
    if isinstance(source, list) and all(isinstance(line, str) for line in source):
        source = "".join(source)
    if not isinstance(source, str):
        raise LearnerError(f"{name} has no text.", SAVE_AGAIN)
    if len(source) > SOURCE:
        raise LearnerError(
            f"{name} is {len(source):,} characters long; {SOURCE:,} are allowed.",
            "Keep data in a file, not in a cell.",
        )
    if NO_TEXT.search(source):
        raise LearnerError(
            f"{name} has a character in it that is no text.", "Type that cell anew."
        )
    read = NotebookNode(cell_type=kind, source=source, metadata=NotebookNode())
    metadata = cell.get("metadata")
    marks = metadata.get("nbgrader") if isinstance(metadata, dict) else None
    if isinstance(marks, dict) and isinstance(marks.get("grade_id"), str):
        read.metadata.nbgrader = NotebookNode(
            grade_id=marks["grade_id"],
            **{
                flag: marks.get(flag) is True
                for flag in ("grade", "locked", "solution")
            },
        )
    if isinstance(cell.get("id"), str):
        read.id = cell["id"]
    return read
