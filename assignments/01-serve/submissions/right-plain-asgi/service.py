"""The contract as one ASGI function: no framework, nothing but the standard library and the model."""

import asyncio
import hashlib
import json
import os
import sys
import threading
import time
from collections import Counter
from http import HTTPStatus

import model as given

MODEL_PATH = os.environ.get("MODEL_PATH", "model.safetensors")
METHODS = {
    "/predict": "POST",
    "/predict/batch": "POST",
    "/healthz": "GET",
    "/readyz": "GET",
    "/metrics": "GET",
}
JSON = b"application/json"
EDGES = (0.01, 0.1, 1.0, 10.0)


requests: Counter = Counter()
buckets: Counter = Counter()
sums: Counter = Counter()
counts: Counter = Counter()


class State:
    model = None
    digest = ""
    why = "loading"


class Error(Exception):
    """An answer that is not the one hoped for."""


def load() -> None:
    try:
        State.model = given.load(MODEL_PATH)
        with open(MODEL_PATH, "rb") as file:
            State.digest = hashlib.sha256(file.read()).hexdigest()
        State.why = ""
    except (OSError, ValueError) as error:
        print("no model:", error, file=sys.stderr)
        State.why = "unusable model"


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        return await lifespan(receive, send)
    if scope["type"] != "http":
        raise NotImplementedError(scope["type"])
    begin = time.perf_counter()
    try:
        status, (kind, body), extra = 200, await answer(scope, receive), []
    except Error as error:
        status, detail, *extra = error.args
        title = HTTPStatus(status).phrase
        body = json.dumps(
            {
                "type": f"/problems/{status}",
                "title": title,
                "status": status,
                "detail": detail,
            }
        ).encode()
        kind = b"application/problem+json"
    path = scope["path"] if scope["path"] in METHODS else "(other)"
    took = time.perf_counter() - begin
    requests[path, status] += 1
    counts[path] += 1
    sums[path] += took
    for edge in EDGES:
        buckets[path, edge] += took <= edge
    headers = [(b"content-type", kind), *extra]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def lifespan(receive, send):
    while True:
        event = (await receive())["type"]
        if event == "lifespan.startup":
            threading.Thread(target=load, daemon=True).start()
        await send({"type": f"{event}.complete"})
        if event == "lifespan.shutdown":
            return


async def answer(scope, receive):
    """Content-Type and body of a good answer. Raises Error."""
    path = scope["path"]
    if path not in METHODS:
        raise Error(404, "No such path.")
    if scope["method"] != METHODS[path]:
        allow = (b"allow", METHODS[path].encode())
        raise Error(405, f"Use {METHODS[path]}.", allow)
    if path == "/healthz":
        return JSON, b'"alive"'
    if path == "/readyz":
        if State.why:
            raise Error(503, f"Not ready: {State.why}.")
        return JSON, b'"ready"'
    if path == "/metrics":
        return b"text/plain; version=0.0.4", exposition().encode()
    messages = read_messages(await read_body(receive), path)
    if State.why:
        raise Error(503, f"Cannot answer: {State.why}.", (b"retry-after", b"3"))
    loop = asyncio.get_running_loop()
    predictions = await loop.run_in_executor(None, State.model.predict, messages)
    found = [
        {
            "intent": p.intent,
            "confidence": round(p.confidence, 4),
            "model": State.digest,
        }
        for p in predictions
    ]
    body = {"predictions": found} if path == "/predict/batch" else found[0]
    return JSON, json.dumps(body).encode()


async def read_body(receive) -> bytes:
    parts, size, more = [], 0, True
    while more:
        event = await receive()
        parts.append(event.get("body", b""))
        size += len(parts[-1])
        more = event.get("more_body", False)
        if size > 65536:
            raise Error(413, "Too much.", (b"connection", b"close"))
    return b"".join(parts)


def read_messages(body: bytes, path: str) -> list[str]:
    try:
        value = json.loads(body.decode())
    except (ValueError, RecursionError):
        raise Error(400, "That is not JSON.") from None
    name = "messages" if path == "/predict/batch" else "message"
    if not isinstance(value, dict) or list(value) != [name]:
        raise Error(422, f"An object with {name}, and nothing else, is expected.")
    messages = value[name] if name == "messages" else [value[name]]
    if not isinstance(messages, list) or not 0 < len(messages) < 65:
        raise Error(422, "1 to 64 messages are expected.")
    for message in messages:
        if not isinstance(message, str) or not message.strip() or len(message) > 2000:
            raise Error(422, "A message is a text of up to 2000 characters.")
    return messages


def exposition() -> str:
    lines = ["# TYPE requests_total counter"]
    for (path, status), count in requests.items():
        lines.append(f'requests_total{{status="{status}",path="{path}"}} {count}')
    lines.append("# TYPE request_seconds histogram")
    for path, count in counts.items():
        for edge in EDGES:
            below = buckets[path, edge]
            lines.append(f'request_seconds_bucket{{path="{path}",le="{edge}"}} {below}')
        lines.append(f'request_seconds_bucket{{path="{path}",le="+Inf"}} {count}')
        lines.append(f'request_seconds_sum{{path="{path}"}} {sums[path]}')
        lines.append(f'request_seconds_count{{path="{path}"}} {count}')
    return "\n".join(lines) + "\n"
