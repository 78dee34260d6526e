"""Grading the graders must be able to fail."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from autograder.cli import app

ALPHABET = "the quick brown fox jumps over the lazy dog"


def submission(
    notes: Path, name: str, text: str, points: float, loses: list[str]
) -> None:
    folder = notes / "submissions" / name
    folder.mkdir(parents=True)
    (folder / "notes.txt").write_text(text)
    expected = {"points": points, "loses": loses}
    (folder / "expected.json").write_text(json.dumps(expected))


@pytest.mark.slow
def test_it_passes_when_all_get_what_they_should(notes: Path):
    submission(notes, "reference", ALPHABET, 7, [])
    submission(notes, "wrong-short", "abcdefghijklmnopqrstuvwxyz", 5.6, ["notes/long"])
    result = CliRunner().invoke(app, ["selfcheck", "--json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["agrees"] is True


@pytest.mark.slow
def test_it_fails_for_wrong_points_wrong_checks_and_no_verdict(notes: Path):
    submission(notes, "right-but-cheap", ALPHABET, 6, [])
    submission(
        notes, "wrong-elsewhere", "abcdefghijklmnopqrstuvwxyz", 5.6, ["notes/word"]
    )
    submission(notes, "wrong-broken", "a defect", 0, [])
    submission(notes, "reference", ALPHABET, 7, [])
    result = CliRunner().invoke(app, ["selfcheck", "notes", "--json"])
    assert result.exit_code == 1
    agrees = {
        row["submission"]: row["agrees"]
        for row in json.loads(result.stdout)["submissions"]
    }
    assert agrees == {
        "right-but-cheap": False,
        "wrong-elsewhere": False,
        "wrong-broken": False,
        "reference": True,
    }
    table = CliRunner().invoke(app, ["selfcheck", "notes"], env={"COLUMNS": "200"})
    assert table.stdout.count("differs") == 3


def test_an_expectation_that_says_nothing_is_refused(notes: Path):
    submission(notes, "reference", ALPHABET, 7, [])
    (notes / "submissions" / "reference" / "expected.json").write_text("{}")
    result = CliRunner().invoke(app, ["selfcheck"])
    assert result.exit_code == 2
    assert "expected.json must hold" in result.stderr.replace("\n", " ")


MAKER = """\
import shutil, sys
from pathlib import Path
for described in (Path(__file__).parent / "submissions").iterdir():
    made = Path(sys.argv[1]) / described.name
    shutil.copytree(described, made)
    (made / "notes.txt").write_text((described / "notes.txt").read_text() * 2)
"""


@pytest.mark.slow
def test_what_an_assignment_makes_of_its_submissions_is_graded(notes: Path):
    half = "abcdefghijklmnopqrstuvwxyz"
    submission(notes, "reference", half, 7, [])
    (notes / "submissions.py").write_text(MAKER)
    result = CliRunner().invoke(app, ["selfcheck", "--json"])
    assert result.exit_code == 0, result.output
    assert (notes / "submissions/reference/notes.txt").read_text() == half


def test_submissions_that_cannot_be_made_are_not_passed_over(notes: Path):
    submission(notes, "reference", ALPHABET, 7, [])
    (notes / "submissions.py").write_text("raise SystemExit('no room for it')")
    result = CliRunner().invoke(app, ["selfcheck"])
    assert result.exit_code == 2
    assert "no room for it" in result.stderr
