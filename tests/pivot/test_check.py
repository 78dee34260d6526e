"""`pivot check` in a terminal."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from small_assignment import hand_in, notes
from typer.testing import CliRunner, Result

from autograder import learner
from pivot.cli import app

__all__ = ["hand_in", "notes"]
HandIn = Callable[..., Path]
ALPHABET = "the quick brown fox jumps over the lazy dog"


@pytest.fixture(autouse=True)
def nothing_kept() -> Iterator[None]:
    yield
    learner._bench.close()


def pivot_check(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["check", *map(str, arguments)])


def test_all_public_checks(notes: Path, hand_in: HandIn):
    result = pivot_check("notes", "--folder", hand_in("0123456789"))
    assert result.exit_code == 1
    assert "Right: There are notes" in result.stdout
    assert "Partly: They are long" in result.stdout
    assert "3 of 6 points; hidden checks worth 1 run when it is graded" in result.stdout


def test_one_check_with_what_it_needs(notes: Path, hand_in: HandIn):
    result = pivot_check("notes/long", "--folder", hand_in(ALPHABET), "--json")
    assert result.exit_code == 0
    checks = [json.loads(line) for line in result.stdout.splitlines()]
    assert [check["id"] for check in checks] == ["notes/there", "notes/long"]
    assert all("evidence" not in check for check in checks)


@pytest.mark.parametrize(
    ("name", "status", "sentence"),
    [
        ("nothing", 2, "no assignment 'nothing'. Known are: notes"),
        ("notes/nothing", 2, "no check 'notes/nothing'"),
        ("notes/word", 2, "'notes/word' is hidden"),
    ],
)
def test_what_does_not_exist(
    name: str, status: int, sentence: str, notes: Path, hand_in: HandIn
):
    result = pivot_check(name, "--folder", hand_in(ALPHABET))
    assert result.exit_code == status
    assert sentence in result.stderr


def test_a_machine_that_lacks_something(notes: Path, hand_in: HandIn):
    result = pivot_check("notes", "--folder", hand_in("full disk"))
    assert result.exit_code == 2
    assert "The disk is full." in result.stderr


def test_files_that_cannot_be_taken_in(notes: Path, hand_in: HandIn):
    folder = hand_in("")
    (folder / "notes.txt").unlink()
    (folder / "notes.txt").symlink_to("/etc/passwd")
    result = pivot_check("notes", "--folder", folder)
    assert result.exit_code == 1
    assert "notes.txt" in result.stderr
