"""Lines for machines, with the trace they belong to, and never too many of them."""

import json
import logging
import logging.config
import sys

import pytest
from opentelemetry.sdk.trace import TracerProvider

from triage.service import logs
from triage.service.logs import BrokenPromises, JsonLines


def record(message: str, **others: object) -> logging.LogRecord:
    made = logging.LogRecord("triage", logging.WARNING, "", 0, message, (), None)
    for name, value in others.items():
        setattr(made, name, value)
    return made


def test_a_line_is_one_object_whatever_is_said() -> None:
    line = JsonLines().format(
        record('two\nlines, "quotes", ünïcode', noted={"status": 503})
    )
    assert "\n" not in line
    found = json.loads(line)
    assert found["message"] == 'two\nlines, "quotes", ünïcode'
    assert (found["level"], found["status"]) == ("warning", 503)
    assert "trace_id" not in found


def test_a_line_names_the_trace_it_was_written_in() -> None:
    tracer = TracerProvider().get_tracer("test")
    with tracer.start_as_current_span("request") as span:
        found = json.loads(JsonLines().format(record("slow")))
    assert found["trace_id"] == f"{span.get_span_context().trace_id:032x}"
    assert found["span_id"] == f"{span.get_span_context().span_id:016x}"


def test_a_failure_brings_its_traceback() -> None:
    try:
        raise ValueError("no such intent")
    except ValueError:
        made = record("failed", exc_info=sys.exc_info())
    assert "ValueError: no such intent" in json.loads(JsonLines().format(made))["error"]


def test_overload_writes_a_few_lines_and_says_how_many_it_left_out(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [100.0]
    monkeypatch.setattr(logs.time, "monotonic", lambda: clock[0])
    broken = BrokenPromises(per_second=3)
    with caplog.at_level("WARNING", "triage.requests"):
        for _ in range(50):
            broken.note("/predict", 503, 0.001)
        assert len(caplog.records) == 3
        clock[0] += 1
        broken.note("/predict", 503, 0.001)
    assert len(caplog.records) == 4
    last = caplog.records[-1]
    assert last.noted["left_out"] == 47  # type: ignore[attr-defined]
    assert last.getMessage() == "/predict: 503 after 0.001 s"


@pytest.mark.parametrize("as_json", [True, False])
def test_both_ways_of_writing_can_be_configured(
    as_json: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    before = [
        (name, list(logging.getLogger(name).handlers)) for name in ("uvicorn", "triage")
    ]
    try:
        logging.config.dictConfig(logs.configure(as_json))
        logging.getLogger("triage.requests").warning(
            "late", extra={"noted": {"seconds": 2}}
        )
        said = capsys.readouterr().err
    finally:
        for name, handlers in before:
            logger = logging.getLogger(name)
            logger.handlers, logger.propagate = handlers, True
    if as_json:
        assert json.loads(said)["seconds"] == 2
    else:
        assert said == "WARNING: late\n"
