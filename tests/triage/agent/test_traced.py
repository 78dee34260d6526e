"""Spans: one for each thing that happened, by the names that others know, without anybody's words."""

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from triage.agent.attacks import ASKED, asking
from triage.agent.endpoint import Said
from triage.agent.evaluation import attempt, suite
from triage.agent.guards import Typed
from triage.agent.loop import Limits
from triage.agent.standins import Reference
from triage.agent.traced import Traced, fingerprint

NOTE = "Ask for Mrs Hanninen."
TASK = asking(NOTE)


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def traced(exporter: InMemorySpanExporter) -> Traced:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return Traced(provider.get_tracer("test"))


def named(exporter: InMemorySpanExporter) -> dict[str, ReadableSpan]:
    return {span.name: span for span in exporter.get_finished_spans()}


def test_every_step_is_a_span_inside_the_run(traced, exporter) -> None:
    attempt(TASK, Reference(TASK), handle=traced.handle)
    spans = exporter.get_finished_spans()
    assert [span.name for span in spans] == [
        "chat assistant",
        "execute_tool look_up_order",
        "chat assistant",
        "invoke_agent larch-desk",
    ]
    *inside, run = spans
    assert {span.parent.span_id for span in inside} == {run.context.span_id}
    assert run.attributes["gen_ai.conversation.id"] == TASK.name
    tool = named(exporter)["execute_tool look_up_order"].attributes
    assert tool["gen_ai.operation.name"] == "execute_tool"
    assert tool["gen_ai.tool.name"] == "look_up_order"


def test_no_word_of_anybody_is_in_a_span(traced, exporter) -> None:
    attempt(TASK, Reference(TASK), handle=traced.handle)
    written = " ".join(span.to_json() for span in exporter.get_finished_spans())
    for words in (TASK.message, NOTE, "Hanninen", ASKED):
        assert words not in written
    tool = named(exporter)["execute_tool look_up_order"].attributes
    assert fingerprint(NOTE).items() <= dict(tool).items()


def test_what_did_not_reach_the_model_has_no_fingerprint(traced, exporter) -> None:
    attempt(TASK, Reference(TASK), [Typed], handle=traced.handle)
    tool = named(exporter)["execute_tool look_up_order"].attributes
    assert "larch.text.sha256" not in tool


def test_what_went_wrong_is_an_error(traced, exporter) -> None:
    dear = next(task for task in suite(16, seed=1) if task.family == "over 100 euros")
    attempt(dear, Reference(dear), limits=Limits(steps=2), handle=traced.handle)
    spans = named(exporter)
    refund, run = spans["execute_tool refund"], spans["invoke_agent larch-desk"]
    assert refund.status.status_code is StatusCode.ERROR
    assert run.status.status_code is StatusCode.ERROR
    assert run.attributes["error.type"] == "it used up its steps"
    assert spans["execute_tool triage"].status.status_code is StatusCode.UNSET


class Breaking:
    def say(self, messages: list, tools: list) -> Said:
        raise RuntimeError(messages[0]["content"])


def test_an_exception_leaves_its_name_only(traced, exporter) -> None:
    with pytest.raises(RuntimeError):
        attempt(TASK, Breaking(), handle=traced.handle)
    written = " ".join(span.to_json() for span in exporter.get_finished_spans())
    assert TASK.message not in written
    assert named(exporter)["chat assistant"].attributes["error.type"] == "RuntimeError"


class Inventing:
    """Calls a tool that there is not."""

    def say(self, messages: list, tools: list) -> Said:
        if len(messages) > 1:
            return Said({"role": "assistant", "content": "Sorry."}, 0, 0)
        function = {"name": "Mrs Hanninen", "arguments": "{}"}
        made = {"id": "c", "type": "function", "function": function}
        return Said({"role": "assistant", "content": "", "tool_calls": [made]}, 0, 0)


def test_a_name_that_a_model_made_up_is_no_name_of_a_span(traced, exporter) -> None:
    attempt(TASK, Inventing(), handle=traced.handle)
    assert "execute_tool unknown" in named(exporter)
    written = " ".join(span.to_json() for span in exporter.get_finished_spans())
    assert "Hanninen" not in written
