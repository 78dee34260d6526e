"""The assignment `serve`: that its parts fit together, and that it says the right things of what it meets."""

import json
import sys
from pathlib import Path
from random import Random
from types import ModuleType

import pytest

from autograder import assignments, judge, learner
from autograder.checks import Assignment
from autograder.probes.answer import Answer, metrics
from autograder.verdict import Verdict

FOLDER = assignments.COURSE / "01-serve"
SUBMISSIONS = sorted(path.name for path in (FOLDER / "submissions").iterdir())
WRONG = [name for name in SUBMISSIONS if name.startswith("wrong-")]


@pytest.fixture(scope="module")
def serve() -> Assignment:
    return assignments.load(FOLDER)


def module(serve: Assignment, name: str) -> ModuleType:
    """One of the assignment's modules; which package they are in is the loader's affair."""
    package = serve.checks["serve/starts"].function.__module__.rpartition(".")[0]
    return sys.modules[f"{package}.{name}"]


def expectation(name: str) -> dict:
    return json.loads((FOLDER / "submissions" / name / "expected.json").read_bytes())


def graded(service: str, serve: Assignment, folder: Path) -> Verdict:
    (folder / "service.py").write_text(service)
    return judge.grade(folder, serve, learner="ada", seed=7)


# --- its parts ---


def test_only_a_service_that_does_not_start_costs_other_checks_their_points(
    serve: Assignment,
) -> None:
    needs = {check.id: check.needs for check in serve.checks.values()}
    assert needs.pop("serve/starts") == ()
    assert set(needs.values()) == {("serve/starts",)}


def test_every_check_has_a_submission_that_fails_it_alone(serve: Assignment) -> None:
    lost = [expectation(name)["loses"] for name in WRONG]
    assert all(len(loses) == 1 for loses in lost)
    assert {loses[0] for loses in lost} == serve.checks.keys() - {"serve/starts"}


def test_hidden_checks_draw_messages_nobody_has_seen(serve: Assignment) -> None:
    bench = module(serve, "bench")
    reference = module(serve, "reference")
    first, again = (bench.draw_messages(Random(1), 8) for _ in range(2))
    assert first == again
    assert not set(first) & set(bench.draw_messages(Random(2), 8))
    assert not set(first) & set(reference.tickets())
    assert len(set(reference.intents(first))) == 8


# --- what it says ---


@pytest.mark.parametrize("name", SUBMISSIONS)
@pytest.mark.slow
@pytest.mark.needs("bubblewrap")
def test_submission_loses_just_the_points_of_its_mistake(
    name: str, serve: Assignment
) -> None:
    verdict = judge.grade(FOLDER / "submissions" / name, serve, learner=name)
    assert verdict.status == "graded", verdict.message
    lost = {
        check.id: f"{check.seen} {check.advice}"
        for check in verdict.checks
        if check.points < check.max_points
    }
    expected = expectation(name)
    assert sorted(lost) == expected["loses"], lost
    assert verdict.points == pytest.approx(expected["points"], abs=0.005)


@pytest.mark.slow
@pytest.mark.needs("bubblewrap")
def test_starter_runs_and_keeps_little_of_the_contract(
    serve: Assignment, tmp_path: Path
) -> None:
    starter = (FOLDER / "starter" / "service.py").read_text()
    verdict = graded(starter, serve, tmp_path)
    assert verdict.status == "graded", verdict.message
    assert 1 <= verdict.points <= 7
    for check in verdict.checks:
        assert check.seen
        assert check.advice or check.points == check.max_points


@pytest.mark.slow
@pytest.mark.needs("bubblewrap")
@pytest.mark.parametrize(
    ("service", "seen"),
    [
        ("import flask_that_is_not_there", "No module named 'flask_that_is_not_there'"),
        ("raise SystemExit(0)", "The service has ended with status 0"),
        ("app = None", "GET /healthz answered 500"),
    ],
)
def test_service_that_does_not_start_is_told_why(
    service: str, seen: str, serve: Assignment, tmp_path: Path
) -> None:
    verdict = graded(service, serve, tmp_path)
    assert (verdict.status, verdict.points) == ("graded", 0)
    assert seen in verdict.checks[0].seen


@pytest.mark.slow
@pytest.mark.needs("bubblewrap")
def test_application_without_a_single_route_gets_the_point_for_starting(
    serve: Assignment, tmp_path: Path
) -> None:
    verdict = graded("import fastapi\napp = fastapi.FastAPI()\n", serve, tmp_path)
    earned = [check.id for check in verdict.checks if check.points]
    assert earned == ["serve/starts"]


@pytest.mark.slow
@pytest.mark.needs("bubblewrap")
def test_fast_answers_instead_of_computed_ones_earn_nothing(
    serve: Assignment, tmp_path: Path
) -> None:
    reference = (FOLDER / "submissions/reference/service.py").read_text()
    trick = "import os\nos.environ.pop('PREDICT_SECONDS', None)\n"
    trick += "os.environ.pop('LOAD_SECONDS', None)\n"
    verdict = graded(trick + reference, serve, tmp_path)
    lost = {check.id for check in verdict.checks if not check.points}
    assert lost == {"serve/early", "serve/ready", "serve/free"}


@pytest.mark.slow
@pytest.mark.needs("bubblewrap")
@pytest.mark.parametrize(
    "body",
    [
        r'{"intent": "\ud800", "confidence": 0.5, "model": "\udfff"}',
        r'{"\ud800": 1}',
        '{"intent": "x", "confidence": 1' + "0" * 400 + ', "model": "x"}',
        '{"predictions": [' + "[" * 5000 + "]" * 5000 + "]}",
        '{"predictions": [null, 1, "x", [], {}, {}, {}, {}]}',
    ],
)
def test_strange_answers_are_the_learners_fault_and_can_be_written_down(
    body: str, serve: Assignment, tmp_path: Path
) -> None:
    service = f"""
async def app(scope, receive, send):
    if scope["type"] == "http":
        await send({{"type": "http.response.start", "status": 200, "headers": []}})
        await send({{"type": "http.response.body", "body": {body.encode()!r}}})
"""
    verdict = graded(service, serve, tmp_path)
    assert verdict.status == "graded", verdict.message
    assert verdict.points <= 3
    verdict.write(tmp_path / "verdict.json")
    assert Verdict.read(tmp_path / "verdict.json") == verdict


@pytest.mark.slow
@pytest.mark.needs("bubblewrap")
def test_hidden_inputs_reach_the_instructor_and_not_the_learner(
    serve: Assignment, tmp_path: Path
) -> None:
    wrong = (FOLDER / "submissions/wrong-byte-limit/service.py").read_text()
    verdict = graded(wrong, serve, tmp_path)
    accepts = next(check for check in verdict.checks if check.id == "serve/accepts")
    for message in accepts.evidence["messages"].values():
        assert message.strip()[:20] not in accepts.seen + accepts.advice


@pytest.mark.slow
@pytest.mark.needs("bubblewrap")
def test_learner_sees_at_once_what_a_change_did(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    service = tmp_path / "service.py"
    wrong = FOLDER / "submissions/wrong-extra-fields/service.py"
    service.write_text(wrong.read_text())
    before = learner.check("serve/strict")
    assert before.mark == "Partly"
    assert "extra field answered 200" in before.seen
    service.write_text((FOLDER / "submissions/reference/service.py").read_text())
    assert learner.check("serve/strict").mark == "Right"
    assert learner.check("serve/labels").mark == "Later"


# --- how it reads metrics ---


def exposed(text: str) -> Answer:
    return Answer(200, {}, text.encode(), 0.0, 0)


def test_totals_add_up_over_the_labels_not_asked_for(serve: Assignment) -> None:
    found = metrics(
        exposed(
            "# TYPE requests counter\n"
            'requests_total{path="/a",status="200"} 2\n'
            'requests_total{path="/a",status="404"} 3\n'
            'requests_total{path="/b",status="404"} 4\n'
        )
    )
    total = module(serve, "metrics").total
    assert total(found, "requests_total", path="/a") == 5
    assert total(found, "requests_total", status="404") == 7
    assert total(found, "requests_total", path="/a", status="404") == 3
    assert total(found, "responses_total", path="/a") == 0
