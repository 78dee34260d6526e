"""Calling the functions of a notebook: what comes back, and what a learner is told when nothing does."""

import time
from pathlib import Path

import pytest

from autograder.errors import InfrastructureError, LearnerError
from autograder.probes.python import Functions, Raised, Returned
from autograder.sandbox import Completed, Limits
from autograder.sandbox.bubblewrap import Bubblewrap
from autograder.sandbox.direct import Direct

SANDBOXES = [
    pytest.param(Bubblewrap, marks=pytest.mark.needs("bubblewrap")),
    pytest.param(Direct),
]
bubblewrap = pytest.mark.needs("bubblewrap")


def f(*cells: str, seconds: float = 10, output: int = 1 << 20):
    """`f` of these cells, called without arguments."""
    limits = Limits(seconds=seconds, output=output)
    return Functions(cells, Bubblewrap(), limits).call("f")


@pytest.mark.parametrize("sandbox", SANDBOXES)
def test_results_in_the_order_of_the_calls(sandbox: type):
    cells = ["def half(x):\n    return x / 2", "total = 0", "def name(): return 'ü'"]
    results = Functions(cells, sandbox()).call_many(
        [("half", [3]), ("half", ["three"]), ("name", [])]
    )
    assert results[0] == Returned(1.5)
    assert isinstance(results[1], Raised)
    assert results[1].kind == "TypeError"
    assert "unsupported operand" in results[1].message
    assert results[2] == Returned("ü")


@pytest.mark.parametrize("sandbox", SANDBOXES)
def test_cells_see_their_neighbours(sandbox: type, tmp_path: Path):
    (tmp_path / "helper.py").write_text("ANSWER = 42")
    (tmp_path / "data.txt").write_text("data")
    cells = ["import helper\ndef f(): return [helper.ANSWER, open('data.txt').read()]"]
    assert Functions(cells, sandbox(), folder=tmp_path).call("f") == [42, "data"]


@bubblewrap
@pytest.mark.parametrize(
    ("returned", "value"),
    [
        ("np.arange(3)", [0, 1, 2]),
        ("np.float32(0.5)", 0.5),
        ("(1, None, True)", [1, None, True]),
        ("{'a': np.int64(1)}", {"a": 1}),
    ],
)
def test_numbers_in_arrays_become_numbers(returned: str, value: object):
    assert f(f"import numpy as np\ndef f(): return {returned}") == value


@bubblewrap
@pytest.mark.parametrize(
    "cells",
    [
        ["%matplotlib inline", "!true", "def f(): return 1"],
        ["%%time\nx = 1", "def f(): return x"],
        ["x = !echo 1", "def f(): return int(x[0])"],
        ["get_ipython().run_line_magic('who', '')", "def f(): return 1"],
    ],
)
@pytest.mark.slow
def test_magics(cells: list[str]):
    assert f(*cells) == 1


@bubblewrap
def test_plain_cells_as_in_a_notebook():
    cells = [
        "import asyncio\nawait asyncio.sleep(0)",
        "display('shown')",
        "from autograder import check\ncheck('serve/ready')",
        "from dataclasses import dataclass\n@dataclass\nclass Point:\n    x: int",
        "import pickle, sys\ncopy = pickle.loads(pickle.dumps(Point(1)))",
        "def f(): return [copy.x, __name__, 'IPython' in sys.modules, 'setuptools' in sys.modules]",
    ]
    assert f(*cells) == [
        1,
        "__main__",
        False,
        False,
    ]  # plain cells do not pay for IPython


@bubblewrap
@pytest.mark.parametrize(
    ("cells", "seen"),
    [
        (["def g(): return 1"], "The notebook does not define `f`."),
        (["def f(): return 1", "f = 3"], "`f` is not a function but of type int."),
        (["x = 1", "\n\n1 / 0\n2"], "The cell that begins with `1 / 0` raised ZeroDivisionError: "),
        (["def f(:"], "The cell that begins with `def f(:` raised SyntaxError"),
        (["%nosuch"], "The cell that begins with `%nosuch` raised UsageError"),
        (["def f(): return {1, 2}"], "`f` returned a value of type set that the judge cannot read"),
        (["def f(): return float('nan')"], "`f` returned a value of type float that the judge cannot read"),
        (["def f(): return 10**5000"], "`f` returned a value of type int that the judge cannot read"),
        (["x = []\nfor _ in range(10**5): x = [x]\ndef f(): return x"], "`f` returned a value of type list"),
        (["def f(): raise KeyError('k')"], "`f` raised KeyError: 'k'."),
        (["def f(): raise ValueError"], "`f` raised ValueError."),
        (["class E(Exception):\n    def __str__(self): 1 / 0\ndef f(): raise E"], "`f` raised E."),
        (["def f(): return '\\ud800'"], "The notebook's answers could not be read."),
        (["def f(): return {1: 'a', '1': 'b'}"], "The notebook's answers could not be read."),
        (["raise ValueError('\\x1b[31m' + 'x' * 10_000)"], "The cell that begins with `raise ValueError("),
    ],
)  # fmt: skip
def test_what_a_learner_is_told(cells: list[str], seen: str):
    with pytest.raises(LearnerError) as caught:
        f(*cells)
    assert caught.value.seen.startswith(seen)
    assert len(caught.value.seen) < 400
    assert caught.value.seen.isprintable()
    assert caught.value.advice.endswith(".")


@bubblewrap
def test_a_cell_that_does_not_end():
    with pytest.raises(LearnerError) as caught:
        f("x = 1", "while x: pass", seconds=0.3)
    assert caught.value.seen == (
        "The cell that begins with `while x: pass` did not finish within 0.3 seconds."
    )


@bubblewrap
def test_more_than_the_judge_reads():
    with pytest.raises(LearnerError, match="`f` returned more than the 1,000 bytes"):
        f("def f(): return 'x' * 2000", output=1000)


@bubblewrap
def test_the_notebook_alone():
    assert Functions(["x = 1"], Bubblewrap()).call_many([]) == []
    with pytest.raises(LearnerError, match="raised NameError"):
        Functions(["y"], Bubblewrap()).call_many([])


class Broken:
    """A machine on which python does not start."""

    name = "broken"

    def run(self, command, **options) -> Completed:
        return Completed(127, b"", b"python: cannot execute", 0.0, "")


def test_a_python_that_does_not_start_is_not_the_learners_fault():
    with pytest.raises(InfrastructureError, match="python: cannot execute"):
        Functions(["x = 1"], Broken()).call("f")


@bubblewrap
def test_threads_do_not_hold_up_the_answers():
    sleeper = "import threading, time\nthreading.Thread(target=time.sleep, args=(60,)).start()"
    start = time.monotonic()
    assert f(sleeper, "def f(): return 1", seconds=60) == 1
    assert time.monotonic() - start < 30


@bubblewrap
def test_each_run_begins_anew():
    count = Functions(
        ["n = 0", "def f():\n    global n\n    n += 1\n    return n"], Bubblewrap()
    )
    assert count.call_many([("f", []), ("f", [])]) == [Returned(1), Returned(2)]
    assert count.call("f") == 1
