"""Reading what a service answered, and saying it in the learner's words."""

import json
from typing import Any

from autograder.errors import LearnerError
from autograder.probes.http import Answer, Client, Failure

from . import bench
from .bench import MESSAGE, Loading, Service

# From the first answer until a service whose model cannot be loaded has found that out.
RESIGNED_SECONDS = 6


def said(answer: Answer | None, trouble: str) -> str:
    return f"answered {answer.status}" if answer else f"gave no answer ({trouble})"


def and_more(count: int) -> str:
    """What to add to the first of so many findings."""
    if count < 2:
        return ""
    return f" {count - 1} more case{'s' if count > 2 else ''} went wrong."


def listed(body: dict) -> str:
    return ", ".join(sorted(shown(key, 20) for key in body)[:8]) or "none"


def shown(value: Any, limit: int = 80) -> str:
    """A stranger's JSON value as ASCII: half a surrogate pair would keep the verdict from being written."""
    text = json.dumps(value)
    return text if len(text) <= limit else f"{text[:limit]}…"


def is_number(value: Any) -> bool:
    return type(value) in (int, float)  # a bool is an int to isinstance


def media_type(answer: Answer) -> str:
    return answer.headers.get("content-type", "").split(";")[0].strip().lower()


def parsed(answer: Answer) -> Any:
    try:
        return answer.json()
    except ValueError as error:
        raise LearnerError(
            f"An answer with status {answer.status} is not JSON.",
            "Return JSON; a framework does so for dictionaries and lists.",
        ) from error


def intent_of(answer: Answer | Failure) -> Any:
    """The intent in a good answer to /predict, or None."""
    if isinstance(answer, Failure) or answer.status != 200:
        return None
    try:
        body = answer.json()
    except ValueError:
        return None
    return body.get("intent") if isinstance(body, dict) else None


def predicted(answer: Answer) -> dict:
    """The object in an answer to /predict. Raises LearnerError if there is none."""
    if answer.status != 200:
        raise LearnerError(
            f"POST /predict with a good message answered {answer.status}.",
            'Send {"message": "Where is my parcel?"} yourself and read the log of the service.',
        )
    body = parsed(answer)
    if not isinstance(body, dict):
        raise LearnerError(
            "POST /predict answered JSON that is not an object.",
            "Answer with an object that has the fields intent, confidence and model.",
        )
    return body


def without_model(service: Service, loading: Loading) -> str:
    """What is wrong with a service whose model will never come; "" if nothing is.

    What it does wrong while a model is being loaded has cost it points in other checks, and costs none here
    as long as there is something that it does right.
    """
    client = service.client
    if (health := client.get("/healthz")).status != 200:
        return f"GET /healthz answered {health.status}."
    if loading.kept("/readyz") or not loading.kept("/predict"):
        hopeful = loading.seen["/readyz"].answer
        if not bench.wait_for(lambda: resigned(client, hopeful), RESIGNED_SECONDS):
            return "GET /readyz says for ever that the model is being loaded."
        if (readiness := client.get("/readyz")).status != 503:
            return f"GET /readyz answered {readiness.status}."
    if not loading.kept("/predict"):
        return ""
    status = service.ask(MESSAGE).status
    return "" if status == 503 else f"POST /predict answered {status}."


def resigned(client: Client, hopeful: Answer | None) -> bool:
    """Whether /readyz no longer says what it said while there was hope."""
    if hopeful is None or hopeful.status != 503:
        return True
    return detail(client.get("/readyz")) != detail(hopeful)


def detail(answer: Answer) -> str:
    """What an error says is the matter: its detail, or the whole body where there is none."""
    try:
        body = answer.json()
    except ValueError:
        body = None
    if isinstance(body, dict) and isinstance(body.get("detail"), str):
        return body["detail"]
    return answer.body.decode(errors="replace")
