"""One variable says where the model is: transformers serve, the project's own server, or this process."""

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn
from openai import APIError

from triage.agent.api import api
from triage.agent.desk import Desk, Order
from triage.agent.dialogues import TOOLS
from triage.agent.endpoint import Endpoint, Local, Model, Said
from triage.agent.loop import End, run
from triage.agent.model import kept
from triage.agent.server import serving
from triage.agent.toolbox import Toolbox
from triage.agent.tools import server
from triage.errors import TriageError

ASK = [{"role": "user", "content": "Hello, where is my order LR-20317?"}]


class Fixed:
    """A model that always says the same."""

    def say(self, messages: list, tools: list) -> Said:
        assert [tool["function"]["name"] for tool in tools]
        call = {"name": "look_up_order", "arguments": '{"order": "LR-20317"}'}
        if messages[-1]["role"] == "tool":
            return Said({"role": "assistant", "content": "It is packed."}, 9, 4)
        calls = [{"id": "c1", "type": "function", "function": call}]
        return Said({"role": "assistant", "content": "", "tool_calls": calls}, 7, 5)


class Uvicorn(uvicorn.Server):
    """In a thread, where signals are somebody else's."""

    def __init__(self, model: Model):
        super().__init__(uvicorn.Config(api(model), port=0, log_level="error"))
        self.thread = threading.Thread(target=self.run)

    def __enter__(self) -> str:
        self.thread.start()
        while not self.started:
            time.sleep(0.01)
        port = self.servers[0].sockets[0].getsockname()[1]
        return f"http://127.0.0.1:{port}/v1"

    def __exit__(self, *exception: object) -> None:
        self.should_exit = True
        self.thread.join()


@pytest.fixture
def address() -> Iterator[str]:
    with Uvicorn(Fixed()) as address:
        yield address


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_BASE_URL", "OPENAI_MODEL", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)


def test_without_an_address_it_says_what_to_set() -> None:
    with pytest.raises(TriageError, match="OPENAI_BASE_URL is not set"):
        Endpoint.from_environment()


def test_nobody_there_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/v1")
    with pytest.raises(TriageError, match=r"127\.0\.0\.1:1"):
        Endpoint.from_environment()
    monkeypatch.setenv("OPENAI_MODEL", "any")
    with pytest.raises(TriageError, match=r"127\.0\.0\.1:1"):
        Endpoint.from_environment().say(ASK, TOOLS)


def test_an_unknown_model_is_the_endpoints_word(address, monkeypatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", address)
    monkeypatch.setenv("OPENAI_MODEL", "larger")
    with pytest.raises(TriageError, match="no model larger"):
        Endpoint.from_environment().say(ASK, TOOLS)


def test_the_address_is_the_one_variable(address, monkeypatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", address)
    endpoint = Endpoint.from_environment()
    said = endpoint.say(ASK, TOOLS)
    assert said.message["tool_calls"][0]["function"]["name"] == "look_up_order"
    assert (said.prompt_tokens, said.answer_tokens) == (7, 5)
    called = {"role": "tool", "tool_call_id": "c1", "content": "{}"}
    said = endpoint.say([*ASK, said.message, called], TOOLS)
    assert said.message["content"] == "It is packed."
    assert not said.message.get("tool_calls")


def test_the_server_says_that_it_does_not_stream(address) -> None:
    endpoint = Endpoint(address, "assistant", "none")
    with pytest.raises(APIError, match="does not stream"):
        endpoint._client.chat.completions.create(
            model="assistant", messages=ASK, stream=True
        )


@pytest.fixture(scope="module")
def folder() -> Path:
    return kept()


@pytest.mark.slow
def test_the_model_is_trained_once(folder: Path) -> None:
    before = folder.stat().st_mtime_ns
    assert kept() == folder
    assert folder.stat().st_mtime_ns == before


@pytest.mark.slow
@pytest.mark.parametrize("where", ["transformers serve", "api", "local"])
def test_the_agent_pays_wherever_its_model_is(
    where: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = Desk.create(tmp_path / "desk.db", orders=0)
    desk.add(Order("LR-20317", "C-1", "lamp", 2_500, "packed", "Monday", held=False))
    message = "you sent the wrong lamp. Please refund order LR-20317."

    def handle(model: Model) -> None:
        with Toolbox(server(desk, "C-1", lambda text: "front_desk")) as tools:
            state = run("t-1", message, model, tools)
        assert state.ended is End.ANSWERED
        (effect,) = desk.effects()
        assert effect.request == {"order": "LR-20317", "reason": "wrong_item"}

    if where == "local":
        handle(Local(folder))
    elif where == "api":
        with Uvicorn(Local(folder)) as address:
            monkeypatch.setenv("OPENAI_BASE_URL", address)
            handle(Endpoint.from_environment())
    else:
        (tmp_path / "assistant").symlink_to(folder)
        with serving(tmp_path / "assistant") as address:
            monkeypatch.setenv("OPENAI_BASE_URL", address)
            handle(Endpoint.from_environment())


@pytest.mark.slow
def test_the_local_model_calls_only_with_what_was_written(folder: Path) -> None:
    model = Local(folder)
    said = model.say([{"role": "user", "content": "where is LR-1234?"}], TOOLS)
    assert said.message["tool_calls"][0]["function"]["name"] == "triage"
    said = model.say(ASK, TOOLS)
    arguments = said.message["tool_calls"][0]["function"]["arguments"]
    assert json.loads(arguments) == {"order": "LR-20317"}
