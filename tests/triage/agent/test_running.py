"""The page's server as a process: told to stop it stops, though somebody listens; killed, it goes on."""

import json
import threading
import time
import uuid
from pathlib import Path
from typing import Any

import httpx
import pytest

from triage.agent.desk import APPROVAL, Order
from triage.agent.running import APPROVER, CUSTOMER, Running, desk_in
from triage.errors import TriageError

pytestmark = pytest.mark.slow

DEAR = Order("LR-22222", "C-1", "tent", APPROVAL + 10, "packed", "Friday", held=False)


def listen(server: Running, path: str, token: str, heard: list[Any]) -> None:
    """Until the line breaks or all is told."""
    try:
        with server.client(token).stream("GET", path) as told:
            for line in told.iter_lines():
                if line.startswith('data: {"v"'):
                    heard.append(json.loads(line[6:]))
    except httpx.TransportError:
        pass


def until(heard: list[Any], kind: str) -> None:
    deadline = time.monotonic() + 30
    while not any(event["type"] == kind for event in heard):
        assert time.monotonic() < deadline, heard
        time.sleep(0.02)


def test_a_stop_is_not_held_up_by_those_who_listen(tmp_path: Path) -> None:
    desk = desk_in(tmp_path / "desk", [DEAR], {"pace": 0})
    script = str(tmp_path / "desk" / "script.json")
    thread = str(uuid.uuid4())
    path = f"/threads/{thread}/events"
    with Running(tmp_path / "desk", "--script", script) as server:
        ticket = {"id": thread, "text": "The tent of LR-22222 is broken, refund it."}
        server.client(CUSTOMER).post("/threads", json=ticket).raise_for_status()
        heard: list[Any] = []
        listener = threading.Thread(target=listen, args=(server, path, CUSTOMER, heard))
        listener.start()
        until(heard, "approval_wanted")
        assert server.process
        server.process.terminate()
        assert server.process.wait(20) in (0, -15)
        listener.join(20)
        assert not listener.is_alive()

        server.start()
        answer = server.client(APPROVER).post(
            f"/threads/{thread}/approval", json={"granted": True}
        )
        assert answer.json() == {"granted": True}
        again: list[Any] = []
        listen(server, path, CUSTOMER, again)
        assert again[: len(heard)] == heard
        assert again[-1]["type"] == "done"
    assert [effect.kind for effect in desk.effects()] == ["hold", "refund"]


def test_a_server_that_does_not_start_says_why(tmp_path: Path) -> None:
    (tmp_path / "script.json").write_text("nonsense", encoding="utf-8")
    server = Running(tmp_path, "--script", str(tmp_path / "script.json"))
    with pytest.raises(TriageError, match="Expecting value"):
        server.start()
