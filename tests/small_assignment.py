"""A small assignment about one text file: everything of the judge but the sandbox can be tried on it."""

from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest

NOTES = """\
import os, time
from autograder.checks import Assignment, failed, partly, passed
from autograder.errors import InfrastructureError, LearnerError

assignment = Assignment("notes", title="Notes", submits=("notes.txt",), optional=("more.txt",), seconds=30)


@assignment.check("notes/there", title="There are notes", points=2)
def there(work):
    text = (work.folder / "notes.txt").read_text()
    if text == "kill the grader":
        os._exit(9)
    if text == "full disk":
        raise InfrastructureError("The disk is full.")
    if text == "a defect":
        raise KeyError("a defect of the check")
    if text == "hang":
        time.sleep(3600)
    if not text:
        return failed("notes.txt is empty.", "Write something.")
    return passed("There are notes.", text=text)


@assignment.check("notes/long", title="They are long", points=4, needs=("notes/there",))
def long(work):
    length = len((work.folder / "notes.txt").read_text())
    if length >= 40:
        return passed("They are long.")
    return partly(length / 40, f"They have {length} of 40 characters.", "Write more.")
"""

HIDDEN = """\
from autograder.checks import failed, passed
from .checks import assignment


@assignment.check("notes/word", title="Right by chance", points=1, hidden=True, needs=("notes/there",))
def word(work):
    drawn = work.random.choice("abcdefghijklmnopqrstuvwxyz")
    if drawn in (work.folder / "notes.txt").read_text():
        return passed("The letter is there.", drawn=drawn)
    return failed("A letter drawn for this run is missing.", "Use every letter.", drawn=drawn)
"""

NOTEBOOK = """\
---
kernelspec: {name: python3, display_name: Python 3}
---

# Notes

```{code-cell} ipython3
from autograder import check
```

```{code-cell} ipython3
check("notes/there")
```

```{code-cell} ipython3
check("notes/long")
```

```{code-cell} ipython3
check("notes/word")
```
"""


@pytest.fixture
def notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the assignment `notes`, found by name too."""
    folder = tmp_path / "assignments" / "01-notes"
    (folder / "starter").mkdir(parents=True)
    (folder / "starter" / "notes.txt").touch()
    (folder / "checks.py").write_text(NOTES)
    (folder / "hidden.py").write_text(HIDDEN)
    (folder / "notebook.md").write_text(dedent(NOTEBOOK))
    monkeypatch.setenv("PIVOT_ASSIGNMENTS", str(folder.parent))
    return folder


@pytest.fixture
def hand_in(tmp_path: Path) -> Callable[..., Path]:
    """hand_in("text", learner="ada") writes a submission and returns its folder."""

    def write(text: str, learner: str = "ada") -> Path:
        folder = tmp_path / "submitted" / learner / "notes"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "notes.txt").write_text(text)
        return folder

    return write
