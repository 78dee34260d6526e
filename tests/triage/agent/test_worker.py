"""A worker on the real workflow: what is not a ticket's fault costs it no try, and SIGTERM loses nothing."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from triage.agent.budget import Purse, Spent
from triage.agent.desk import Desk, Order
from triage.agent.inbox import Inbox, Job
from triage.agent.intake import intake
from triage.agent.planning import ScriptedPlanner
from triage.agent.routing import Unavailable
from triage.agent.worker import Ending, by_workflow, once

ROOT = Path(__file__).parents[3]
TEXT = "The lamp from order LR-48231 is broken, I want my money back."


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    desk = Desk.create(tmp_path / "desk.db", orders=0)
    desk.add(Order("LR-48231", "C-1", "lamp", 2_500, "packed", "Monday", held=False))
    desk.add(Order("LR-48213", "C-1", "tent", 18_000, "packed", "Monday", held=False))
    return tmp_path


@pytest.fixture
def inbox(folder: Path) -> Inbox:
    return Inbox(folder / "inbox.db", lease=0.3)


def raising(error: Exception):
    def handle(job: Job) -> Ending:
        raise error

    return handle


def test_what_becomes_of_a_ticket(inbox: Inbox) -> None:
    inbox.put("t-1", "C-1", TEXT)
    assert once(inbox, raising(Unavailable(12))) == 12
    assert inbox.counts()["waiting"] == 1
    assert once(inbox, raising(Spent("The day has used it up."))) == 0
    assert inbox.endings()[-1][1:3] == ("limit", "The day has used it up.")
    inbox.reopen("t-1")
    assert once(inbox, raising(ValueError("a bug"))) == 0
    assert inbox.counts()["waiting"] == 1
    assert once(inbox, lambda job: Ending("never")) == 1, "it is not due yet"


def test_the_lease_is_renewed_while_somebody_works(inbox: Inbox) -> None:
    inbox.put("t-1", "C-1", TEXT)
    others = []

    def slow(job: Job) -> Ending:
        for _ in range(10):
            time.sleep(0.1)
            others.append(inbox.take())
        return Ending("packed")

    once(inbox, slow)
    assert others == [None] * 10
    assert inbox.counts()["done"] == 1


def test_the_workflow_ends_waits_or_hands_over(inbox: Inbox, folder: Path) -> None:
    handle = by_workflow(folder, lambda job: ScriptedPlanner(), lambda text: "accounts")
    inbox.put("t-1", "C-1", TEXT)
    inbox.put("t-2", "C-2", TEXT)  # not theirs
    inbox.put("t-3", "C-3", "I cannot log in.")
    inbox.put("t-4", "C-1", TEXT.replace("LR-48231", "LR-48213"))  # dear
    for _ in range(4):
        once(inbox, handle)
    ended = {ticket: (kind, said) for ticket, kind, said, *_ in inbox.endings()}
    assert ended["t-1"] == ("done", "refunded 25.00")
    assert "not an order of C-2" in ended["t-2"][1]
    assert ended["t-3"] == ("person", "accounts: handed over: as planned")
    assert ended["t-4"] == ("person", "a person has to approve")
    Desk(folder / "desk.db").approve("LR-48213", "Ada")
    inbox.reopen("t-4")
    once(inbox, handle)
    assert inbox.endings()[-1][:3] == ("t-4", "done", "refunded 180.00")


def test_the_door(inbox: Inbox, folder: Path) -> None:
    inbox.room = 2
    purse = Purse(folder / "spending.db", 1, 1)
    purse.settle(purse.reserve("t-1", "small", 0.5), 0.25)
    client = TestClient(intake(inbox, purse))
    for ticket in ("t-1", "t-1", "t-2"):
        body = {"id": ticket, "customer": "C-1", "text": TEXT}
        assert client.post("/tickets", json=body).status_code == 202
    refused = client.post(
        "/tickets", json={"id": "t-3", "customer": "C-1", "text": TEXT}
    )
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "60")
    assert client.post("/tickets", json={"id": "t-4"}).status_code == 422
    once(inbox, lambda job: Ending("packed"))
    assert client.get("/readyz").json()["done"] == 1
    read = client.get("/metrics").text
    for line in (
        "agent_tickets_open 1.0",
        'agent_tickets_total{kind="done"} 1.0',
        'agent_tickets_total{kind="limit"} 0.0',
        'agent_euros_total{model="small"} 0.25',
    ):
        assert line in read.splitlines()


# --- as a process, with an endpoint that is slow ---


class Slow(ThreadingHTTPServer):
    """A chat API that says one thing, and not before `go` is set."""

    def __init__(self) -> None:
        self.asked, self.go, self.keys = threading.Event(), threading.Event(), []
        super().__init__(("127.0.0.1", 0), Answers)


class Answers(BaseHTTPRequestHandler):
    server: Slow

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.server.keys.append(self.headers["Authorization"])
        self.server.asked.set()
        self.server.go.wait(60)
        arguments = json.dumps({"order": "LR-48231", "reason": "damaged"})
        function = {"name": "refund", "arguments": arguments}
        call = {"id": "c1", "type": "function", "function": function}
        message = {"role": "assistant", "content": "", "tool_calls": [call]}
        choice = {"index": 0, "message": message, "finish_reason": "tool_calls"}
        usage = {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}
        body = json.dumps(
            {"id": "1", "object": "chat.completion", "created": 0, "model": "small"}
            | {"choices": [choice], "usage": usage}
        ).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def endpoint() -> Iterator[Slow]:
    with Slow() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.go.set()
        server.shutdown()
        thread.join()


def start(folder: Path, endpoint: Slow, *options: str) -> subprocess.Popen:
    prices = [{"name": "small", "read": 1, "written": 4}]
    (folder / "routes.json").write_text(json.dumps(prices))
    run = [sys.executable, "-m", "triage.agent.worker", str(folder)]
    run += ["--routes", str(folder / "routes.json"), *options]
    address = f"http://127.0.0.1:{endpoint.server_port}/v1"
    environment = os.environ | {
        "OPENAI_BASE_URL": address,
        "OPENAI_API_KEY": "secret",
        "PYTHONPATH": str(ROOT),
    }
    return subprocess.Popen(run, env=environment, stderr=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_told_to_stop_it_ends_what_it_has(folder: Path, endpoint: Slow) -> None:
    inbox = Inbox(folder / "inbox.db")
    for ticket in ("t-1", "t-2"):
        inbox.put(ticket, "C-1", TEXT)
    with start(folder, endpoint) as worker:
        assert endpoint.asked.wait(60)
        worker.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        endpoint.go.set()
        said = worker.communicate(timeout=30)[1]
    assert worker.returncode == 0
    assert "drained" in said
    assert [each[:3] for each in inbox.endings()] == [("t-1", "done", "refunded 25.00")]
    assert inbox.counts()["waiting"] == 1
    assert endpoint.keys == ["Bearer secret"]
    assert "secret" not in said
    assert Purse(folder / "spending.db", 1, 1).spent()["small"] == pytest.approx(180e-6)


@pytest.mark.slow
def test_it_leaves_what_it_cannot_end_in_time(folder: Path, endpoint: Slow) -> None:
    inbox = Inbox(folder / "inbox.db", lease=0.5)
    inbox.put("t-1", "C-1", TEXT)
    with start(folder, endpoint, "--grace", "0.2") as worker:
        assert endpoint.asked.wait(60)
        worker.send_signal(signal.SIGTERM)
        worker.communicate(timeout=30)
    assert worker.returncode == 1
    assert inbox.counts()["taken"] == 1
    endpoint.go.set()
    inbox.clock = lambda: time.time() + 120  # its lease has run out
    handle = by_workflow(folder, lambda job: ScriptedPlanner(), lambda text: "desk")
    once(inbox, handle)
    assert inbox.endings()[-1][:3] == ("t-1", "done", "refunded 25.00")
    assert [each.kind for each in Desk(folder / "desk.db").effects()] == [
        "hold",
        "refund",
    ]
