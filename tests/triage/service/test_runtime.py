"""The exported model behind HTTP, started as its users start it: answers, and stops without a loss."""

import contextlib
import signal
import threading
from pathlib import Path

import httpx
import pytest

from triage.files import sha256
from triage.model import TriageModel

from ..conftest import free_port, running, wait_until_up


@pytest.mark.slow
def test_sigterm_under_load_drops_nothing(model: TriageModel, tmp_path: Path) -> None:
    home, log = tmp_path / "home", tmp_path / "log"
    model.save(home / "model.safetensors")
    port = free_port()
    url, command = f"http://127.0.0.1:{port}", ["--port", str(port), "--drain", "0.5"]
    answers: list[httpx.Response] = []
    lost: list[httpx.HTTPError] = []
    stop = threading.Event()

    def client() -> None:
        with httpx.Client(base_url=url, timeout=30) as http:
            while not stop.is_set():
                try:
                    body = {"message": "please send the invoice"}
                    answers.append(http.post("/predict", json=body))
                except httpx.ConnectError:
                    return  # the door is closed: a refusal, not a loss
                except httpx.HTTPError as error:
                    lost.append(error)

    with running(
        ["serve", "--runtime", "onnx", "--workers", "2", *command],
        log,
        TRIAGE_HOME=str(home),
    ) as process:
        wait_until_up(f"{url}/readyz", process, log)
        clients = [threading.Thread(target=client) for _ in range(8)]
        for thread in clients:
            thread.start()
        while len(answers) < 20 and process.poll() is None:
            stop.wait(0.01)
        process.send_signal(signal.SIGTERM)
        with contextlib.suppress(httpx.HTTPError):
            while httpx.get(f"{url}/readyz", timeout=10).status_code != 503:
                stop.wait(0.01)
        stop.set()
        for thread in clients:
            thread.join(30)
        assert process.wait(30) == -signal.SIGTERM, log.read_text()
    assert not lost, log.read_text()
    assert {answer.status_code for answer in answers} == {200}
    first = answers[0].json()
    assert first["intent"] == "invoice_request"
    assert first["model"]["sha256"] == sha256(home / "model.safetensors")
    (kept,) = (home / "onnx").iterdir()
    assert kept.name.startswith(first["model"]["sha256"])
