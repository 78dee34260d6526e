"""Traces over OTLP, where OTEL_EXPORTER_OTLP_ENDPOINT says to whom; where nothing says so, none are made.

Each request to the model is one span, with two inside: how long its message waited for a batch, and how long
that batch was computed. Address, headers, sampling and service name are set by OpenTelemetry's own variables.
"""

import os
from typing import TYPE_CHECKING

from fastapi import FastAPI

from triage.service.batching import Computed

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

WHERE = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
QUIET = "healthz,readyz,metrics"
"""Routes without spans: probes and scrapes would outnumber the customers."""


def wanted() -> "Traces | None":
    """What makes spans and exports them, or None if the environment names no place for them."""
    if not any(os.environ.get(name) for name in WHERE):
        return None
    # Half a second of imports, for those who want traces.
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    os.environ.setdefault("OTEL_SERVICE_NAME", "triage")
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return Traces(provider)


# region traces
class Traces:
    """Spans of the requests to an app, and of the batches their messages were in."""

    def __init__(self, provider: "TracerProvider"):
        self.provider = provider
        self.tracer = provider.get_tracer("triage")

    def install(self, app: FastAPI) -> None:
        """A span for each request, in the trace that its `traceparent` names."""
        from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor

        FastAPIInstrumentor.instrument_app(
            app,
            tracer_provider=self.provider,
            excluded_urls=QUIET,
            exclude_spans=["receive", "send"],
        )

    def close(self) -> None:
        """Send what has not been sent."""
        self.provider.shutdown()

    def record(self, batch: Computed) -> None:
        """Two spans for each message, made afterwards from the times noted."""
        for message in batch.messages:
            message.context.run(self._spans, message.arrived, batch)

    def _spans(self, arrived: int, batch: Computed) -> None:
        self.tracer.start_span("wait", start_time=arrived).end(batch.began)
        compute = self.tracer.start_span("compute", start_time=batch.began)
        compute.set_attribute("triage.batch.size", len(batch.messages))
        compute.end(batch.ended)


# endregion traces
