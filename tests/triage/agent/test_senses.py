"""Hosted services behind one contract: what they understand, what they may get, what they cost."""

import json

import httpx
import pytest
from openai import OpenAI

from triage.agent.events import nothing, reduce
from triage.agent.senses import NotAllowed, Sense, StandIn, Terms, Transcriber, hear

NEAR = Terms(region="eu", keeps=False, cents=0.04, least=15)


def transcriber(requests: list[httpx.Request], terms: Terms = NEAR) -> Transcriber:
    """The adapter before a service that answers from here."""
    told = [
        {"type": "transcript.text.delta", "delta": "Where is "},
        {"type": "transcript.text.delta", "delta": "my hat"},
        {"type": "transcript.text.done", "text": "Where is my mat?"},
    ]

    def answer(request: httpx.Request) -> httpx.Response:
        request.read()
        requests.append(request)
        body = "".join(f"data: {json.dumps(each)}\n\n" for each in told)
        headers = {"Content-Type": "text/event-stream"}
        return httpx.Response(200, text=f"{body}data: [DONE]\n\n", headers=headers)

    http = httpx.Client(transport=httpx.MockTransport(answer))
    client = OpenAI(base_url="http://speech/v1", api_key="none", http_client=http)
    return Transcriber(client, "small", terms)


def test_the_service_and_the_stand_in_keep_the_same_contract() -> None:
    stand_in = StandIn("Where is ", "Where is my hat", "Where is my mat?", terms=NEAR)
    senses: list[Sense] = [transcriber([]), stand_in]
    first, second = ([*hear(sense, b"sound", ["eu"])] for sense in senses)
    assert first == second
    assert [heard.final for heard in first] == [False, False, True]


def test_the_recording_is_what_is_sent() -> None:
    requests: list[httpx.Request] = []
    list(hear(transcriber(requests), b"sound", ["eu"]))
    assert requests[0].url.path == "/v1/audio/transcriptions"
    assert b"sound" in requests[0].content


@pytest.mark.parametrize(
    "terms",
    [
        Terms(region="elsewhere", keeps=False, cents=0.04),
        Terms(region="eu", keeps=True, cents=0.04),
    ],
)
def test_where_the_terms_are_not_ours_nothing_is_sent(terms: Terms) -> None:
    requests: list[httpx.Request] = []
    with pytest.raises(NotAllowed):
        hear(transcriber(requests, terms), b"sound", ["eu"])
    assert requests == []


@pytest.mark.parametrize(("seconds", "billed"), [(0.2, 15), (15, 15), (15.1, 16)])
def test_a_short_recording_costs_the_least(seconds: float, billed: int) -> None:
    assert NEAR.cost(seconds) == pytest.approx(billed * 0.04)


def test_a_page_that_does_not_know_it_skips_it() -> None:
    heard = next(hear(transcriber([]), b"sound", ["eu"]))
    assert reduce(nothing(), heard.model_dump()) == nothing()
