"""FastAPI once more, with other means: a pool of its own, bodies as streams, middleware as a function."""

import asyncio
import hashlib
import json
import os
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse, PlainTextResponse
from model import load
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from pydantic import BaseModel, ValidationError, conlist, constr, field_validator
from starlette.exceptions import HTTPException as StarletteHTTPException

POOL = ThreadPoolExecutor(16)
MODEL_FILE = os.getenv("MODEL_PATH", "model.safetensors")
loaded: asyncio.Future | None = None


def load_with_digest():
    model = load(MODEL_FILE)
    with open(MODEL_FILE, "rb") as file:
        return model, hashlib.file_digest(file, "sha256").hexdigest()


@asynccontextmanager
async def lifespan(app: FastAPI):
    global loaded
    loaded = asyncio.get_running_loop().run_in_executor(POOL, load_with_digest)
    yield
    POOL.shutdown(wait=False)


app = FastAPI(lifespan=lifespan, openapi_url=None, redirect_slashes=False)
registry = CollectorRegistry()
count = Counter("requests_total", "Answers", ["status", "path"], registry=registry)
timing = Histogram("request_seconds", "Time taken", ["path"], registry=registry)
TITLES = {400: "Bad Request", 404: "Not Found", 405: "Method Not Allowed"}
TITLES |= {413: "Too Large", 422: "Not Processable", 503: "Not Ready"}


@app.exception_handler(StarletteHTTPException)
async def as_problem(request, error):
    document = {
        "type": f"https://errors.larch.example/{error.status_code}",
        "title": TITLES.get(error.status_code, "Error"),
        "status": error.status_code,
        "detail": str(error.detail),
    }
    return JSONResponse(
        document, error.status_code, error.headers, "application/problem+json"
    )


@app.middleware("http")
async def count_and_time(request: Request, call_next):
    begin = time.monotonic()
    response = await call_next(request)
    route = request.scope.get("route")
    path = route.path if route else "unknown"
    count.labels(response.status_code, path).inc()
    timing.labels(path).observe(time.monotonic() - begin)
    return response


def get_model():
    if not loaded.done():
        raise HTTPException(503, "Come back in a few seconds.", {"Retry-After": "5"})
    if loaded.exception():
        print("no model:", repr(loaded.exception()), flush=True)
        raise HTTPException(503, "No model to load.", {"Retry-After": "300"})
    return loaded.result()


class Message(BaseModel, extra="forbid", strict=True):
    message: constr(max_length=2000)

    @field_validator("message")
    @classmethod
    def not_blank(cls, message):
        if message.isspace() or not message:
            raise ValueError("blank")
        return message


class Messages(BaseModel, extra="forbid", strict=True):
    messages: conlist(
        constr(max_length=2000, pattern=r"\S"), min_length=1, max_length=64
    )


async def body_of(request: Request) -> object:
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > 65536:
            raise HTTPException(413, "64 KiB at most.", {"Connection": "close"})
    try:
        return json.loads(body.decode())
    except (ValueError, RecursionError) as error:
        raise HTTPException(400, "Send JSON.") from error


def checked(kind, body):
    try:
        return kind.model_validate(body)
    except ValidationError as error:
        wrong = ".".join(map(str, error.errors()[0]["loc"])) or "body"
        raise HTTPException(422, f"Not as agreed: {wrong}") from error


async def predictions(messages):
    model, digest = get_model()
    loop = asyncio.get_running_loop()
    found = await loop.run_in_executor(POOL, model.predict, messages)
    return [vars(one) | {"model": digest} for one in found]


@app.post("/predict")
async def predict(body: object = Depends(body_of)):
    return (await predictions([checked(Message, body).message]))[0]


@app.post("/predict/batch")
async def predict_batch(body: object = Depends(body_of)):
    return {"predictions": await predictions(checked(Messages, body).messages)}


@app.get("/healthz")
async def healthz():
    return "ok"


@app.get("/readyz", dependencies=[Depends(get_model)])
async def readyz():
    return "ok"


@app.get("/metrics")
async def metrics():
    return PlainTextResponse(generate_latest(registry))
