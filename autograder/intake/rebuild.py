"""Rebuild a submitted notebook from the released one and the learner's own sources.

Nothing else of what was submitted survives: no output, no metadata, no attachment, no grade id, no points.
"""

import copy
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from typing import Any

from nbformat import NotebookNode

from autograder.intake.names import shown


@dataclass(frozen=True)
class Rebuilt:
    """`notebook`: the released cells in their order, with the learner's solutions in them and the learner's
    own cells between them, without outputs. `code`: the sources to execute, in order: every code cell but the
    tests. `notes`: sentences for the learner on what was put back, passed over or ignored.
    """

    notebook: NotebookNode
    code: list[str]
    notes: list[str]


def rebuild(released: NotebookNode, submitted: NotebookNode) -> Rebuilt:
    """What the learner wrote, in the notebook they were given.

    `released` is trusted and is format 4, as the learners got it. `submitted` comes from `read_submitted`.
    From it are taken: the sources of solution cells, matched by grade id; the sources of cells that the
    release leaves unmarked, matched by cell id; and the learner's own cells, each after the released cell it
    followed. A grade id that comes twice (JupyterLab copies it when a cell is split or pasted) is the cell
    where it comes first; what follows is kept as a cell of the learner's own, so that the code runs as it ran
    for them.
    """
    matched = _Matched(released.cells)
    for cell in submitted.cells:
        matched.add(cell)
    cells = list(matched.rebuilt())
    code = [
        cell.source
        for cell in cells
        if cell.cell_type == "code" and cell.source.strip() and not _is_test(cell)
    ]
    head = {key: copy.deepcopy(released[key]) for key in released if key != "cells"}
    notebook = NotebookNode(head, cells=cells)
    if (released.nbformat, released.nbformat_minor) < (4, 5):
        for cell in cells:
            cell.pop("id", None)
    return Rebuilt(notebook, code, matched.notes)


class _Matched:
    """The released cells, each with the learner's source for it and the learner's own cells that follow
    it."""

    def __init__(self, released: list[NotebookNode]):
        self.notes: list[str] = []
        self._released = released
        self._sources: dict[int, str] = {}
        self._own: dict[int, list[NotebookNode]] = {}
        self._seen: set[int] = set()
        self._at = -1
        self._by_grade_id: dict[str, int] = {}
        self._by_id: dict[str | None, int] = {}
        self._by_source: dict[tuple[str, str], list[int]] = defaultdict(list)
        for index, cell in enumerate(released):
            if grade_id := _grade_id(cell):
                self._by_grade_id.setdefault(grade_id, index)
            else:
                self._by_id[cell.get("id")] = index
                self._by_source[cell.cell_type, cell.source].append(index)

    def add(self, cell: NotebookNode) -> None:
        """Take the next submitted cell."""
        index = self._released_as(cell)
        grade_id = _grade_id(cell)
        if index is None:
            self._keep_own(cell, grade_id)
        elif index in self._seen:
            self._repeat(index, cell, grade_id)
        else:
            self._seen.add(index)
            self._at = index
            self._compare(index, cell, grade_id)

    def _released_as(self, cell: NotebookNode) -> int | None:
        if grade_id := _grade_id(cell):
            return self._by_grade_id.get(grade_id)
        by_id = self._by_id.get(cell.id) if "id" in cell else None
        if by_id is not None and self._released[by_id].cell_type == cell.cell_type:
            return by_id
        same = self._by_source.get((cell.cell_type, cell.source), [])
        return next((index for index in same if index not in self._seen), None)

    def _compare(self, index: int, cell: NotebookNode, grade_id: str) -> None:
        given = self._released[index]
        if not grade_id or _is_solution(given):
            self._sources[index] = cell.source
            if "(attachment:" in cell.source:
                self.notes.append(
                    f"Cell {shown(grade_id or given.get('id', ''))} shows an attached picture, which is not "
                    "kept: say in words what it shows."
                )
        elif cell.source.strip() != given.source.strip():
            self.notes.append(
                f"Cell {shown(grade_id)} is locked: what you changed in it has no effect."
            )

    def _repeat(self, index: int, cell: NotebookNode, grade_id: str) -> None:
        if not grade_id:
            self._append(cell)
        elif _is_solution(self._released[index]):
            self.notes.append(
                f"Cell {shown(grade_id)} is there more than once: the first is graded, the others "
                "are kept as cells of your own."
            )
            self._append(cell)
        else:
            self.notes.append(
                f"Cell {shown(grade_id)} is there more than once: only the released one counts."
            )

    def _keep_own(self, cell: NotebookNode, grade_id: str) -> None:
        marks = _marks(cell)
        if (marks.get("grade") or marks.get("locked")) and not marks["solution"]:
            self.notes.append(
                f"Cell {shown(grade_id)} is no test of this assignment and was left out."
            )
            return
        if grade_id:
            self.notes.append(
                f"Cell {shown(grade_id)} is not of this assignment: it is kept as a cell of your own."
            )
        self._append(cell)

    def _append(self, cell: NotebookNode) -> None:
        self._own.setdefault(self._at, []).append(cell)

    def rebuilt(self) -> Iterator[NotebookNode]:
        """The cells of the new notebook; what is missing comes back as it was released."""
        taken = {cell.get("id") for cell in self._released}
        free = (f"own-{number}" for number in count(1))
        ids = (name for name in free if name not in taken)
        for index in range(-1, len(self._released)):
            if index >= 0:
                given = self._released[index]
                if index not in self._seen and (grade_id := _grade_id(given)):
                    self.notes.append(
                        f"Cell {shown(grade_id)} is missing: it was put back as it was released."
                    )
                yield _clean(given, self._sources.get(index, given.source))
            for own in self._own.get(index, ()):
                cell = NotebookNode(cell_type=own.cell_type, metadata=NotebookNode())
                yield _clean(NotebookNode(cell, id=next(ids)), own.source)


def _clean(cell: NotebookNode, source: str) -> NotebookNode:
    """The cell with another source, never run."""
    clean = NotebookNode(
        cell_type=cell.cell_type, metadata=copy.deepcopy(cell.metadata), source=source
    )
    if "id" in cell:
        clean.id = cell.id
    if cell.cell_type == "code":
        clean.outputs = []
        clean.execution_count = None
    if "attachments" in cell:
        clean.attachments = copy.deepcopy(cell.attachments)
    return clean


def _marks(cell: NotebookNode) -> dict[str, Any]:
    marks: dict[str, Any] = cell.metadata.get("nbgrader", {})
    return marks


def _grade_id(cell: NotebookNode) -> str:
    """Of a cell that nbgrader marks; "" of any other."""
    grade_id: str = _marks(cell).get("grade_id", "")
    return grade_id


def _is_solution(cell: NotebookNode) -> bool:
    return bool(_marks(cell).get("solution"))


def _is_test(cell: NotebookNode) -> bool:
    return bool(_marks(cell).get("grade")) and not _is_solution(cell)
