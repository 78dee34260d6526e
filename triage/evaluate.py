"""What the model gets right, what it confuses, and whether its confidence can be believed."""

import io
import json
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.colors import LinearSegmentedColormap, to_rgba
from matplotlib.figure import Figure
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

from triage.files import write_atomically
from triage.prediction import Classifier

BINS = 10
INK = "#6b7280"  # reads on a light page and on a dark one
ACCENT = "#2f7f86"


@dataclass(frozen=True)
class Report:
    """One evaluation; every figure is about the messages given to `evaluate`."""

    messages: int
    accuracy: float
    """Share of messages whose intent is right, 0 to 1."""
    calibration_error: float
    """Expected calibration error, 0 to 1: mean distance of confidence from accuracy over ten bins."""
    by_intent: pd.DataFrame
    """One row an intent: messages, precision, recall, f1, what its missed messages were mostly taken for."""
    by_style: pd.DataFrame | None
    """Accuracy by kind of message, where the data says which kind each one is."""
    confusion: pd.DataFrame
    """Counts: a row is the true intent, a column the predicted one."""
    calibration: pd.DataFrame
    """One row a confidence bin: messages, mean confidence, accuracy."""
    answers: pd.DataFrame
    """One row a message: text, category, intent, confidence."""

    @property
    def intents(self) -> list[str]:
        """Every intent the model knows, in its order."""
        return self.confusion.index.tolist()

    def summary(self) -> dict:
        """The figures as plain JSON types."""
        summary = {
            "messages": self.messages,
            "accuracy": round(self.accuracy, 4),
            "calibration_error": round(self.calibration_error, 4),
            "by_intent": json.loads(self.by_intent.round(4).to_json(orient="index")),
        }
        if self.by_style is not None:
            summary["by_style"] = json.loads(
                self.by_style.round(4).to_json(orient="index")
            )
        return summary

    def errors(self) -> pd.DataFrame:
        """The wrong answers, the most confident first: the top of this list is where to read."""
        wrong = self.answers[self.answers["category"] != self.answers["intent"]]
        return wrong.sort_values("confidence", ascending=False)

    def plot_confusion(self, limit: int = 20) -> Figure:
        """The confusion matrix as a picture, cut to the `limit` intents that take part in most mistakes."""
        return plot_confusion(self.confusion, limit)

    def plot_calibration(self) -> Figure:
        """Confidence against accuracy; on the diagonal a confidence means what it says."""
        return plot_calibration(self.calibration)

    def write(self, folder: Path) -> None:
        """Write `report.json`, `confusion.svg` and `calibration.svg` into `folder`."""
        write_atomically(
            folder / "report.json", json.dumps(self.summary(), indent=2).encode()
        )
        for name, figure in (
            ("confusion", self.plot_confusion()),
            ("calibration", self.plot_calibration()),
        ):
            write_atomically(folder / f"{name}.svg", svg(figure))


def evaluate(model: Classifier, messages: pd.DataFrame) -> Report:
    """Compare the model's answers with the labels of `messages` (columns text, category, perhaps style)."""
    predictions = model.predict(messages["text"].tolist())
    answers = messages.assign(
        intent=[prediction.intent for prediction in predictions],
        confidence=[prediction.confidence for prediction in predictions],
    ).reset_index(drop=True)
    return report_on(answers, model.card.intents)


def report_on(answers: pd.DataFrame, intents: list[str]) -> Report:
    """The report that these answers (columns text, category, intent, confidence) make, over all `intents`."""
    right = answers["category"] == answers["intent"]
    confusion = pd.DataFrame(
        confusion_matrix(answers["category"], answers["intent"], labels=intents),
        index=intents,
        columns=intents,
    )
    calibration = calibration_bins(answers["confidence"], right)
    gaps = (calibration["confidence"] - calibration["accuracy"]).abs()
    return Report(
        messages=len(answers),
        accuracy=float(right.mean()),
        calibration_error=float(np.average(gaps, weights=calibration["messages"])),
        by_intent=by_intent(answers, confusion),
        by_style=by_style(answers, right),
        confusion=confusion,
        calibration=calibration,
        answers=answers,
    )


def by_intent(answers: pd.DataFrame, confusion: pd.DataFrame) -> pd.DataFrame:
    precision, recall, f1, messages = precision_recall_fscore_support(
        answers["category"], answers["intent"], labels=confusion.index, zero_division=0
    )
    missed = confusion.to_numpy().copy()
    np.fill_diagonal(missed, 0)
    taken_for = np.where(
        missed.any(axis=1), confusion.columns.to_numpy()[missed.argmax(axis=1)], ""
    )
    return pd.DataFrame(
        {
            "messages": messages,
            "precision": precision,
            "recall": recall,
            "f1": f1,
            "taken_for": taken_for,
        },
        index=confusion.index,
    )


def by_style(answers: pd.DataFrame, right: pd.Series) -> pd.DataFrame | None:
    if "style" not in answers:
        return None
    return right.groupby(answers["style"]).agg(messages="size", accuracy="mean")


def calibration_bins(confidence: pd.Series, right: pd.Series) -> pd.DataFrame:
    """Messages, mean confidence and accuracy in each of ten equal bins that holds a message."""
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    rows = pd.DataFrame(
        {"bin": bins, "confidence": confidence, "accuracy": right.astype(float)}
    )
    return rows.groupby("bin").agg(
        messages=("accuracy", "size"),
        confidence=("confidence", "mean"),
        accuracy=("accuracy", "mean"),
    )


def plot_confusion(confusion: pd.DataFrame, limit: int) -> Figure:
    mistakes = confusion.to_numpy().copy()
    np.fill_diagonal(mistakes, 0)
    weight = pd.Series(
        mistakes.sum(axis=0) + mistakes.sum(axis=1), index=confusion.index
    )
    shown = sorted(weight.nlargest(limit).index)
    part = confusion.loc[shown, shown]
    size = 2.6 + 0.27 * len(shown)
    figure = Figure(figsize=(size, size), layout="constrained")
    axes = figure.subplots()
    shares = part.div(confusion.loc[shown].sum(axis=1).clip(lower=1), axis=0)
    colours = LinearSegmentedColormap.from_list(
        "accent", [to_rgba(ACCENT, alpha=0), to_rgba(ACCENT)]
    )
    axes.imshow(shares, cmap=colours, vmin=0, vmax=1)
    for row, column in zip(*part.to_numpy().nonzero(), strict=True):
        axes.text(
            column,
            row,
            part.iat[row, column],
            ha="center",
            va="center",
            fontsize=7,
            color=INK,
        )
    axes.set_xticks(range(len(shown)), shown, rotation=90, fontsize=8)
    axes.set_yticks(range(len(shown)), shown, fontsize=8)
    axes.set(xlabel="predicted", ylabel="true")
    return on_any_page(figure)


def plot_calibration(calibration: pd.DataFrame) -> Figure:
    figure = Figure(figsize=(4.6, 4), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color=INK, linewidth=1, linestyle="--")
    axes.scatter(
        calibration["confidence"],
        calibration["accuracy"],
        s=20 + 400 * calibration["messages"] / calibration["messages"].sum(),
        color=ACCENT,
    )
    axes.set(
        xlim=(0, 1.03), ylim=(-0.03, 1.03), xlabel="mean confidence", ylabel="accuracy"
    )
    return on_any_page(figure)


def on_any_page(figure: Figure) -> Figure:
    """Transparent, with mid-tone ink, so that the same picture reads on a light and on a dark page."""
    figure.patch.set_alpha(0)
    for axes in figure.axes:
        axes.patch.set_alpha(0)
        axes.tick_params(colors=INK)
        axes.xaxis.label.set_color(INK)
        axes.yaxis.label.set_color(INK)
        axes.spines[:].set_color(INK)
    return figure


def svg(figure: Figure) -> bytes:
    """The figure as SVG; the same figure gives the same bytes."""
    content = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "triage", "svg.fonttype": "none"}):
        figure.savefig(content, format="svg", metadata={"Date": None})
    return content.getvalue()
