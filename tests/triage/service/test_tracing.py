"""One request, one trace: who waited, who computed, and where it all goes."""

import contextlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
)
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from triage.model import TriageModel
from triage.service import tracing
from triage.service.app import create_app
from triage.service.tracing import Traces

from ..conftest import free_port, running, wait_until_up

TRACE, CALLER = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
ASKED = {"message": "please send the invoice"}


@pytest.fixture
def spans() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def app(model: TriageModel, spans: InMemorySpanExporter) -> FastAPI:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    return create_app(model, "0" * 64, traces=Traces(provider))


@pytest.fixture
def client(app: FastAPI, spans: InMemorySpanExporter) -> Iterator[TestClient]:
    with TestClient(app) as client:
        spans.clear()  # of the message it warms up with
        yield client


def by_name(spans: InMemorySpanExporter) -> dict[str, ReadableSpan]:
    return {span.name: span for span in spans.get_finished_spans()}


def test_a_request_has_its_wait_and_its_computing(
    client: TestClient, spans: InMemorySpanExporter
) -> None:
    assert client.post("/predict", json=ASKED).status_code == 200
    found = by_name(spans)
    assert found.keys() == {"POST /predict", "wait", "compute"}
    request, wait, compute = found["POST /predict"], found["wait"], found["compute"]
    assert request.context
    assert wait.parent
    assert compute.parent
    assert {wait.parent.span_id, compute.parent.span_id} == {request.context.span_id}
    assert request.start_time
    assert request.end_time
    assert wait.start_time
    assert wait.end_time == compute.start_time
    assert compute.end_time
    assert request.start_time <= wait.start_time <= wait.end_time
    assert wait.end_time < compute.end_time <= request.end_time
    assert compute.attributes == {"triage.batch.size": 1}
    assert request.attributes
    assert request.attributes["http.status_code"] == 200


def test_it_belongs_to_the_trace_of_the_caller(
    client: TestClient, spans: InMemorySpanExporter
) -> None:
    client.post(
        "/predict", json=ASKED, headers={"traceparent": f"00-{TRACE}-{CALLER}-01"}
    )
    found = by_name(spans)
    for span in found.values():
        assert span.context
        assert f"{span.context.trace_id:032x}" == TRACE
    parent = found["POST /predict"].parent
    assert parent
    assert f"{parent.span_id:016x}" == CALLER


def test_what_the_caller_does_not_sample_is_not_recorded(
    client: TestClient, spans: InMemorySpanExporter
) -> None:
    client.post(
        "/predict", json=ASKED, headers={"traceparent": f"00-{TRACE}-{CALLER}-00"}
    )
    assert not spans.get_finished_spans()


def test_messages_of_one_batch_stay_in_their_own_traces(
    client: TestClient, spans: InMemorySpanExporter
) -> None:
    threads = [
        threading.Thread(target=client.post, args=("/predict",), kwargs={"json": ASKED})
        for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ended = spans.get_finished_spans()
    requests = {
        s.context.trace_id for s in ended if s.name == "POST /predict" and s.context
    }
    for name in ("wait", "compute"):
        traces = [s.context.trace_id for s in ended if s.name == name and s.context]
        assert sorted(traces) == sorted(requests)
        assert len(traces) == 6


def test_probes_and_scrapes_make_no_spans(
    client: TestClient, spans: InMemorySpanExporter
) -> None:
    for path in ("/healthz", "/readyz", "/metrics"):
        assert client.get(path).status_code == 200
    assert not spans.get_finished_spans()


def test_nobody_asked_nothing_made(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in tracing.WHERE:
        monkeypatch.delenv(name, raising=False)
    assert tracing.wanted() is None


@contextlib.contextmanager
def collector() -> Iterator[tuple[str, list[ExportTraceServiceRequest]]]:
    """An OTLP endpoint, and what was sent to it."""
    sent: list[ExportTraceServiceRequest] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.path == "/v1/traces":
                sent.append(ExportTraceServiceRequest.FromString(body))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *arguments: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", sent
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.slow
def test_the_service_sends_its_spans_before_it_ends(
    model_file: Path, tmp_path: Path
) -> None:
    port, log = free_port(), tmp_path / "log"
    with collector() as (address, sent):
        command = ["serve", "--model", str(model_file), "--port", str(port)]
        with running(
            [*command, "--drain", "0", "--log", "json"],
            log,
            OTEL_EXPORTER_OTLP_ENDPOINT=address,
        ) as process:
            url = f"http://127.0.0.1:{port}"
            wait_until_up(f"{url}/readyz", process, log)
            httpx.post(f"{url}/predict", json=ASKED).raise_for_status()
            process.terminate()
            process.wait(30)
    resources = [resource for request in sent for resource in request.resource_spans]
    names = [
        span.name
        for resource in resources
        for scope in resource.scope_spans
        for span in scope.spans
    ]
    assert {"POST /predict", "wait", "compute"} <= set(names)
    attributes = {
        item.key: item.value.string_value for item in resources[0].resource.attributes
    }
    assert attributes["service.name"] == "triage"
