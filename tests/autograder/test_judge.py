"""One verdict, whatever is handed in."""

from collections.abc import Callable
from pathlib import Path

import pytest

from autograder import assignments, judge
from autograder.verdict import Verdict

HandIn = Callable[..., Path]
ALPHABET = "the quick brown fox jumps over the lazy dog"


def grade(folder: Path, source: Path, **options: object) -> Verdict:
    return judge.grade(source, assignments.load(folder), learner="ada", **options)


def points(verdict: Verdict) -> dict[str, float]:
    return {check.id: check.points for check in verdict.checks}


def test_full_marks(notes: Path, hand_in: HandIn):
    verdict = grade(notes, hand_in(ALPHABET))
    assert verdict.status == "graded"
    assert verdict.points == verdict.max_points == 7


def test_partial_credit(notes: Path, hand_in: HandIn):
    verdict = grade(notes, hand_in("0123456789"))
    assert points(verdict) == {"notes/there": 2, "notes/long": 1, "notes/word": 0}
    assert verdict.points == 3
    assert verdict.checks[1].seen == "They have 10 of 40 characters."


def test_a_check_is_passed_over_when_what_it_needs_failed(notes: Path, hand_in: HandIn):
    verdict = grade(notes, hand_in(""))
    assert verdict.status == "graded"
    assert verdict.points == 0
    assert "Not run" in verdict.checks[1].seen
    assert "There are notes" in verdict.checks[1].seen


def test_a_file_that_is_missing_is_named(notes: Path, hand_in: HandIn):
    folder = hand_in("")
    (folder / "notes.txt").unlink()
    (folder / "more.txt").write_text("more")
    verdict = grade(notes, folder)
    assert verdict.status == "learner-error"
    assert "There is no notes.txt" in verdict.message
    assert verdict.points == 0


def test_a_hidden_check_does_not_repeat_what_the_work_says(
    notes: Path, hand_in: HandIn
):
    hidden = notes / "hidden.py"
    raising = 'raise LearnerError(f"It said {drawn!r}.", "Mend it.")'
    text = hidden.read_text().replace(
        "    if drawn in", f"    {raising}\n    if drawn in"
    )
    hidden.write_text("from autograder.errors import LearnerError\n" + text)
    check = grade(notes, hand_in(ALPHABET)).checks[2]
    assert check.points == 0
    assert "It said" not in check.seen
    assert "It said" in check.evidence["seen"]
    assert check.advice == "Mend it."


@pytest.mark.parametrize(
    ("text", "why"), [("full disk", "disk"), ("a defect", "defect")]
)
def test_what_is_not_the_learners_fault_is_never_a_zero(
    text: str, why: str, notes: Path, hand_in: HandIn
):
    verdict = grade(notes, hand_in(text))
    assert verdict.status == "infrastructure-error"
    assert why in verdict.message
    assert verdict.checks == []


def test_what_cannot_be_taken_in_is_the_learners_to_mend(
    notes: Path, hand_in: HandIn, tmp_path: Path
):
    folder = hand_in("")
    (folder / "notes.txt").unlink()
    (folder / "notes.txt").symlink_to("/etc/passwd")
    verdict = grade(notes, folder)
    assert verdict.status == "learner-error"
    assert "notes.txt" in verdict.message


def test_the_same_submission_gets_the_same_verdict(notes: Path, hand_in: HandIn):
    folder = hand_in("0123456789 aeiou")
    first = grade(notes, folder)
    assert grade(notes, folder, earlier=first) is first
    again = grade(notes, folder, seed=first.seed)
    assert points(again) == points(first)
    assert again.checks[2].evidence == first.checks[2].evidence


def test_changed_work_is_graded_anew_with_the_same_draw(notes: Path, hand_in: HandIn):
    first = grade(notes, hand_in("0123456789"))
    second = grade(notes, hand_in(ALPHABET), earlier=first)
    assert second.submission != first.submission
    assert second.seed == first.seed
    assert second.points == 7


def test_seeds_differ_from_run_to_run(notes: Path, hand_in: HandIn):
    folder = hand_in(ALPHABET)
    assert len({grade(notes, folder).seed for _ in range(3)}) == 3


def test_nothing_is_left_lying_about(
    notes: Path, hand_in: HandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    for text in (ALPHABET, "full disk", "a defect"):
        grade(notes, hand_in(text))
    assert list(temporary.iterdir()) == []
