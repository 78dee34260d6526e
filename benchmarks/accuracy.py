"""Accuracy on BANKING77's own test split, beside what a user would pick instead: logistic regression.

Both heads sit on the same frozen encoder and are trained on the same 10,003 messages, so the ratio says what
the project's own PyTorch head costs or gains. Data: TRIAGE_DATA, else downloaded.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.table import Table
from sklearn.linear_model import LogisticRegression

from benchmarks import report
from triage import data
from triage.encoder import Encoder
from triage.evaluate import evaluate
from triage.model import TriageModel
from triage.settings import Settings

RESULT = report.RESULTS / "banking77.json"
COMMAND = "TRIAGE_DATA=banking77 python -m triage train && TRIAGE_DATA=banking77 python -m triage evaluate"


def measure(source: str | Path, encoder: Encoder) -> dict:
    """Train and judge the project's model on a data set."""
    dataset = data.load(source)
    report = evaluate(TriageModel.fit(dataset, encoder), dataset.test)
    return {
        "accuracy": round(report.accuracy, 4),
        "calibration_error": round(report.calibration_error, 4),
        "messages": report.messages,
        "data_digest": dataset.digest,
        "command": COMMAND,
    }


def measure_logistic_regression(source: str | Path, encoder: Encoder) -> float:
    """Test accuracy, 0 to 1, of scikit-learn's logistic regression with the same strength of penalty."""
    dataset = data.load(source)
    train, test = (
        encoder.encode(split["text"].tolist())
        for split in (dataset.train, dataset.test)
    )
    head = LogisticRegression(C=25, max_iter=1_000).fit(
        train, dataset.train["category"]
    )
    return float(head.score(test, dataset.test["category"]))


def table(result: dict[str, Any]) -> Table:
    shown = Table("Head", f"Accuracy on {result['messages']:,} messages")
    shown.add_row("this project's", f"{result['accuracy']:.2%}")
    shown.add_row("logistic regression", f"{result['logistic_regression']:.2%}")
    return shown


def main(argv: Sequence[str] | None = None) -> None:
    options = report.arguments(__doc__).parse_args(argv)
    source, encoder = Settings().data or "banking77", Encoder.load()
    result = measure(source, encoder)
    baseline = measure_logistic_regression(source, encoder)
    result |= {
        "logistic_regression": round(baseline, 4),
        "ratio": round(result["accuracy"] / baseline, 4),
    }
    report.publish(RESULT.stem, result, table(result), as_json=options.json)


if __name__ == "__main__":
    main()
