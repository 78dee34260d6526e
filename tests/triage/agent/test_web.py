"""The app: who may do what, what is sent twice, what is cancelled, and what goes on when nobody listens."""

import json
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient
from openai import OpenAI

from triage.agent import web
from triage.agent.desk import APPROVAL, Desk, Order
from triage.agent.events import folded
from triage.agent.planning import ModelPlanner, Plan, Planner, ScriptedPlanner, Ticket
from triage.agent.web import Person, create_app, prepared, thinking
from triage.agent.writing import ModelWriter, ScriptedWriter, Writer
from triage.errors import TriageError

CHEAP = Order("LR-11111", "C-1", "lamp", 2_500, "packed", "Monday", held=False)
DEAR = Order("LR-22222", "C-1", "tent", APPROVAL + 10, "packed", "Friday", held=False)
PEOPLE = {
    "one": Person(name="C-1", role="customer"),
    "two": Person(name="C-2", role="customer"),
    "robin": Person(name="Robin", role="approver"),
}
Open = Callable[..., TestClient]


def by(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    desk = Desk.create(tmp_path / "desk.db", orders=0)
    for order in (CHEAP, DEAR):
        desk.add(order)
    return desk


@pytest.fixture
def opened(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> Iterator[Open]:
    """A client of an app in the desk's folder; opened again, it is the app after a restart."""
    clients: list[TestClient] = []

    def open(
        planner: Planner | None = None, writer: Writer | None = None
    ) -> TestClient:
        close()
        app = create_app(
            desk.path.parent,
            PEOPLE,
            planner or ScriptedPlanner(),
            writer or ScriptedWriter(pace=0),
            beat=0.2,
        )
        clients.append(TestClient(app).__enter__())
        app.state.runs.pause = 0.001
        return clients[-1]

    def close() -> None:
        while clients:
            clients.pop().__exit__(None, None, None)

    yield open
    close()


def asks(client: TestClient, text: str, token: str = "one") -> str:
    thread = str(uuid.uuid4())
    asked = client.post(
        "/threads", json={"id": thread, "text": text}, headers=by(token)
    )
    assert asked.status_code == 201
    return thread


def refund_of(order: Order) -> str:
    return f"The {order.item} of {order.number} is broken. My money back, please."


def view(client: TestClient, thread: str, token: str = "one") -> dict[str, Any]:
    return client.get(f"/threads/{thread}", headers=by(token)).json()


def until(client: TestClient, thread: str, *states: str) -> dict[str, Any]:
    deadline = time.monotonic() + 30
    while (seen := view(client, thread))["state"] not in states:
        assert time.monotonic() < deadline, seen
        time.sleep(0.01)
    return seen


def kinds(desk: Desk) -> list[str]:
    return [effect.kind for effect in desk.effects()]


# The way


def test_a_refund_goes_on_though_nobody_listens(opened: Open, desk: Desk) -> None:
    client = opened()
    seen = until(client, asks(client, refund_of(CHEAP)), "answered")
    assert seen["outcome"] == "refunded 25.00"
    assert refund_of(CHEAP) in seen["reply"]
    tools = [step["tool"] for step in seen["steps"]]
    assert tools == ["planner", "look_up", "hold", "reviewer", "refund"]
    assert all(step["said"] for step in seen["steps"])
    assert kinds(desk) == ["hold", "refund"]


def test_the_stream_is_what_the_view_is_made_of(opened: Open) -> None:
    client = opened()
    thread = asks(client, refund_of(CHEAP))
    with client.stream("GET", f"/threads/{thread}/events", headers=by("one")) as told:
        lines = list(told.iter_lines())
    assert told.headers["content-type"].startswith("text/event-stream")
    data = [line[6:] for line in lines if line.startswith("data: ") and len(line) > 9]
    assert folded(map(json.loads, data)) == view(client, thread)
    ids = [int(line[4:]) for line in lines if line.startswith("id: ")]
    assert ids == sorted(set(ids))

    path = f"/threads/{thread}/events"
    middle = by("one") | {"Last-Event-ID": str(ids[3])}
    with client.stream("GET", f"{path}?after=0", headers=middle) as rest:
        told_ids = [line[4:] for line in rest.iter_lines() if line.startswith("id: ")]
    assert [int(each) for each in told_ids] == ids[4:]
    with client.stream("GET", f"{path}?after={ids[3]}", headers=by("one")) as rest:
        assert [each for each in rest.iter_lines() if each.startswith("id: ")] == [
            f"id: {each}" for each in ids[4:]
        ]
    over = client.get(path, headers=by("one") | {"Last-Event-ID": str(ids[-1])})
    assert over.status_code == 204  # which ends a browser's reconnecting


def test_a_double_click_is_one_refund(opened: Open, desk: Desk) -> None:
    client = opened()
    asked = {"id": str(uuid.uuid4()), "text": refund_of(CHEAP)}
    statuses = [
        client.post("/threads", json=asked, headers=by("one")).status_code
        for _ in range(3)
    ]
    assert statuses == [201, 200, 200]
    until(client, asked["id"], "answered")
    assert kinds(desk) == ["hold", "refund"]
    other = client.post("/threads", json=asked | {"text": "Hello"}, headers=by("one"))
    assert other.status_code == 409


def test_an_approval_reaches_every_thread_that_waits_for_it(
    opened: Open, desk: Desk
) -> None:
    client = opened()
    first, second = (asks(client, refund_of(DEAR)) for _ in range(2))
    for thread in (first, second):
        until(client, thread, "waiting")
    said = client.post(
        f"/threads/{first}/approval", json={"granted": True}, headers=by("robin")
    )
    assert said.json() == {"granted": True}
    outcomes = {
        until(client, thread, "answered")["outcome"].split(":")[0]
        for thread in (first, second)
    }
    assert outcomes == {"refunded 100.10", "handed over"}
    assert kinds(desk).count("refund") == 1
    third = asks(client, refund_of(DEAR))  # decided already: it does not wait
    assert until(client, third, "answered")["approvals"][0]["answer"] == "given"


def test_the_first_answer_counts(opened: Open, desk: Desk) -> None:
    client = opened()
    thread = asks(client, refund_of(DEAR))
    until(client, thread, "waiting")
    path = f"/threads/{thread}/approval"
    for granted in (False, True):
        said = client.post(path, json={"granted": granted}, headers=by("robin"))
        assert said.json() == {"granted": False}
    seen = until(client, thread, "answered")
    assert seen["approvals"][0]["answer"] == "denied"
    assert "refund" not in kinds(desk)
    assert not desk.look_up(DEAR.number).held


def test_what_waits_is_found_by_the_next_process(opened: Open, desk: Desk) -> None:
    client = opened()
    thread = asks(client, refund_of(DEAR))
    before = until(client, thread, "waiting")
    client = opened()
    assert view(client, thread) == before
    client.post(
        f"/threads/{thread}/approval", json={"granted": True}, headers=by("robin")
    )
    until(client, thread, "answered")
    assert kinds(desk) == ["hold", "refund"]


def test_cancelled_while_it_waits_the_parcel_is_let_go(
    opened: Open, desk: Desk
) -> None:
    client = opened()
    thread = asks(client, refund_of(DEAR))
    until(client, thread, "waiting")
    assert desk.look_up(DEAR.number).held
    cancelled = client.post(f"/threads/{thread}/cancel", headers=by("one"))
    assert cancelled.status_code == 202
    seen = until(client, thread, "cancelled")
    assert seen["reply"] == ""
    assert kinds(desk) == ["hold", "release", "hand_over"]
    late = client.post(
        f"/threads/{thread}/approval", json={"granted": True}, headers=by("robin")
    )
    assert late.status_code == 200
    assert "refund" not in kinds(desk)


def test_cancelled_while_it_is_written_the_refund_stays_and_is_said(
    opened: Open, desk: Desk, tmp_path: Path
) -> None:
    go_on = tmp_path / "go-on"
    client = opened(writer=ScriptedWriter(pace=0.06, stop=5, until=go_on))
    thread = asks(client, refund_of(CHEAP))
    until(client, thread, "writing")
    client.post(f"/threads/{thread}/cancel", headers=by("one"))
    go_on.touch()
    seen = until(client, thread, "cancelled")
    assert seen["outcome"] == "refunded 25.00"
    assert "Write again" not in seen["reply"]


# Who may


@pytest.mark.timeout(120)  # a stream that should have been refused never ends
@pytest.mark.parametrize(
    ("method", "path", "token", "status"),
    [
        ("GET", "/me", "nobody", 401),
        ("GET", "/threads/{}", "nobody", 401),
        ("GET", "/threads/{}", "two", 404),
        ("GET", "/threads/{}/events", "two", 404),
        ("POST", "/threads/{}/cancel", "two", 404),
        ("GET", "/threads/{}", "robin", 403),
        ("POST", "/threads/{}/approval", "one", 403),
        ("POST", "/threads/{}/approval", "nobody", 401),
        ("GET", "/approvals/events", "one", 403),
        ("POST", "/threads", "robin", 403),
        ("GET", "/threads/unknown", "one", 404),
    ],
)
def test_who_may_not(
    opened: Open, desk: Desk, method: str, path: str, token: str, status: int
) -> None:
    client = opened()
    thread = asks(client, refund_of(DEAR))
    until(client, thread, "waiting")
    body = {"granted": True} if path.endswith("approval") else None
    if path == "/threads":
        body = {"id": str(uuid.uuid4()), "text": "Hello"}  # type: ignore[dict-item]
    said = client.request(method, path.format(thread), json=body, headers=by(token))
    assert said.status_code == status
    assert desk.decision(DEAR.number) is None


def test_what_was_not_asked_for_is_not_approved(opened: Open) -> None:
    client = opened()
    thread = asks(client, "Where is my order LR-11111?")
    said = client.post(
        f"/threads/{thread}/approval", json={"granted": True}, headers=by("robin")
    )
    assert said.status_code == 409


def test_a_session_is_a_cookie_no_script_reads(opened: Open) -> None:
    client = opened()
    assert client.post("/session", json={"token": "none"}).status_code == 401
    entered = client.post("/session", json={"token": "one"})
    cookie = entered.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert client.get("/me").json()["name"] == "C-1"
    client.delete("/session")
    assert client.get("/me").status_code == 401


def test_another_site_cannot_post(opened: Open) -> None:
    """A form of another site can send text; it cannot send JSON without being asked first."""
    client = opened()
    body = json.dumps({"id": str(uuid.uuid4()), "text": "Hello"})
    for kind in ("text/plain", "application/x-www-form-urlencoded"):
        headers = by("one") | {"Content-Type": kind}
        sent = client.post("/threads", content=body, headers=headers)
        assert sent.status_code == 422


@pytest.mark.parametrize(
    "asked",
    [
        {"id": "1", "text": "Hello"},
        {"id": str(uuid.UUID(int=1)), "text": ""},
        {"id": str(uuid.UUID(int=1)), "text": "x" * 5000},
        {"id": str(uuid.UUID(int=1)), "text": "Hello", "customer": "C-2"},
    ],
)
def test_what_no_page_sends_is_refused(opened: Open, asked: dict[str, str]) -> None:
    assert opened().post("/threads", json=asked, headers=by("one")).status_code == 422


def test_every_answer_has_the_policy(opened: Open) -> None:
    client = opened()
    for path in ("/", "/ui.js", "/me", "/nothing"):
        policy = client.get(path).headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy


def test_too_many_are_told_to_come_later(
    opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = opened()
    monkeypatch.setattr(web, "WAITING", 0)
    asked = {"id": str(uuid.uuid4()), "text": "Hello"}
    said = client.post("/threads", json=asked, headers=by("one"))
    assert (said.status_code, said.headers["retry-after"]) == (503, "10")


def test_the_length_that_the_page_allows_is_the_services() -> None:
    page = (web.UI / "index.html").read_text(encoding="utf-8")
    assert f'maxlength="{web.MESSAGE_LIMIT}"' in page


# What fails


class Down:
    """A planner or writer whose model does not answer so many times."""

    def __init__(self, times: int, error: str = "secret-host:8000 refused"):
        self.times, self.error = times, error

    def plan(self, ticket: Ticket, objection: str) -> Plan:
        self.fail()
        return ScriptedPlanner().plan(ticket, objection)

    def write(self, ticket: Ticket, outcome: str) -> Iterator[str]:
        self.fail()
        yield "Never."

    def fail(self) -> None:
        if self.times:
            self.times -= 1
            raise RuntimeError(self.error)


def test_a_model_that_is_down_for_a_moment(opened: Open, desk: Desk) -> None:
    client = opened(planner=Down(2))
    seen = until(client, asks(client, refund_of(CHEAP)), "answered")
    assert seen["outcome"] == "refunded 25.00"
    assert seen["trouble"] == ""


def test_a_model_that_stays_down_is_for_people(opened: Open, desk: Desk) -> None:
    client = opened(planner=Down(99))
    seen = until(client, asks(client, refund_of(CHEAP)), "answered")
    assert seen["outcome"].startswith("handed over")
    assert kinds(desk) == ["hand_over"]


def test_a_reply_that_fails_does_not_hide_what_was_done(opened: Open) -> None:
    client = opened(writer=Down(1))
    seen = until(client, asks(client, refund_of(CHEAP)), "failed")
    assert seen["outcome"] == "refunded 25.00"
    assert "secret-host" not in json.dumps(seen)


# Around


def test_a_model_writes_piece_by_piece() -> None:
    sent: list[Any] = []

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(json.loads(request.content))
        chunks = [{"choices": [{"index": 0, "delta": {"content": t}}]} for t in "ab"]
        body = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks)
        return httpx.Response(
            200,
            text=f"{body}data: [DONE]\n\n",
            headers={"Content-Type": "text/event-stream"},
        )

    transport = httpx.MockTransport(answer)
    client = OpenAI(
        base_url="http://model/v1",
        api_key="none",
        http_client=httpx.Client(transport=transport),
    )
    ticket = Ticket(customer="C-1", text="Hello")
    assert list(ModelWriter(client, "m").write(ticket, "refunded 1.00")) == ["a", "b"]
    assert sent[0]["stream"] is True
    assert "refunded 1.00" in sent[0]["messages"][-1]["content"]


def test_who_thinks_is_what_the_environment_names(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    with pytest.raises(TriageError, match="OPENAI_BASE_URL"):
        thinking(None)
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    monkeypatch.setenv("OPENAI_MODEL", "large")
    planner, writer = thinking(None)
    assert isinstance(planner, ModelPlanner)
    assert isinstance(writer, ModelWriter)
    assert writer.model == "large"
    script = tmp_path / "script.json"
    script.write_text('{"pace": 0.5, "stop": 3, "until": "there"}', encoding="utf-8")
    planner, writer = thinking(script)
    assert isinstance(planner, ScriptedPlanner)
    assert writer == ScriptedWriter(0.5, 3, Path("there"))


def test_one_process_at_a_time_has_the_folder(tmp_path: Path) -> None:
    with (
        web.alone(tmp_path, seconds=0.1),
        pytest.raises(TriageError, match="Stop that first"),
        web.alone(tmp_path, seconds=0.1),
    ):
        pass


def test_a_folder_is_made_with_tokens_nobody_knows(tmp_path: Path) -> None:
    people = prepared(tmp_path / "new")
    assert sorted(person.role for person in people.values()) == ["approver", "customer"]
    assert all(len(token) >= 32 for token in people)
    assert (tmp_path / "new" / "people.json").stat().st_mode & 0o077 == 0
    assert prepared(tmp_path / "new") == people
