"""Log lines as JSON, each with the trace it belongs to, and the few requests that are worth a line."""

import json
import logging
import time
from datetime import UTC, datetime
from typing import Any

from opentelemetry import trace

log = logging.getLogger("triage.requests")


# region lines
class JsonLines(logging.Formatter):
    """One JSON object a line, with what was noted, and with trace and span."""

    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "noted", {}),
        }
        span = trace.get_current_span().get_span_context()
        if span.is_valid:
            entry["trace_id"] = trace.format_trace_id(span.trace_id)
            entry["span_id"] = trace.format_span_id(span.span_id)
        if record.exc_info:
            entry["error"] = self.formatException(record.exc_info)
        return json.dumps(entry, ensure_ascii=False)


# endregion lines


def configure(as_json: bool) -> dict[str, Any]:
    """A configuration for `logging.config`, of Uvicorn's loggers and the project's."""
    plain = {"format": "%(levelname)s: %(message)s"}
    lines = {"()": "triage.service.logs.JsonLines"}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"lines": lines if as_json else plain},
        "handlers": {
            "stderr": {
                "class": "logging.StreamHandler",
                "formatter": "lines",
                "stream": "ext://sys.stderr",
            }
        },
        "loggers": {
            name: {"handlers": ["stderr"], "level": "INFO", "propagate": False}
            for name in ("uvicorn", "triage")
        },
    }


class BrokenPromises:
    """Writes a line for a request that was not answered as promised, at most so many a second.

    Under overload the log must not become the next bottleneck; what was left out is counted in the next line.
    """

    def __init__(self, per_second: int = 10):
        self.per_second = per_second
        self.second = 0
        self.written = 0
        self.left_out = 0

    def note(self, route: str, status: int | str, seconds: float) -> None:
        now = int(time.monotonic())
        if now != self.second:
            self.second, self.written = now, 0
        if self.written >= self.per_second:
            self.left_out += 1
            return
        self.written += 1
        noted = {"route": route, "status": status, "seconds": round(seconds, 4)}
        if self.left_out:
            noted["left_out"] = self.left_out
            self.left_out = 0
        log.warning(
            "%s: %s after %.3f s", route, status, seconds, extra={"noted": noted}
        )
