"""Requests and answers as a file, in the format of SageMaker's data capture: a JSON object a line.

https://docs.aws.amazon.com/sagemaker/latest/dg/model-monitor-data-capture-endpoint.html
"""

import json
import uuid
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

import pandas as pd

from triage.errors import TriageError
from triage.prediction import Prediction


# region line
def line(message: str, prediction: Prediction, at: datetime) -> str:
    """One request and its answer, as the endpoint would have captured them."""
    answer = {"intent": prediction.intent, "confidence": prediction.confidence}
    return json.dumps(
        {
            "captureData": {
                "endpointInput": part("INPUT", {"message": message}),
                "endpointOutput": part("OUTPUT", answer),
            },
            "eventMetadata": {
                "eventId": str(uuid.uuid4()),
                "inferenceTime": at.strftime("%Y-%m-%dT%H:%M:%SZ"),
            },
            "eventVersion": "0",
        }
    )


# endregion line


def part(mode: str, data: dict) -> dict[str, str]:
    return {
        "observedContentType": "application/json",
        "mode": mode,
        "data": json.dumps(data),
        "encoding": "JSON",
    }


def write(path: Path, lines: Iterable[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{one}\n" for one in lines), encoding="utf-8")


def read(path: Path) -> pd.DataFrame:
    """A row for each line of the file or folder: everything that came in and went out, under its own name.

    What is inside is not judged here: a new field is a column more, a missing one an empty place. Raises
    TriageError for a file that is no capture at all.
    """
    files = sorted(path.rglob("*.jsonl")) if path.is_dir() else [path]
    rows = []
    for file in files:
        try:
            lines = file.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise TriageError(f"Cannot read a capture from {file}: {error}.") from error
        for number, text in enumerate(lines, start=1):
            try:
                rows.append(row(json.loads(text)))
            except (ValueError, KeyError, TypeError) as error:
                raise TriageError(
                    f"{file}, line {number} is no captured request. Is it a data-capture file?"
                ) from error
    if not rows:
        raise TriageError(f"{path} holds no captured request.")
    return table(pd.DataFrame(rows))


def row(captured: dict) -> dict:
    """The fields of one line, input and output side by side."""
    data = captured["captureData"]
    return {
        **json.loads(data["endpointInput"]["data"]),
        **json.loads(data["endpointOutput"]["data"]),
    }


# region table
def table(requests: pd.DataFrame) -> pd.DataFrame:
    """The columns that are watched: those of the requests, and two lengths."""
    if "message" not in requests:
        return requests
    text = requests["message"].where(requests["message"].map(is_text))
    return requests.assign(
        characters=text.str.len().astype("Int64"),
        words=text.str.split().str.len().astype("Int64"),
    )


# endregion table


def is_text(value: object) -> bool:
    return isinstance(value, str)
