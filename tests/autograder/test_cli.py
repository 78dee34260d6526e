"""The instructor's commands, as they are typed."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from autograder.cli import app, assignment_of, learner_of

HandIn = Callable[..., Path]
ALPHABET = "the quick brown fox jumps over the lazy dog"


def autograder(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.mark.slow
def test_grade_prints_a_verdict_a_line(notes: Path, hand_in: HandIn):
    paths = [hand_in(ALPHABET, "ada"), hand_in("full disk", "eve")]
    result = autograder("grade", *paths, "--json", "--workers", 1)
    verdicts = {
        verdict["learner"]: verdict
        for verdict in map(json.loads, result.stdout.splitlines())
    }
    assert verdicts["ada"]["points"] == 7
    assert verdicts["eve"]["status"] == "infrastructure-error"
    assert result.exit_code == 1


@pytest.mark.slow
def test_grade_prints_a_table(notes: Path, hand_in: HandIn):
    result = autograder("grade", hand_in("0123456789"), "--workers", 1, "--seed", 1)
    assert result.exit_code == 0
    assert "3 of 7" in result.stdout
    assert "They are long" in result.stdout


@pytest.mark.slow
def test_the_seed_decides_the_draw(notes: Path, hand_in: HandIn):
    folder = hand_in("")
    (folder / "notes.txt").write_text("x")

    def drawn(seed: int) -> str:
        result = autograder("grade", folder, "--json", "--workers", 1, "--seed", seed)
        return json.loads(result.stdout)["checks"][2]["evidence"]["drawn"]

    assert drawn(1) == drawn(1)
    assert len({drawn(seed) for seed in range(4)}) > 1


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["grade", "nowhere"], "there is no nowhere"),
        (["grade", "."], "Add --assignment with one of: notes"),
        (["grade", ".", "--assignment", "x"], "no assignment 'x'. Known are: notes"),
        (["selfcheck", "x"], "no assignment 'x'"),
    ],
)
def test_usage_errors_are_one_sentence(
    arguments: list[str],
    sentence: str,
    notes: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.chdir(tmp_path)
    result = autograder(*arguments)
    assert result.exit_code == 2
    assert sentence in result.stderr.replace("\n", " ")
    assert "Traceback" not in result.output


@pytest.mark.parametrize(
    ("path", "assignment", "learner"),
    [
        ("course/submitted/ada/notes", "notes", "ada"),
        ("assignments/01-notes/submissions/wrong-one", "notes", "wrong-one"),
        ("inbox/notes/ada.zip", "notes", "ada"),
    ],
)
def test_a_path_tells_the_assignment_and_the_learner(
    path: str, assignment: str, learner: str, notes: Path
):
    assert assignment_of(Path(path)) == assignment
    assert learner_of(Path(path), assignment) == learner
