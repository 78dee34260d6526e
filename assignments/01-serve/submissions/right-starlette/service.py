"""The same contract with Starlette and asyncio: validation, metrics and loading written by hand."""

import asyncio
import contextlib
import hashlib
import json
import logging
import math
import os
import time
from collections import Counter, defaultdict
from http import HTTPStatus

from model import load
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

log = logging.getLogger("uvicorn.error")
MODEL_PATH = os.environ.get("MODEL_PATH", "model.safetensors")
LIMIT = 65_536
BUCKETS = (0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, math.inf)
KNOWN = ("/predict", "/predict/batch", "/healthz", "/readyz", "/metrics")


class Refusal(Exception):
    def __init__(self, status: int, detail: str, headers: dict | None = None):
        self.status, self.detail, self.headers = status, detail, headers


def problem(status: int, detail: str, headers: dict | None = None) -> Response:
    title = HTTPStatus(status).phrase
    body = {"type": "about:blank", "title": title, "status": status, "detail": detail}
    return JSONResponse(body, status, headers, media_type="application/problem+json")


async def read_json(request: Request) -> object:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > LIMIT:
            raise Refusal(
                413, f"At most {LIMIT} bytes are read.", {"Connection": "close"}
            )
    try:
        return json.loads(body.decode("utf-8"))
    except (ValueError, RecursionError):
        raise Refusal(400, "The body is not JSON in UTF-8.") from None


def field(body: object, name: str) -> object:
    if not isinstance(body, dict) or set(body) != {name}:
        raise Refusal(422, f"Send an object with the field {name} and no other.")
    return body[name]


def check_message(message: object) -> str:
    if not isinstance(message, str):
        raise Refusal(422, "A message is a string.")
    if not message.strip() or len(message) > 2000:
        raise Refusal(422, "A message has some text and up to 2,000 characters.")
    return message


async def answers(request: Request, messages: list[str]) -> list[dict]:
    state = request.app.state
    if state.model is None:
        raise Refusal(503, state.why, {"Retry-After": "1"})
    predictions = await asyncio.to_thread(state.model.predict, messages)
    return [
        {"intent": one.intent, "confidence": one.confidence, "model": state.digest}
        for one in predictions
    ]


async def predict(request: Request) -> Response:
    message = check_message(field(await read_json(request), "message"))
    return JSONResponse((await answers(request, [message]))[0])


async def predict_batch(request: Request) -> Response:
    messages = field(await read_json(request), "messages")
    if not isinstance(messages, list) or not 1 <= len(messages) <= 64:
        raise Refusal(422, "Send a list of 1 to 64 messages.")
    checked = [check_message(message) for message in messages]
    return JSONResponse({"predictions": await answers(request, checked)})


async def healthz(request: Request) -> Response:
    return JSONResponse({"alive": True})


async def readyz(request: Request) -> Response:
    if request.app.state.model is None:
        raise Refusal(503, request.app.state.why)
    return JSONResponse({"ready": True})


# --- metrics ---

requests: Counter = Counter()
seconds: defaultdict = defaultdict(lambda: [0] * len(BUCKETS))  # by path, cumulative
sums: Counter = Counter()


def observe(path: str, status: int, took: float) -> None:
    requests[path, status] += 1
    sums[path] += took
    for place, edge in enumerate(BUCKETS):
        seconds[path][place] += took <= edge


async def metrics(request: Request) -> Response:
    lines = ["# TYPE requests_total counter"]
    for (path, status), count in requests.items():
        lines.append(f'requests_total{{path="{path}",status="{status}"}} {count}')
    lines.append("# TYPE request_seconds histogram")
    for path, counts in seconds.items():
        for edge, count in zip(BUCKETS, counts, strict=True):
            le = "+Inf" if edge == math.inf else edge
            lines.append(f'request_seconds_bucket{{path="{path}",le="{le}"}} {count}')
        lines.append(f'request_seconds_sum{{path="{path}"}} {sums[path]}')
        lines.append(f'request_seconds_count{{path="{path}"}} {counts[-1]}')
    return PlainTextResponse("\n".join(lines) + "\n")


class Counting:
    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        begin = time.perf_counter()

        async def noting(message):
            if message["type"] == "http.response.start":
                path = scope["path"] if scope["path"] in KNOWN else "unknown"
                observe(path, message["status"], time.perf_counter() - begin)
            await send(message)

        await self.app(scope, receive, noting)


# --- the application ---


async def load_model(state) -> None:
    try:
        model = await asyncio.to_thread(load, MODEL_PATH)
        with open(MODEL_PATH, "rb") as file:
            state.digest = hashlib.file_digest(file, "sha256").hexdigest()
        state.model = model
    except Exception:
        log.exception("No model")
        state.why = "There is no model to be had; an operator has to look."


@contextlib.asynccontextmanager
async def lifespan(app: Starlette):
    app.state.model, app.state.why = None, "Still loading the model."
    task = asyncio.create_task(load_model(app.state))
    yield
    task.cancel()


async def on_refusal(request: Request, error: Refusal) -> Response:
    return problem(error.status, error.detail, error.headers)


async def on_http_error(request: Request, error: HTTPException) -> Response:
    return problem(error.status_code, error.detail, dict(error.headers or {}))


async def on_error(request: Request, error: Exception) -> Response:
    return problem(500, "Something went wrong here.")


app = Starlette(
    routes=[
        Route("/predict", predict, methods=["POST"]),
        Route("/predict/batch", predict_batch, methods=["POST"]),
        Route("/healthz", healthz),
        Route("/readyz", readyz),
        Route("/metrics", metrics),
    ],
    exception_handlers={
        Refusal: on_refusal,
        HTTPException: on_http_error,
        Exception: on_error,
    },
    lifespan=lifespan,
)
app.add_middleware(Counting)
