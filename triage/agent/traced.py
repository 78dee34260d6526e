"""Spans of a run, by OpenTelemetry's names: the run, each answer of the model, each call of a tool.

No message, argument or result is in a span, since anybody may have written them. A length and a fingerprint
stand for the customer's message, and for the free text in a result.
"""

import contextlib
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from opentelemetry.semconv._incubating.attributes import gen_ai_attributes as names
from opentelemetry.semconv.attributes.error_attributes import ERROR_TYPE
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer

from triage.agent import guards
from triage.agent.dialogues import Message
from triage.agent.endpoint import Model, Said
from triage.agent.guards import FREE, LIMITS, Guard, Layer
from triage.agent.loop import End, Limits, Run
from triage.agent.toolbox import Toolbox

AGENT = "larch-desk"


# region fingerprint
def fingerprint(text: str) -> dict[str, Any]:
    """What a span may know of a text: enough to find the same one again."""
    digest = hashlib.sha256(text.encode()).hexdigest()[:12]
    return {"larch.text.length": len(text), "larch.text.sha256": digest}


# endregion fingerprint


# region spans
@contextlib.contextmanager
def operation(tracer: Tracer, kind: str, what: str) -> Iterator[Span]:
    """A span. Of an exception it keeps the name: its words may be anybody's."""
    with tracer.start_as_current_span(
        f"{kind} {what}",
        kind=SpanKind.CLIENT if kind == "chat" else SpanKind.INTERNAL,
        attributes={names.GEN_AI_OPERATION_NAME: kind},
        record_exception=False,
        set_status_on_exception=False,
    ) as span:
        try:
            yield span
        except Exception as error:
            failed(span, type(error).__name__)
            raise


def failed(span: Span, why: str) -> None:
    span.set_attribute(ERROR_TYPE, why)
    span.set_status(Status(StatusCode.ERROR, why))


@dataclass(frozen=True)
class Traced:
    """The loop with its guards, and a span for all that happens in it."""

    tracer: Tracer
    model_name: str = "assistant"

    def handle(
        self,
        thread: str,
        message: str,
        model: Model,
        tools: Toolbox,
        around: Sequence[Guard],
        limits: Limits = LIMITS,
    ) -> Run:
        """As `guards.handle`."""
        with operation(self.tracer, "invoke_agent", AGENT) as span:
            span.set_attribute(names.GEN_AI_AGENT_NAME, AGENT)
            span.set_attribute(names.GEN_AI_CONVERSATION_ID, thread)
            span.set_attributes(fingerprint(message))
            talking = TracedModel(self.tracer, self.model_name, model)
            state = guards.handle(
                thread, message, talking, tools, [*around, self.tools], limits
            )
            span.set_attribute("larch.run.steps", state.steps)
            if state.ended is not End.ANSWERED:
                failed(span, str(state.ended))
        return state

    def tools(self, inner: Toolbox | Layer, message: str) -> Layer:
        """A guard that guards nothing, and looks."""
        return TracedTools(inner, message, self.tracer)


@dataclass(frozen=True)
class TracedModel:
    """A model, and a span for each of its answers."""

    tracer: Tracer
    name: str
    model: Model

    def say(self, messages: list[Message], tools: list[Message]) -> Said:
        with operation(self.tracer, "chat", self.name) as span:
            span.set_attribute(names.GEN_AI_REQUEST_MODEL, self.name)
            span.set_attribute(names.GEN_AI_PROVIDER_NAME, AGENT)
            said = self.model.say(messages, tools)
            span.set_attribute(names.GEN_AI_USAGE_INPUT_TOKENS, said.prompt_tokens)
            span.set_attribute(names.GEN_AI_USAGE_OUTPUT_TOKENS, said.answer_tokens)
        return said


class TracedTools(Layer):
    """The tools, and a span for each call."""

    def __init__(self, inner: Toolbox | Layer, message: str, tracer: Tracer):
        super().__init__(inner, message)
        self.tracer = tracer
        self.known = {tool["function"]["name"] for tool in self.schemas}

    def call(self, name: str, arguments: dict, bound: dict) -> dict[str, Any]:
        tool = name if name in self.known else "unknown"
        with operation(self.tracer, "execute_tool", tool) as span:
            span.set_attribute(names.GEN_AI_TOOL_NAME, tool)
            span.set_attribute(names.GEN_AI_TOOL_TYPE, "function")
            result = super().call(name, arguments, bound)
            free = " ".join(str(result[field]) for field in FREE if field in result)
            if free:
                span.set_attributes(fingerprint(free))
            if "error" in result:
                failed(span, "refused")
        return result


# endregion spans
