"""`triage monitor` as a job runs it: documents in, documents out, and an exit status."""

import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from triage.cli import app
from triage.monitor.capture import line, write
from triage.prediction import Prediction

AT = datetime(2026, 11, 26, tzinfo=UTC)


def capture(path: Path, seed: int, longer: int = 0) -> Path:
    rng = np.random.default_rng(seed)
    lines = []
    for number in range(300):
        intent = str(rng.choice(["refund_status", "invoice_request"]))
        words = ["word"] * (int(rng.poisson(12)) + longer)
        text = " ".join([*words, str(number)])
        answer = Prediction(intent, float(rng.beta(5, 2)), [])
        lines.append(line(text, answer, AT))
    write(path, lines)
    return path


def run(*arguments: str):
    return CliRunner().invoke(app, ["monitor", *arguments])


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TRIAGE_HOME", str(tmp_path / "home"))
    done = run("baseline", str(capture(tmp_path / "week.jsonl", 0)))
    assert done.exit_code == 0, done.output
    return tmp_path / "home/monitor"


def test_a_calm_day_breaks_nothing(home: Path, tmp_path: Path) -> None:
    done = run("check", str(capture(tmp_path / "calm.jsonl", 1)))
    assert (done.exit_code, done.output) == (0, "Nothing breaks the constraints.\n")
    found = json.loads((home / "constraint_violations.json").read_text())
    assert found == {"violations": []}


def test_longer_messages_are_a_finding(home: Path, tmp_path: Path) -> None:
    done = run("check", str(capture(tmp_path / "long.jsonl", 2, longer=9)))
    assert done.exit_code == 1
    assert "words: baseline_drift_check" in done.output
    found = json.loads((home / "constraint_violations.json").read_text())
    assert {one["feature_name"] for one in found["violations"]} == {
        "words",
        "characters",
    }


def test_no_baseline_is_one_sentence(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("TRIAGE_HOME", str(tmp_path / "empty"))
    done = run("check", str(capture(tmp_path / "calm.jsonl", 1)))
    assert "Write one with `triage monitor baseline`" in str(done.exception)
