"""Every benchmark prints one JSON object and keeps it where the book reads it."""

import importlib
import json
import os
import re
from pathlib import Path

import pytest

from benchmarks import containers, forgery, grading, report

GRADING = {
    "graders": [
        {"grader": "the judge", "seconds_per_submission": 0.05, "times_the_judge": 1}
    ],
    "agree": True,
    "mistakes": {},
}
ROW = {"points": 0, "classmates": {"anna": 2, "zoe": 5}, "what": []}
FORGERY = {
    "max_points": 5,
    "paid": {"nbgrader": 0.5, "judge": 0},
    "classmates_wronged": {"nbgrader": 0, "judge": 0},
    "rows": [{"forgery": "tries", "nbgrader": ROW, "judge": ROW}],
}
CONTAINERS = {"seconds_by_hand": 20.0, "seconds_judged": 22.0, "ratio": 1.1}
BENCHMARKS = [
    (grading, "grading", GRADING),
    (forgery, "forgery", FORGERY),
    (containers, "containers", CONTAINERS),
]


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(report, "RESULTS", tmp_path)
    return tmp_path


@pytest.mark.parametrize(("benchmark", "name", "result"), BENCHMARKS)
def test_json_is_one_object(benchmark, name, result, results, monkeypatch, capsys):
    monkeypatch.setattr(benchmark, "measure", lambda *_: result)
    benchmark.main(["--json"])
    assert json.loads(capsys.readouterr().out) == result
    assert json.loads((results / f"{name}.json").read_text()) == result


@pytest.mark.parametrize(("benchmark", "name", "result"), BENCHMARKS)
def test_people_get_a_table(benchmark, name, result, results, monkeypatch, capsys):
    monkeypatch.setattr(benchmark, "measure", lambda *_: result)
    benchmark.main([])
    assert "judge" in capsys.readouterr().out


def test_wrong_grades_make_the_benchmark_fail(results, monkeypatch):
    wrong = {"nbgrader": {"ada": {"worth": 5, "given": 4}}}
    bad = GRADING | {"agree": False, "mistakes": wrong}
    monkeypatch.setattr(grading, "measure", lambda *_: bad)
    with pytest.raises(SystemExit, match="ada"):
        grading.main([])


@pytest.mark.parametrize("what", ["paid", "classmates_wronged"])
def test_a_judge_that_is_fooled_makes_the_benchmark_fail(what, results, monkeypatch):
    bad = FORGERY | {what: {"nbgrader": 0, "judge": 0.04}}
    monkeypatch.setattr(forgery, "measure", lambda *_: bad)
    with pytest.raises(SystemExit, match="talked into a grade"):
        forgery.main([])


def test_a_program_to_be_measured_keeps_compiled_code(monkeypatch):
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    environment = report.environment(Path("/programs"))
    assert "PYTHONDONTWRITEBYTECODE" not in environment
    assert environment["PATH"].split(os.pathsep)[0] == "/programs"


def test_make_bench_runs_every_benchmark():
    folder = Path(report.__file__).parent
    programs = {
        path.stem for path in folder.glob("*.py") if "def main(" in path.read_text()
    }
    imported = (folder / "__main__.py").read_text()
    (names,) = re.findall("from benchmarks import (.*)", imported)
    assert set(names.split(", ")) == programs
    assert len(programs) >= 4


@pytest.mark.slow  # it imports PyTorch
@pytest.mark.parametrize(
    "name", ["accuracy", "containers", "forgery", "grading", "serving"]
)
def test_every_benchmark_takes_json(name, capsys):
    with pytest.raises(SystemExit) as ended:
        importlib.import_module(f"benchmarks.{name}").main(["--help"])
    assert ended.value.code == 0
    assert "--json" in capsys.readouterr().out
