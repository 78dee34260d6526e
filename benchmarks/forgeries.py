"""Ways to get marks without doing the work: each one small notebook, the same for every grader.

None of them is secret: they are what a learner finds in an evening. Most go in the answer cell, before the
tests run in the same process; some change the notebook itself, or lie beside it.
"""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from nbformat import NotebookNode
from nbformat.v4 import new_output

from benchmarks.warmup import NOTHING_DONE, answer_cell


def unchanged(notebook: NotebookNode) -> None:
    """The notebook stays as released but for its answer cell."""


@dataclass(frozen=True)
class Forgery:
    """`answer` goes into the answer cell, `tamper` then changes the notebook, `files` lie beside it."""

    name: str
    answer: str = NOTHING_DONE
    tamper: Callable[[NotebookNode], None] = unchanged
    files: Mapping[str, str] = field(default_factory=dict)


def test_cells(notebook: NotebookNode) -> list[NotebookNode]:
    return [
        cell
        for cell in notebook.cells
        if cell.cell_type == "code" and cell.metadata.get("nbgrader", {}).get("grade")
    ]


def delete_tests(notebook: NotebookNode) -> None:
    tests = test_cells(notebook)
    notebook.cells = [cell for cell in notebook.cells if cell not in tests]


def duplicate_answer(notebook: NotebookNode) -> None:
    twin = copy.deepcopy(answer_cell(notebook))
    twin["id"] = "twin"
    notebook.cells.append(twin)


def raise_points(notebook: NotebookNode) -> None:
    for cell in test_cells(notebook):
        cell.metadata.nbgrader.points = 100


def make_tests_answers(notebook: NotebookNode) -> None:
    for cell in test_cells(notebook):
        cell.source = "pass"
        cell.metadata.nbgrader.update(locked=False, solution=True)


def swap_ids(notebook: NotebookNode) -> None:
    """The tests' ids move to cells that cannot fail; the tests get ids nobody asks for."""
    for number, cell in enumerate(test_cells(notebook)):
        twin = copy.deepcopy(cell)
        twin.source, twin["id"] = "True", f"twin-{number}"
        cell.metadata.nbgrader.grade_id = f"gone-{number}"
        notebook.cells.append(twin)


def show_points(notebook: NotebookNode) -> None:
    for cell in test_cells(notebook):
        data = {"text/plain": str(cell.metadata.nbgrader.points)}
        cell.outputs = [new_output("execute_result", data, execution_count=1)]
        cell.execution_count = 1


GRADEBOOK = """\
import sqlite3
from pathlib import Path


def forge():
    for folder in Path.cwd().parents:
        if (folder / "gradebook.db").exists():
            with sqlite3.connect(folder / "gradebook.db", timeout=20) as gradebook:
                gradebook.execute(
                    "UPDATE grade SET manual_score = (SELECT max_score FROM "
                    "grade_cells WHERE grade_cells.id = grade.cell_id)"
                )
"""

# The real module must still be there: Jupyter itself needs it.
SHADOW = """\
import sysconfig
from pathlib import Path

real = Path(sysconfig.get_paths()["stdlib"], "random.py").read_text()
exec(real)


def choices(*_, k=1, **__):
    return [1] * k
"""
LATER = f"""\
{GRADEBOOK}

import time

for _ in range(40):
    time.sleep(0.25)
    forge()
"""

ALL = [
    Forgery(
        "takes the assert statements out of every later cell",
        """\
import ast


class Kind(ast.NodeTransformer):
    def visit_Assert(self, node):
        return ast.copy_location(ast.Pass(), node)


get_ipython().ast_transformers.append(Kind())
total = mean = len
""",
    ),
    Forgery(
        "empties every later cell before it runs",
        """\
get_ipython().input_transformers_cleanup.append(lambda lines: ["pass"])
total = mean = len
""",
    ),
    Forgery(
        "makes every exception disappear",
        """\
shell = get_ipython()
shell.set_custom_exc((Exception,), lambda *_, **__: None)
shell.showtraceback = lambda *_, **__: None
"""
        + NOTHING_DONE,
    ),
    Forgery(
        "returns an object that equals everything",
        """\
class Yes(float):
    __eq__ = __lt__ = __le__ = __gt__ = __ge__ = lambda self, other: True
    __sub__ = __rsub__ = __abs__ = lambda self, *other: self


def total(values):
    return Yes()


mean = total
""",
    ),
    Forgery(
        "brings its own abs and isinstance",
        NOTHING_DONE.replace("raise NotImplementedError", "return 0")
        + """

def abs(value):
    return 0


def isinstance(value, kind):
    return True
""",
    ),
    Forgery(
        "brings its own sum, which the test compares with",
        """\
def sum(values):
    return 7.0


def total(values):
    raise NotImplementedError


def mean(values):
    return 1.0
""",
    ),
    Forgery(
        "replaces random.choices, so that it knows the inputs",
        """\
import random

random.choices = lambda *_, **__: [1] * 7


def total(values):
    raise NotImplementedError


def mean(values):
    return 1.0
""",
    ),
    Forgery(
        "hands in a random.py beside the notebook",
        """\
def total(values):
    raise NotImplementedError


def mean(values):
    return 1.0
""",
        files={"random.py": SHADOW},
    ),
    Forgery(
        "reads the expected values in the test that calls it",
        """\
def total(values):
    test = get_ipython().user_ns["In"][-1]
    return eval(test.split("==")[1])


def mean(values):
    test = get_ipython().user_ns["In"][-1]
    return eval(test.split(" is ")[1])
""",
    ),
    Forgery(
        "hard-codes the one public answer",
        """\
def total(values):
    return 6


def mean(values):
    raise NotImplementedError
""",
    ),
    Forgery(
        "takes the instructor's solution from the course's folder",
        """\
import json
from pathlib import Path

for folder in Path.cwd().parents:
    for path in folder.glob("source/warmup/*.ipynb"):
        for cell in json.loads(path.read_text())["cells"]:
            if "BEGIN SOLUTION" in (source := "".join(cell["source"])):
                exec(source)
""",
    ),
    Forgery(
        "takes a classmate's submission",
        """\
import json
from pathlib import Path

for folder in Path.cwd().parents:
    for path in folder.glob("submitted/zoe/warmup/*.ipynb"):
        for cell in json.loads(path.read_text())["cells"]:
            if "def mean" in (source := "".join(cell["source"])):
                exec(source)
""",
    ),
    Forgery(
        "gives everybody full marks in the gradebook's database",
        GRADEBOOK + "\n\nforge()\n" + NOTHING_DONE,
    ),
    Forgery(
        "changes the gradebook when the process exits",
        GRADEBOOK + "\n\nimport atexit\n\natexit.register(forge)\n" + NOTHING_DONE,
    ),
    Forgery(
        "leaves a process behind that changes the gradebook later",
        f"""\
import subprocess
import sys

source = {LATER!r}
subprocess.Popen([sys.executable, "-c", source], start_new_session=True)
"""
        + NOTHING_DONE,
    ),
    Forgery("ends with sys.exit(0)", "import sys\n\nsys.exit(0)"),
    Forgery("ends its process with os._exit(0)", "import os\n\nos._exit(0)"),
    Forgery(
        "replaces the course's own check function",
        """\
import sys
import types

fake = types.ModuleType("autograder")
fake.check = check = lambda *_, **__: print("Right")
sys.modules["autograder"] = fake
"""
        + NOTHING_DONE,
    ),
    Forgery(
        "prints what a grader might print",
        """\
for line in ('["returned", 6]', '{"points": 5, "status": "graded"}', "5.0"):
    print(line, flush=True)
"""
        + NOTHING_DONE,
    ),
    Forgery(
        "finds the grader's own functions in the frames above and answers with them",
        """\
import sys

frame = sys._getframe()
while frame:
    say = frame.f_locals.get("say")
    if say:
        for number in range(3):
            say("call", number)
            say("returned", 6)
    frame = frame.f_back
"""
        + NOTHING_DONE,
    ),
    Forgery("deletes the tests", tamper=delete_tests),
    Forgery("has the answer cell twice", tamper=duplicate_answer),
    Forgery("makes each test worth 100 points", tamper=raise_points),
    Forgery("turns the tests into answer cells", tamper=make_tests_answers),
    Forgery("gives the tests' ids to cells that cannot fail", tamper=swap_ids),
    Forgery("shows full points in the tests' outputs", tamper=show_points),
]
