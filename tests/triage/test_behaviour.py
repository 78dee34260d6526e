"""Behavioural tests are tests of a model; these are tests of them: each must catch the model it is for."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from typer.testing import CliRunner

from triage.behaviour import (
    PLAIN,
    Result,
    check,
    names,
    numbers,
    spread,
    typing_errors,
)
from triage.cli import app
from triage.data import Dataset
from triage.encoder import Encoder
from triage.errors import TriageError
from triage.model import TriageModel
from triage.prediction import Prediction

INTENTS = ["account_access", "invoice_request", "refund_request"]
CUES = {
    "account_access": ("password", "log in", "account"),
    "invoice_request": ("invoice", "receipt"),
    "refund_request": ("refund", "money", "difference"),
}
MESSAGES = [f"Order {4000 + k}: my invoice, please" for k in range(20)]


class Rules:
    """A model made of rules, so that each of its faults can be chosen."""

    card = SimpleNamespace(intents=INTENTS)

    def __init__(self, read: Callable[[str], str] = str.lower) -> None:
        self.read = read

    def probabilities(self, texts: Sequence[str]) -> np.ndarray:
        rows = []
        for text in texts:
            seen = self.read(text)
            counts = [1 + sum(seen.count(cue) for cue in CUES[i]) for i in INTENTS]
            rows.append(np.array(counts) ** 4 / (np.array(counts) ** 4).sum())
        return np.array(rows)

    def predict(self, texts: Sequence[str]) -> list[Prediction]:
        return [
            Prediction(INTENTS[row.argmax()], float(row.max()), [])
            for row in self.probabilities(texts)
        ]


def failing(results: list[Result]) -> set[str]:
    return {result.name for result in results if not result.ok}


def without(text: str, *, when: bool) -> str:
    return "password" if when else text.lower()


def test_a_model_that_behaves_passes() -> None:
    messages = [
        f"Order {4000 + k}, which is unremarkable: my account" for k in range(20)
    ]
    results = check(Rules(), messages)
    assert failing(results) == set()
    assert {result.kind for result in results} == {
        "minimum functionality",
        "invariance",
        "direction",
    }
    assert "+ 'My card was stolen.'" not in {result.name for result in results}


@pytest.mark.parametrize(
    ("read", "caught"),
    [
        (lambda text: "", "plain sentences"),
        (lambda text: text, "casing"),
        (lambda text: without(text, when="Mohammed" in text), "customer's name"),
        (lambda text: without(text, when="Order 4" in text), "order number"),
        (
            lambda text: "" if text.endswith("the invoice.") else text.lower(),
            "+ 'Please send me the invoice.'",
        ),
    ],
)
def test_each_planted_fault_is_caught(read: Callable[[str], str], caught: str) -> None:
    assert caught in failing(check(Rules(read), MESSAGES))


def test_typing_errors_are_caught() -> None:
    results = check(Rules(), ["the receipt"] * 20)
    [typos] = [result for result in results if result.name == "typing errors"]
    assert (typos.passed, typos.cases, typos.ok) == (0, 20, False)
    assert len(typos.failures) == 3
    assert typos.failures[0].startswith("invoice_request becomes account_access with")


def test_a_model_nobody_wrote_sentences_for_does_not_pass_silently() -> None:
    stranger = Rules()
    stranger.card = SimpleNamespace(intents=["a", "b"])
    with pytest.raises(TriageError, match="No plain sentence"):
        check(stranger, MESSAGES)


def test_every_intent_of_the_tickets_has_plain_sentences(tickets: Dataset) -> None:
    assert set(tickets.intents) <= set(PLAIN)
    asked = {text for texts in PLAIN.values() for text in texts}
    assert not asked & set(tickets.train["text"]), "a test sentence was trained on"


def test_changes() -> None:
    original, mistyped = typing_errors("Where is my refund?")
    assert original == "Where is my refund?"
    assert sorted(mistyped) == sorted(original)
    assert mistyped != original
    assert typing_errors("Where is my refund?")[1] == mistyped
    assert typing_errors("ok") == ["ok"]
    assert numbers("order 4812, 2 items") == [
        "order 4812, 2 items",
        "order 2184, 2 items",
    ]
    assert len(set(names("hi"))) == 4


def test_a_sample_is_spread_over_all_messages() -> None:
    assert spread(list("abcdef"), 3) == ["a", "c", "e"]
    assert spread(["a", "b"], 3) == ["a", "b"]
    assert spread([], 3) == []


@pytest.mark.slow
def test_the_command(
    model_file: Path,
    small: Dataset,
    encoder: Encoder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    small.train.to_csv(tmp_path / "train.csv", index=False)
    small.test[::4].to_csv(tmp_path / "test.csv", index=False)
    monkeypatch.setenv("TRIAGE_DATA", str(tmp_path))
    good = CliRunner().invoke(app, ["behave", "--model", str(model_file), "--json"])
    assert good.exit_code == 0, good.output
    assert json.loads(good.stdout)["ok"] is True
    spoilt = TriageModel.load(model_file, encoder)
    spoilt.head.linear.weight.data.neg_()
    spoilt.save(tmp_path / "spoilt")
    bad = CliRunner().invoke(app, ["behave", "--model", str(tmp_path / "spoilt")])
    assert bad.exit_code == 1, bad.output
    assert "FAILED" in bad.stdout
    assert "taken for" in bad.stdout


def test_one_message_is_no_rate(model: TriageModel) -> None:
    def tried(messages: list[str]) -> set[str]:
        return {result.name for result in check(model, messages)}

    plain = ["My parcel is late.", "I cannot log in."]
    assert "order number" not in tried([*plain, "Order 48213 is late."])
    assert "order number" in tried([f"Order 4821{n} is late." for n in range(5)])
