"""The report, checked against answers known in advance."""

import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree

import pandas as pd
import pytest

from triage.evaluate import Report, evaluate
from triage.prediction import Prediction

MESSAGES = pd.DataFrame(
    [
        ("a1", "apple", "plain"),
        ("a2", "apple", "plain"),
        ("a3", "apple", "short"),
        ("p1", "pear", "plain"),
    ],
    columns=["text", "category", "style"],
)
ANSWERS = {
    "a1": ("apple", 0.9),
    "a2": ("apple", 0.8),
    "a3": ("pear", 0.6),
    "p1": ("pear", 0.9),
}


class Known:
    """A model whose answers are written down."""

    card = SimpleNamespace(intents=["apple", "pear"])

    def predict(self, texts: Sequence[str]) -> list[Prediction]:
        return [Prediction(*ANSWERS[text], alternatives=[]) for text in texts]


@pytest.fixture
def report() -> Report:
    return evaluate(Known(), MESSAGES)


def test_figures(report: Report) -> None:
    assert report.messages == 4
    assert report.accuracy == 0.75
    # Bins: 0.6 (one, wrong), 0.8 (one, right), 0.9 (two, right): (0.6 + 0.2 + 2 * 0.1) / 4
    assert report.calibration_error == pytest.approx(0.25)


def test_errors_by_intent_and_style(report: Report) -> None:
    apple = report.by_intent.loc["apple"]
    assert (apple.messages, apple.precision, apple.taken_for) == (3, 1, "pear")
    assert apple.recall == pytest.approx(2 / 3)
    assert report.by_intent.loc["pear"].taken_for == ""
    assert report.by_style is not None
    assert report.by_style["accuracy"].to_dict() == {"plain": 1.0, "short": 0.0}
    assert report.errors()["text"].tolist() == ["a3"]


def test_data_without_styles_has_no_style_table() -> None:
    report = evaluate(Known(), MESSAGES.drop(columns="style"))
    assert report.by_style is None
    assert "by_style" not in report.summary()


def test_the_confusion_counts(report: Report) -> None:
    assert report.confusion.loc["apple"].to_dict() == {"apple": 2, "pear": 1}


def test_errors_come_most_confident_first_and_the_picture_keeps_to_the_worst() -> None:
    rows = [("x", "a", "b", 0.6), ("y", "a", "b", 0.9), ("z", "c", "c", 0.8)]
    predictions = [Prediction(intent, sure, []) for _, _, intent, sure in rows]
    known = SimpleNamespace(
        card=SimpleNamespace(intents=["a", "b", "c"]), predict=lambda texts: predictions
    )
    messages = pd.DataFrame([row[:2] for row in rows], columns=["text", "category"])
    report = evaluate(known, messages)
    assert report.errors()["text"].tolist() == ["y", "x"]
    axes = report.plot_confusion(limit=2).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "b"]


def test_the_report_on_disk(report: Report, tmp_path: Path) -> None:
    report.write(tmp_path / "a")
    report.write(tmp_path / "b")
    assert json.loads((tmp_path / "a" / "report.json").read_text())["accuracy"] == 0.75
    picture = (tmp_path / "a" / "confusion.svg").read_bytes()
    assert "pear" in "".join(ElementTree.fromstring(picture).itertext())
    assert picture == (tmp_path / "b" / "confusion.svg").read_bytes()
    assert {path.name for path in (tmp_path / "a").iterdir()} == {
        "report.json",
        "confusion.svg",
        "calibration.svg",
    }


@pytest.mark.slow
def test_banking77_accuracy(banking77: Path, encoder) -> None:
    """The figure the book states, made again from nothing."""
    from benchmarks.accuracy import RESULT, measure

    stated = json.loads(RESULT.read_text(encoding="utf-8"))
    measured = measure(banking77, encoder)
    assert measured["accuracy"] >= 0.93
    assert measured["accuracy"] == pytest.approx(stated["accuracy"], abs=0.002)
    assert measured["calibration_error"] == pytest.approx(
        stated["calibration_error"], abs=0.005
    )
    assert measured["data_digest"] == stated["data_digest"]
