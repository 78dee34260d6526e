"""An HTTP answer and what can be read from it; whatever a stranger's body holds, ValueError is the worst."""

import json
import math
from dataclasses import dataclass
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from autograder.probes import wire

DEPTH = 100  # of lists and objects within each other; a deeper answer breaks whoever walks through it

Metrics = dict[str, dict[frozenset[tuple[str, str]], float]]


@dataclass(frozen=True)
class Answer:
    """Header names are in lower case, the body is as sent, `seconds` from connecting to the body's end.

    `sent`: bytes of the request the server took before it answered.
    """

    status: int
    headers: dict[str, str]
    body: bytes
    seconds: float
    sent: int

    @classmethod
    def of(cls, answered: wire.Answered) -> "Answer":
        return cls(**vars(answered))

    def json(self) -> Any:
        """The body as JSON, strictly: UTF-8, no NaN or infinity, no name twice in an object.

        Raises ValueError with a phrase on what is wrong: "the body is not JSON: …".
        """
        if encoding := self.headers.get("content-encoding", ""):
            raise ValueError(
                f"the body is compressed ({wire.shown(encoding)}) though nobody asked for that"
            )
        try:
            value = json.loads(
                self.body.decode(),
                object_pairs_hook=_object,
                parse_float=_float,
                parse_constant=_constant,
            )
        except UnicodeDecodeError as error:
            raise ValueError(
                f"the body is not UTF-8 (byte {error.start} of {len(self.body)})"
            ) from None
        except RecursionError:
            raise ValueError("the body nests too deeply for JSON") from None
        except ValueError as error:
            raise ValueError(f"the body is not JSON: {error}") from None
        _refuse_depth(value)
        return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("an object has the same name twice")
    return found


def _float(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise ValueError("a number is too large")
    return number


def _constant(name: str) -> float:
    raise ValueError(f"{name} is not a JSON value")


def _refuse_depth(value: Any) -> None:
    level = [value]
    for _ in range(DEPTH):
        level = [
            item
            for holder in level
            if isinstance(holder, (list, dict))
            for item in (holder.values() if isinstance(holder, dict) else holder)
        ]
        if not level:
            return
    raise ValueError("the body nests too deeply for JSON")


def problem_complaint(answer: Answer) -> str | None:
    """What keeps an answer from being an RFC 9457 problem document, as a sentence, or None."""
    kind = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/problem+json":
        return (
            "Its Content-Type is not application/problem+json "
            f"but {wire.shown(kind) or 'missing'}."
        )
    try:
        document = answer.json()
    except ValueError as error:
        return f"The problem document cannot be read: {error}."
    if not isinstance(document, dict):
        return "The problem document is not a JSON object."
    for name in ("type", "title", "detail"):
        text = document.get(name)
        if not (isinstance(text, str) and text.strip()):
            return f"The problem document has no text under {name!r}."
    status = document.get("status")
    if type(status) is not int or status != answer.status:
        return f"The problem document's 'status' is not the answer's, {answer.status}."
    return None


def metrics(answer: Answer) -> Metrics:
    """Prometheus's text format as {sample name: {labels as (name, value) pairs: value}}.

    Raises ValueError with a phrase on what is wrong, also for a sample given twice, which Prometheus refuses.
    """
    found: Metrics = {}
    try:
        families = list(text_string_to_metric_families(answer.body.decode()))
    except Exception as error:  # the parser trips over garbage in many ways
        raise ValueError(
            f"the body is not in Prometheus's text format: {wire.shown(str(error))}"
        ) from None
    for family in families:
        for sample in family.samples:
            labelled = found.setdefault(sample.name, {})
            labels = frozenset(sample.labels.items())
            if labels in labelled:
                raise ValueError(f"the sample {wire.shown(sample.name)} is given twice")
            labelled[labels] = sample.value
    return found
