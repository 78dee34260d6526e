"""A capture is read back as it was written, in the format that SageMaker writes."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from triage.errors import TriageError
from triage.monitor.capture import line, read, write
from triage.prediction import Prediction

AT = datetime(2026, 11, 26, 9, 30, tzinfo=UTC)
ANSWER = Prediction("refund_status", 0.75, [])


def test_a_line_has_the_fields_of_a_data_capture() -> None:
    found = json.loads(line("Where is my money?", ANSWER, AT))
    assert found.keys() == {"captureData", "eventMetadata", "eventVersion"}
    sent = found["captureData"]["endpointInput"]
    assert sent.keys() == {"observedContentType", "mode", "data", "encoding"}
    assert (sent["mode"], sent["encoding"]) == ("INPUT", "JSON")
    assert json.loads(sent["data"]) == {"message": "Where is my money?"}
    assert found["eventMetadata"]["inferenceTime"] == "2026-11-26T09:30:00Z"


def test_files_of_a_folder_are_one_table(tmp_path: Path) -> None:
    for hour, text in enumerate(["Where is my money?", "Zelt kaputt ⛺"]):
        write(tmp_path / f"2026/11/26/{hour:02}/part.jsonl", [line(text, ANSWER, AT)])
    table = read(tmp_path)
    assert table["message"].tolist() == ["Where is my money?", "Zelt kaputt ⛺"]
    assert table["words"].tolist() == [4, 3]
    assert table["characters"].tolist() == [18, 13]
    assert table["confidence"].tolist() == [0.75, 0.75]


def test_a_message_that_is_no_text_has_no_length(tmp_path: Path) -> None:
    broken = json.loads(line("x", ANSWER, AT))
    broken["captureData"]["endpointInput"]["data"] = json.dumps({"message": ["x", 3]})
    write(tmp_path / "a.jsonl", [line("fine", ANSWER, AT), json.dumps(broken)])
    table = read(tmp_path / "a.jsonl")
    assert table["characters"].isna().tolist() == [False, True]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "holds no captured request"),
        ("{}\n", "line 1 is no captured request"),
        ("[1]\n", "line 1 is no captured request"),
        ("not json\n", "line 1 is no captured request"),
    ],
)
def test_what_is_no_capture_is_refused(tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "capture.jsonl"
    path.write_text(content)
    with pytest.raises(TriageError, match=said):
        read(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(TriageError, match=r"Cannot read a capture from .*nowhere"):
        read(tmp_path / "nowhere.jsonl")
