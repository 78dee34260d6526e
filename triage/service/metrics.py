"""What the service tells Prometheus: rate, errors, duration, and what is particular to a model."""

import time

from fastapi import FastAPI, Response
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from triage.service.logs import BrokenPromises

SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5)
PROMISED_SECONDS = 0.5
"""What the desk was promised: an answer within so long, and no 5xx."""
METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}


class Metrics:
    """One registry per app, so that two apps in one process do not count into each other."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "http_requests",
            "Requests answered.",
            ["method", "route", "status"],
            registry=self.registry,
        )
        self.duration = Histogram(
            "http_request_duration_seconds",
            "Seconds from request to answer.",
            ["route"],
            buckets=SECONDS,
            registry=self.registry,
        )
        self.promises = Counter(
            "triage_promises",
            f"Messages sent, by whether they were answered without a 5xx within {PROMISED_SECONDS} s.",
            ["kept"],
            registry=self.registry,
        )
        for kept in ("yes", "no"):
            self.promises.labels(kept)  # there from the start: a rate needs a zero
        self.waiting = Gauge(
            "triage_waiting_messages",
            "Messages waiting for a batch.",
            registry=self.registry,
        )
        self.batch = Histogram(
            "triage_batch_size",
            "Messages in a batch.",
            buckets=(1, 2, 4, 8, 12),
            registry=self.registry,
        )
        self.confidence = Histogram(
            "triage_confidence",
            "Confidence of the answers given.",
            buckets=tuple(step / 10 for step in range(1, 11)),
            registry=self.registry,
        )
        self.predictions = Counter(
            "triage_predictions",
            "Answers given, by intent.",
            ["intent"],
            registry=self.registry,
        )

    def install(self, app: FastAPI) -> None:
        """Measure every request to `app` and publish the registry at /metrics."""
        app.add_middleware(Measure, metrics=self)

        @app.get("/metrics", include_in_schema=False)
        async def metrics() -> Response:
            return Response(
                generate_latest(self.registry), media_type=CONTENT_TYPE_LATEST
            )


class Measure:
    """ASGI middleware that counts and times each request, however it ends."""

    def __init__(self, app: ASGIApp, metrics: Metrics):
        self.app = app
        self.metrics = metrics
        self.broken = BrokenPromises()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        status: int | str = "none"  # the client left before there was an answer

        async def noting(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        start = time.perf_counter()
        try:
            await self.app(scope, receive, noting)
        except Exception:
            status = 500  # the answer is made outside of all middleware
            raise
        finally:
            # Nothing a client can choose freely becomes a label: a scanner must not create a million series.
            route = getattr(scope.get("route"), "path", "unknown")
            method = scope["method"] if scope["method"] in METHODS else "other"
            seconds = time.perf_counter() - start
            self.metrics.requests.labels(method, route, status).inc()
            self.metrics.duration.labels(route).observe(seconds)
            if route == "/predict":
                late = seconds > PROMISED_SECONDS
                broken = late or (isinstance(status, int) and status >= 500)
                self.metrics.promises.labels("no" if broken else "yes").inc()
                if broken:
                    self.broken.note(route, status, seconds)
