"""Many at once: one that kills its grader costs nobody else anything, and nothing is graded twice."""

from collections.abc import Callable
from pathlib import Path

import pytest

from autograder.batch import Job, grade_all
from autograder.verdict import Verdict

HandIn = Callable[..., Path]
pytestmark = pytest.mark.slow


def graded(jobs: list[Job], workers: int = 2) -> dict[str, Verdict]:
    return {job.learner: verdict for job, verdict in grade_all(jobs, workers=workers)}


def test_one_that_kills_its_grader_costs_the_others_nothing(
    notes: Path, hand_in: HandIn
):
    texts = {"ada": "fine", "eve": "kill the grader", "joan": "fine", "mary": "fine"}
    jobs = [Job(hand_in(text, who), notes, who) for who, text in texts.items()]
    verdicts = graded(jobs)
    assert verdicts.pop("eve").status == "infrastructure-error"
    assert {verdict.status for verdict in verdicts.values()} == {"graded"}
    assert sorted(verdicts) == ["ada", "joan", "mary"]


def test_one_that_hangs_its_grader_is_given_up(
    notes: Path, hand_in: HandIn, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("autograder.batch.MARGIN", 3.0)
    checks = notes / "checks.py"
    checks.write_text(checks.read_text().replace("seconds=30", "seconds=1"))
    jobs = [
        Job(hand_in("hang", "eve"), notes, "eve"),
        Job(hand_in("fine"), notes, "ada"),
    ]
    verdicts = graded(jobs)
    assert verdicts["eve"].status == "infrastructure-error"
    assert "in time" in verdicts["eve"].message
    assert verdicts["ada"].status == "graded"


def test_what_is_graded_is_not_graded_again(
    notes: Path, hand_in: HandIn, tmp_path: Path
):
    record = tmp_path / "verdicts" / "ada.json"
    job = Job(hand_in("fine"), notes, "ada", record)
    first = graded([job])["ada"]
    written = record.stat().st_mtime_ns
    assert graded([job])["ada"] == first
    assert record.stat().st_mtime_ns == written


def test_a_damaged_record_is_replaced(notes: Path, hand_in: HandIn, tmp_path: Path):
    record = tmp_path / "ada.json"
    record.write_text('{"half a ver')
    graded([Job(hand_in("fine"), notes, "ada", record)])
    assert Verdict.read(record).status == "graded"
