"""What a learner sees when a check answers."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from autograder import check, learner
from autograder.verdict import CheckResult

HandIn = Callable[..., Path]
ALPHABET = "the quick brown fox jumps over the lazy dog"


@pytest.fixture(autouse=True)
def nothing_kept() -> Iterator[None]:
    yield
    learner._bench.close()


def test_a_check_answers_in_the_notebook(
    notes: Path, hand_in: HandIn, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(hand_in("0123456789"))
    assert repr(check("notes/there")).startswith(
        "Right: There are notes (2 of 2 points)"
    )
    partly = repr(check("notes/long"))
    assert partly.startswith("Partly: They are long (1 of 4 points)")
    assert "They have 10 of 40 characters." in partly
    assert "Write more." in partly


def test_it_sees_the_files_as_they_are_now(
    notes: Path, hand_in: HandIn, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(hand_in(""))
    assert repr(check("notes/there")).startswith("Not yet:")
    hand_in(ALPHABET)
    assert repr(check("notes/there")).startswith("Right:")


def test_a_hidden_check_says_only_that_it_exists(
    notes: Path, hand_in: HandIn, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(hand_in(ALPHABET))
    answer = repr(check("notes/word"))
    assert answer.startswith("Later: Right by chance (1 points)")
    assert "letter" not in answer


def test_without_the_hidden_checks_it_answers_all_the_same(
    notes: Path, hand_in: HandIn, monkeypatch: pytest.MonkeyPatch
):
    (notes / "hidden.py").unlink()
    monkeypatch.chdir(hand_in(ALPHABET))
    assert repr(check("notes/word")).startswith("Later: notes/word")


@pytest.mark.parametrize(
    ("id", "sentence"),
    [("nothing/at-all", "Known are: notes"), ("notes/there", "disk is full")],
)
def test_what_cannot_be_checked_is_a_sentence_not_a_traceback(
    id: str,
    sentence: str,
    notes: Path,
    hand_in: HandIn,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.chdir(hand_in("full disk"))
    answer = repr(check(id))
    assert answer.startswith("Could not check:")
    assert sentence in answer


def test_html_is_escaped():
    result = CheckResult(
        id="a/b",
        title="<b>",
        hidden=False,
        points=0,
        max_points=1,
        seen="<script>alert(1)</script>",
        advice="a & b",
    )
    page = learner.show(result)._repr_html_()
    assert "<script>" not in page
    assert "&lt;b&gt;" in page
    assert "a &amp; b" in page
