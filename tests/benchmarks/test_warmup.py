"""Three graders are asked the same question, and it is known what every answer is worth."""

import ast
import types

import nbformat
import pytest

from benchmarks import warmup
from benchmarks.warmup import (
    ASSERTIONS,
    MAX_POINTS,
    MEANS,
    POINTS,
    TOTALS,
    answer_cell,
    answered,
    judge_notebook,
    nbgrader_source,
    otter_notebook,
    otter_test,
    submissions,
)


def passes(assertion: str, answer: str) -> bool:
    namespace: dict = {}
    exec(answer, namespace)
    try:
        exec(assertion, namespace)
    except Exception:
        return False
    return True


def graded(answer: str) -> float:
    return sum(POINTS[test] * passes(ASSERTIONS[test], answer) for test in POINTS)


def test_every_submission_is_worth_what_its_code_earns():
    for one in submissions(40):
        assert graded(one.answer) == one.points, one.answer


def test_some_are_right_and_some_wrong_in_every_way():
    worths = {one.points for one in submissions(40)}
    assert {0, MAX_POINTS} < worths
    assert len({one.answer for one in submissions(40)}) == 40
    assert set(TOTALS.values()) == {True, False}
    assert len(set(MEANS.values())) == 4


def test_the_same_seed_draws_the_same():
    assert submissions(5) == submissions(5)
    assert submissions(5) != submissions(5, seed=2)


def test_the_reference_and_nothing():
    assert graded(warmup.REFERENCE) == MAX_POINTS
    assert graded(warmup.NOTHING_DONE) == 0


@pytest.mark.parametrize("name", POINTS)
def test_otters_tests_assert_the_same(name: str):
    tests = ast.parse(otter_test(name))
    module = types.ModuleType("otter.test_files")
    (function,) = (node for node in tests.body if isinstance(node, ast.FunctionDef))
    function.decorator_list = []
    tests.body = [node for node in tests.body if not isinstance(node, ast.ImportFrom)]
    exec(compile(tests, name, "exec"), module.__dict__)
    assert module.__dict__["points"] == POINTS[name]
    for one in submissions(10):
        namespace: dict = {}
        exec(one.answer, namespace)
        argument = namespace[function.args.args[0].arg]
        try:
            module.__dict__[f"test_{name}"](argument)
            passed = True
        except Exception:
            passed = False
        assert passed == passes(ASSERTIONS[name], one.answer)


def test_notebooks_are_valid_and_hold_the_answer():
    for released in (nbgrader_source(), judge_notebook()):
        notebook = answered(released, "x = 1")
        nbformat.validate(notebook)
        assert answer_cell(notebook).source == "x = 1"
        assert answer_cell(released).source != "x = 1"
    nbformat.validate(otter_notebook("x = 1"))
