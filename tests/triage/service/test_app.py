"""The service's contract, over HTTP, in this process."""

import asyncio
import inspect
from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from triage.cli import serve
from triage.model import TriageModel
from triage.service.app import WARM_UP, create_app
from triage.service.batching import Batcher
from triage.service.contract import MESSAGE_LIMIT, Answer
from triage.service.disconnects import CancelOnDisconnect
from triage.service.limits import BODY_LIMIT, BodyLimit
from triage.service.metrics import Measure, Metrics
from triage.service.problems import Overloaded
from triage.service.server import GRACE_SECONDS

SHA256 = "ab" * 32


@pytest.fixture(scope="module")
def client(model: TriageModel) -> Iterator[TestClient]:
    with TestClient(create_app(model, SHA256), raise_server_exceptions=False) as client:
        yield client


def test_a_message_gets_an_intent_and_says_which_model_answered(
    client: TestClient, model: TriageModel
) -> None:
    response = client.post(
        "/predict", json={"message": "Please send me the invoice for order 18220."}
    )
    assert response.status_code == 200
    answer = Answer.model_validate(response.json())
    assert answer.intent == "invoice_request"
    assert answer.confidence > max(choice.confidence for choice in answer.alternatives)
    assert answer.model.sha256 == SHA256
    assert answer.model.data_digest == model.card.data_digest


@pytest.mark.parametrize(
    "message", ["?", "🙂", "x" * MESSAGE_LIMIT, "a\nb\x00c", "قهوة", "\u202eabc"]
)
def test_odd_messages_are_answered(client: TestClient, message: str) -> None:
    assert client.post("/predict", json={"message": message}).status_code == 200


@pytest.mark.parametrize(
    ("body", "status", "kind"),
    [
        (b"", 422, "invalid-request"),
        (b"{", 400, "malformed-json"),
        (b'{"message": "\xff\xfe"}', 400, "malformed-json"),
        (b'{"message": "\\ud800"}', 422, "invalid-request"),
        (b"[]", 422, "invalid-request"),
        (b"null", 422, "invalid-request"),
        (b"{}", 422, "invalid-request"),
        (b'{"message": null}', 422, "invalid-request"),
        (b'{"message": 7}', 422, "invalid-request"),
        (b'{"message": ""}', 422, "invalid-request"),
        (b'{"message": " \\n\\t "}', 422, "invalid-request"),
        ('{"message": "\u200b\ufeff"}'.encode(), 422, "invalid-request"),
        (b'{"message": "a", "extra": 1}', 422, "invalid-request"),
        (b'{"message": "' + b"a" * (MESSAGE_LIMIT + 1) + b'"}', 422, "invalid-request"),
        (b'{"message": "' + b"a" * 1_000_000 + b'"}', 413, "body-too-large"),
        (b"[" * 50_000, 400, "malformed-json"),
    ],
)
def test_bad_requests_are_problems(
    client: TestClient, body: bytes, status: int, kind: str
) -> None:
    response = client.post(
        "/predict", content=body, headers={"content-type": "application/json"}
    )
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert problem["type"] == f"urn:triage:problem:{kind}"
    assert problem["status"] == status
    assert problem["detail"]
    assert "Traceback" not in response.text


def test_a_body_of_unknown_length_is_cut_off(client: TestClient) -> None:
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        while sent < 100 * BODY_LIMIT:
            sent += 1024
            yield b"a" * 1024

    response = client.post(
        "/predict", content=endless(), headers={"content-type": "application/json"}
    )
    assert response.status_code == 413
    assert response.headers["connection"] == "close"


def test_a_body_that_never_ends_is_refused() -> None:
    """Half a body, then silence: the client must not hold a connection, or a shutdown, for ever."""
    statuses: list[int] = []

    async def receive() -> dict:
        if not statuses:
            statuses.append(0)
            return {"type": "http.request", "body": b"{", "more_body": True}
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: dict) -> None:
        statuses.append(message.get("status", 0))

    async def unreachable(scope, receive, send) -> None:
        raise AssertionError("the application was called without a body")

    asyncio.run(
        BodyLimit(unreachable, seconds=0.01)(
            {"type": "http", "method": "POST"}, receive, send
        )
    )
    assert 408 in statuses


def test_a_client_that_leaves_stops_its_work_and_is_counted() -> None:
    """Both while its body is on the way and while its answer is being computed."""
    metrics = Metrics()
    cancelled: list[bool] = []

    async def slow(scope, receive, send) -> None:
        assert (await receive())["body"] == b"{}"
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    async def send(message: dict) -> None:
        raise AssertionError("there is nobody to answer")

    def client(*messages: dict):
        left = iter([*messages, {"type": "http.disconnect"}])

        async def receive() -> dict:
            return next(left)

        return receive

    app = Measure(BodyLimit(CancelOnDisconnect(slow)), metrics)
    scope = {"type": "http", "method": "POST"}
    half, whole = (
        {"type": "http.request", "body": body, "more_body": body == b"{"}
        for body in (b"{", b"{}")
    )
    asyncio.run(app(scope, client(half), send))
    assert cancelled == []
    asyncio.run(app(scope, client(whole), send))
    assert cancelled == [True]
    assert metrics.requests.labels("POST", "unknown", "none")._value.get() == 2


def test_who_stops_the_service_is_not_taken_for_a_client_that_left() -> None:
    """A cancelled server must end, and a client that left must not end the server."""

    async def slow(scope, receive, send) -> None:
        await asyncio.Event().wait()

    async def receive() -> dict:
        if not asked:
            asked.append(True)
            return {"type": "http.request", "body": b"{}"}
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: dict) -> None:
        raise AssertionError("there is nobody to answer")

    async def main() -> None:
        app = CancelOnDisconnect(slow)
        serving = asyncio.create_task(app({"type": "http"}, receive, send))
        while not asked:
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        serving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await serving
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asked: list[bool] = []
    asyncio.run(main())


def test_a_form_is_told_to_be_json(client: TestClient) -> None:
    response = client.post("/predict", data={"message": "hello"})
    assert response.status_code == 422
    assert "application/json" in response.json()["detail"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/predict", 405), ("GET", "/nothing", 404), ("POST", "/healthz", 405)],
)
def test_wrong_doors_are_problems_too(
    client: TestClient, method: str, path: str, status: int
) -> None:
    response = client.request(method, path)
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"


def test_liveness_and_readiness_differ(model: TriageModel) -> None:
    app = create_app(model, SHA256)
    with TestClient(app) as client:
        assert client.get("/readyz").status_code == 200
        app.state.ready = False  # what the server does on SIGTERM
        assert client.get("/readyz").json()["type"] == "urn:triage:problem:not-ready"
        assert client.get("/healthz").status_code == 200
        assert (
            client.post("/predict", json={"message": "late"}).status_code == 200
        )  # accepted work is done


def test_the_parts_stand_in_this_order(model: TriageModel) -> None:
    """Measure sees everything; BodyLimit reads the body that CancelOnDisconnect needs whole."""
    stack = [part.cls for part in create_app(model, SHA256).user_middleware]
    assert stack == [Measure, BodyLimit, CancelOnDisconnect]


def test_the_first_prediction_is_nobody_elses(model: TriageModel, monkeypatch) -> None:
    seen: list[list[str]] = []
    predict = model.predict
    monkeypatch.setattr(
        model, "predict", lambda texts: seen.append(texts) or predict(texts)
    )
    with TestClient(create_app(model, SHA256)) as client:
        assert seen == [[WARM_UP]]
        client.post("/predict", json={"message": "late"})
    assert seen == [[WARM_UP], ["late"]]


def test_overload_is_a_503_that_says_when_to_come_back(
    model: TriageModel, monkeypatch
) -> None:
    async def full(batcher: Batcher, message: str) -> None:
        raise Overloaded

    with TestClient(create_app(model, SHA256)) as client:
        monkeypatch.setattr(Batcher, "submit", full)
        response = client.post("/predict", json={"message": "late"})
    assert response.status_code == 503
    assert response.headers["retry-after"] == "1"
    assert response.json()["type"] == "urn:triage:problem:overloaded"


def test_stopping_fits_into_what_kubernetes_grants() -> None:
    default_drain = inspect.signature(serve).parameters["drain"].default
    assert GRACE_SECONDS + default_drain < 30


def test_metrics_count_requests_and_predictions(model: TriageModel) -> None:
    with TestClient(create_app(model, SHA256)) as client:
        answer = client.post(
            "/predict", json={"message": "the parcel is overdue"}
        ).json()
        client.post("/predict", json={"message": ""})
        client.post("/predict", content=b"a" * (BODY_LIMIT + 1))
        client.get("/a/scan/of/random/paths")
        client.request("RANDOM", "/predict")
        text = client.get("/metrics").text
    assert (
        'http_requests_total{method="POST",route="/predict",status="200"} 1.0' in text
    )
    assert (
        'http_requests_total{method="POST",route="/predict",status="422"} 1.0' in text
    )
    assert 'route="unknown",status="413"} 1.0' in text
    assert 'route="unknown",status="404"} 1.0' in text
    assert (
        'http_requests_total{method="other",route="/predict",status="405"} 1.0' in text
    )
    assert "random" not in text.lower()
    assert 'triage_predictions_total{intent="delivery_late"} 1.0' in text
    assert f"triage_confidence_sum {answer['confidence']}" in text
    assert "triage_batch_size_count 2.0" in text  # the warm-up, and the one message
    assert 'http_request_duration_seconds_count{route="/predict"} 3.0' in text
    assert "triage_waiting_messages 0.0" in text


def test_a_failure_inside_is_a_problem_without_details(
    model: TriageModel, monkeypatch
) -> None:
    app = create_app(model, SHA256)
    with TestClient(app, raise_server_exceptions=False) as client:
        monkeypatch.setattr(model.encoder, "encode", lambda texts: 1 / 0)
        response = client.post("/predict", json={"message": "late"})
        assert response.status_code == 500
        counted = client.get("/metrics").text
        assert (
            'http_requests_total{method="POST",route="/predict",status="500"} 1.0'
            in counted
        )
        assert 'triage_promises_total{kept="no"} 1.0' in counted
        assert 'triage_promises_total{kept="yes"} 0.0' in counted
        assert response.json()["type"] == "urn:triage:problem:internal"
        assert "division" not in response.text
        monkeypatch.undo()
        assert client.post("/predict", json={"message": "late"}).status_code == 200


def test_the_contract_is_published(client: TestClient) -> None:
    contract = client.get("/openapi.json").json()
    message = contract["components"]["schemas"]["Request"]["properties"]["message"]
    assert message["maxLength"] == MESSAGE_LIMIT
    assert set(contract["paths"]) == {"/predict", "/healthz", "/readyz"}
    responses = contract["paths"]["/predict"]["post"]["responses"]
    assert set(responses) == {"200", "400", "408", "413", "422", "500", "503"}
    for status, response in responses.items():
        assert list(response["content"]) == [
            "application/json" if status == "200" else "application/problem+json"
        ]
