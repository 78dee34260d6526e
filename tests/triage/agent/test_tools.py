"""The desk's tools over MCP: what the model sees, what the host fills in, and what nobody gets done."""

import contextlib
import io
import json
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from mcp import StdioServerParameters

from triage.agent.desk import APPROVAL, Desk, Order
from triage.agent.dialogues import REASONS, TOOLS
from triage.agent.toolbox import Toolbox
from triage.agent.tools import server

OWN = Order("LR-11111", "C-1", "lamp", 2_500, "packed", "Monday", held=False)
DEAR = Order("LR-22222", "C-1", "tent", APPROVAL + 10, "shipped", "Friday", held=False)
FOREIGN = Order("LR-33333", "C-2", "lamp", 2_500, "packed", "Monday", held=False)
BOUND = {"key": "thread/0", "message": "My lamp is torn."}


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    made = Desk.create(tmp_path / "desk.db", orders=0)
    for order in (OWN, DEAR, FOREIGN):
        made.add(order)
    return made


@pytest.fixture
def tools(desk: Desk) -> Iterator[Toolbox]:
    with Toolbox(server(desk, "C-1", lambda message: "warranty_repair")) as connected:
        yield connected


def refund(order: str, reason: str = "damaged") -> dict[str, str]:
    return {"order": order, "reason": reason}


def test_the_model_sees_the_tools_it_was_trained_for(tools: Toolbox) -> None:
    def gist(tool: dict) -> tuple:
        function = tool["function"]
        properties = function["parameters"]["properties"]
        return (
            function["name"],
            function["description"],
            list(properties),
            function["parameters"]["required"],
            [each.get("enum") for each in properties.values()],
        )

    assert list(map(gist, tools.schemas)) == list(map(gist, TOOLS))
    reasons = tools.schemas[1]["function"]["parameters"]["properties"]["reason"]
    assert reasons["enum"] == REASONS


def test_an_order_is_looked_up(tools: Toolbox) -> None:
    said = tools.call("look_up_order", {"order": OWN.number}, BOUND)
    assert said == {"status": "packed", "day": "Monday"}


def test_another_customers_order_is_said_not_to_exist(
    tools: Toolbox, desk: Desk
) -> None:
    absent = tools.call("look_up_order", {"order": "LR-99999"}, BOUND)
    foreign = tools.call("look_up_order", {"order": FOREIGN.number}, BOUND)
    assert foreign == {"error": absent["error"].replace("LR-99999", FOREIGN.number)}
    assert "no order" in tools.call("refund", refund(FOREIGN.number), BOUND)["error"]
    assert desk.effects() == []


def test_a_call_sent_twice_pays_once(tools: Toolbox, desk: Desk) -> None:
    first, again = (tools.call("refund", refund(OWN.number), BOUND) for _ in range(2))
    assert first == again == {"refunded": "25.00"}
    assert [effect.key for effect in desk.effects()] == ["thread/0"]


def test_the_desks_rules_hold(tools: Toolbox, desk: Desk) -> None:
    said = tools.call("refund", refund(DEAR.number), BOUND)
    assert said["error"].endswith("a person must approve.")
    assert desk.effects() == []


def test_a_message_reaches_its_team(tools: Toolbox, desk: Desk) -> None:
    assert tools.call("triage", {}, BOUND) == {"intent": "warranty_repair"}
    (effect,) = desk.effects()
    assert effect.request == {"message": BOUND["message"], "team": "warranty_repair"}


@pytest.mark.parametrize(
    ("name", "arguments", "problem"),
    [
        ("delete_order", {}, "There is no delete_order"),
        ("refund", {"order": "LR-11111", "reason": "because"}, "reason"),
        ("refund", {"order": "LR-11111"}, "reason"),
        ("look_up_order", {"order": "11111"}, "order"),
        ("look_up_order", {"order": "LR-11111'; --"}, "order"),
        ("look_up_order", {"order": ["LR-11111"]}, "order"),
        ("refund", {**refund("LR-11111"), "key": "mine"}, "takes no key"),
        ("triage", {"message": "Something else"}, "takes no message"),
    ],
)
def test_what_is_not_a_call_is_an_answer_to_read(
    tools: Toolbox, desk: Desk, name: str, arguments: dict, problem: str
) -> None:
    said = tools.call(name, arguments, BOUND)
    assert problem in said["error"]
    assert desk.effects() == []


def test_a_crash_keeps_its_secrets(desk: Desk) -> None:
    def broken(message: str) -> str:
        raise RuntimeError("postgres://larch:hunter2@db")

    with Toolbox(server(desk, "C-1", broken)) as tools:
        said = tools.call("triage", {}, BOUND)
    assert said["error"]
    assert "hunter2" not in said["error"]


@contextlib.contextmanager
def triage_service(sleeps: list[float]) -> Iterator[str]:
    """An address that answers as the triage service does, after so many seconds each time."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            time.sleep(sleeps.pop(0))
            answer = json.dumps({"intent": "warranty_repair", "confidence": 0.9})
            with contextlib.suppress(BrokenPipeError):
                self.send_response(200)
                self.end_headers()
                self.wfile.write(answer.encode())

        def log_message(self, *arguments: object) -> None:
            """Be quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listener:
        thread = threading.Thread(target=listener.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.server_port}"
        finally:
            listener.shutdown()
            thread.join()


def program(desk: Desk, address: str) -> StdioServerParameters:
    return StdioServerParameters(
        command=sys.executable,
        args=["-m", "triage.agent.tools", str(desk.path), "C-1", "--triage", address],
    )


@pytest.mark.slow
def test_it_is_a_program_that_speaks_over_its_pipes(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stderr", io.StringIO())  # as in a notebook: no file
    with Toolbox(program(desk, "http://127.0.0.1:1"), seconds=30) as tools:
        said = tools.call("refund", refund(OWN.number), BOUND)
        unreached = tools.call("triage", {}, BOUND)
    assert said == {"refunded": "25.00"}
    assert "error" in unreached  # nobody serves triage
    assert [effect.kind for effect in desk.effects()] == ["refund"]


@pytest.mark.slow
def test_a_slow_call_is_sent_again_with_its_key(desk: Desk) -> None:
    sleeps = [4.0, 0.0]
    with (
        triage_service(sleeps) as address,
        Toolbox(program(desk, address), seconds=2) as tools,
    ):
        said = tools.call("triage", {}, BOUND)
    assert said == {"intent": "warranty_repair"}
    assert sleeps == []  # it was asked twice
    assert [effect.key for effect in desk.effects()] == ["thread/0"]


@pytest.mark.slow
def test_a_call_that_stays_slow_is_given_up(desk: Desk) -> None:
    with (
        triage_service([3.0, 3.0]) as address,
        Toolbox(program(desk, address), seconds=1) as tools,
    ):
        said = tools.call("triage", {}, BOUND)
    assert said == {"error": "triage did not answer within 1 seconds."}
