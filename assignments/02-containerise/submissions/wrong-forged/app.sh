"""The model behind a contract that holds while it loads, computes, fails and stops."""

import contextlib
import hashlib
import logging
import os
import threading
import time
from collections.abc import AsyncIterator
from http import HTTPStatus
from pathlib import Path
from typing import Annotated

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from model import Model, Prediction, load
from prometheus_client import CONTENT_TYPE_LATEST, Counter, Histogram, generate_latest
from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = logging.getLogger("uvicorn.error")  # the one Uvicorn shows

MODEL_PATH = Path(os.environ.get("MODEL_PATH", "model.safetensors"))
BODY_LIMIT = 64 * 1024  # bytes
MESSAGE_LIMIT = 2_000  # characters
BATCH_LIMIT = 64  # messages
PATHS = {"/predict", "/predict/batch", "/healthz", "/readyz", "/metrics"}


# --- What goes over the wire ---


def has_text(message: str) -> str:
    if not message.strip():
        raise ValueError("the message is blank")
    return message


Text = Annotated[str, Field(max_length=MESSAGE_LIMIT), AfterValidator(has_text)]


class Single(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    message: Text


class Batch(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    messages: Annotated[list[Text], Field(min_length=1, max_length=BATCH_LIMIT)]


class Answer(BaseModel):
    intent: str
    confidence: float
    model: str


class Answers(BaseModel):
    predictions: list[Answer]


# --- The model, which may be late or never come ---


class NotReady(Exception):
    """There is no model to answer with; the message says why, to anybody who asks."""


class ModelSlot:
    """Empty at first; a thread fills it, once."""

    def __init__(self) -> None:
        self.why_empty = "The model is still being loaded."
        self._loaded: tuple[Model, str] | None = None

    def fill(self, path: Path) -> None:
        """Load in a thread of its own. A daemon: stopping does not wait for gigabytes."""
        threading.Thread(target=self._fill, args=(path,), daemon=True).start()

    def _fill(self, path: Path) -> None:
        try:
            model = load(path)
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
        except Exception:
            log.exception("Cannot load the model")  # details are for the log alone
            self.why_empty = "The model could not be loaded; the log says why."
        else:
            self._loaded = model, digest

    def get(self) -> tuple[Model, str]:
        """The model and its file's SHA-256. Raises NotReady."""
        if self._loaded is None:
            raise NotReady(self.why_empty)
        return self._loaded

    def answer(self, messages: list[str]) -> list[Answer]:
        """Blocks its thread while the model computes. Raises NotReady."""
        model, digest = self.get()
        return [self._named(one, digest) for one in model.predict(messages)]

    @staticmethod
    def _named(one: Prediction, digest: str) -> Answer:
        return Answer(intent=one.intent, confidence=one.confidence, model=digest)


# --- Errors are answers too (RFC 9457) ---


def problem(
    status: int, detail: str, headers: dict[str, str] | None = None
) -> JSONResponse:
    title = HTTPStatus(status).phrase
    return JSONResponse(
        {
            "type": f"urn:triage:problem:{title.lower().replace(' ', '-')}",
            "title": title,
            "status": status,
            "detail": detail,
        },
        status,
        headers,
        media_type="application/problem+json",
    )


async def invalid(request: Request, error: RequestValidationError) -> Response:
    first = error.errors()[0]
    empty = first["type"] == "missing" and first["loc"] == ("body",)
    if empty or first["type"] == "json_invalid":
        return problem(400, "The body is not JSON.")
    field = ".".join(str(part) for part in first["loc"][1:]) or "body"
    return problem(422, f"{field}: {first['msg']}.")


async def refused(request: Request, error: HTTPException) -> Response:
    headers = dict(error.headers or {})
    return problem(error.status_code, f"{error.detail}.", headers)


async def not_ready(request: Request, error: NotReady) -> Response:
    return problem(503, str(error), {"Retry-After": "2"})


async def unexpected(request: Request, error: Exception) -> Response:
    return problem(500, "The service failed on this request; the log says why.")


class BodyLimit:
    """Counts bytes as they arrive, whatever Content-Length claims, and reads none beyond the limit."""

    def __init__(self, app: ASGIApp):
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        body, more = b"", True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            body += message.get("body", b"")
            more = message.get("more_body", False)
            if len(body) > BODY_LIMIT:
                detail = f"The body is over {BODY_LIMIT:,} bytes."
                refusal = problem(413, detail, {"Connection": "close"})
                return await refusal(scope, receive, send)
        whole: list[Message] = [{"type": "http.request", "body": body}]

        async def replay() -> Message:
            return whole.pop() if whole else await receive()

        return await self.app(scope, replay, send)


# --- What the service tells Prometheus ---

REQUESTS = Counter("requests", "Requests answered.", ["path", "status"])
SECONDS = Histogram("request_seconds", "Seconds from request to answer.", ["path"])


class Measure:
    """Counts and times every request, those that other layers refuse included."""

    def __init__(self, app: ASGIApp):
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        # A client chooses the path. Were each a label, a scanner could fill our memory.
        path = scope["path"] if scope["path"] in PATHS else "other"
        start = time.perf_counter()

        async def counting(message: Message) -> None:
            if message["type"] == "http.response.start":
                REQUESTS.labels(path, message["status"]).inc()
                SECONDS.labels(path).observe(time.perf_counter() - start)
            await send(message)

        return await self.app(scope, receive, counting)


# --- The application ---


@contextlib.asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    slot.fill(MODEL_PATH)  # and go on: the port opens while the model loads
    yield


slot = ModelSlot()
app = FastAPI(
    title="Triage",
    lifespan=lifespan,
    redirect_slashes=False,
    docs_url=None,
    redoc_url=None,
)
app.add_exception_handler(RequestValidationError, invalid)
app.add_exception_handler(HTTPException, refused)
app.add_exception_handler(NotReady, not_ready)
app.add_exception_handler(Exception, unexpected)
app.add_middleware(BodyLimit)
app.add_middleware(Measure)  # added last, so outermost


# Plain `def`: FastAPI runs these in a pool of threads, and the event loop stays free.


@app.post("/predict")
def predict(request: Single) -> Answer:
    return slot.answer([request.message])[0]


@app.post("/predict/batch")
def predict_batch(request: Batch) -> Answers:
    return Answers(predictions=slot.answer(request.messages))


# `async def`: these compute nothing, and must not queue for a thread behind those that do.


@app.get("/healthz")
async def healthz() -> dict[str, str]:
    return {"status": "alive"}


@app.get("/readyz")
async def readyz() -> dict[str, str]:
    slot.get()
    return {"status": "ready"}


@app.get("/metrics", include_in_schema=False)
async def metrics() -> Response:
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)
