"""The commands as a person types them: the whole story once, and every way to hold it wrong."""

import contextlib
import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from unittest import mock

import httpx
import mlflow
import pandas as pd
import pytest

from triage.cli import main, refuse_taken
from triage.files import sha256

from .conftest import free_port, running, wait_until_up

pytestmark = pytest.mark.slow


def triage(
    *arguments: str | bytes, folder: Path, **environment: str
) -> subprocess.CompletedProcess[str]:
    """What the command does in this folder, here and now: a process of its own would import PyTorch first."""
    settings = {"TRIAGE_HOME": str(folder / ".triage"), **environment}
    said, complained = io.StringIO(), io.StringIO()
    with (
        contextlib.chdir(folder),
        mock.patch.dict(os.environ, settings),
        mock.patch.object(sys, "argv", ["triage", *map(os.fsdecode, arguments)]),
        contextlib.redirect_stdout(said),
        contextlib.redirect_stderr(complained),
    ):
        try:
            main()
            status = 0
        except SystemExit as end:
            status = int(end.code or 0)
    return subprocess.CompletedProcess(
        arguments, status, said.getvalue(), complained.getvalue()
    )


@pytest.fixture(scope="module")
def home(small, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which `python -m triage train` has been run on four intents."""
    folder = tmp_path_factory.mktemp("cli")
    (folder / "data").mkdir()
    small.train.to_csv(folder / "data" / "train.csv", index=False)
    small.test.to_csv(folder / "data" / "test.csv", index=False)
    result = triage("train", folder=folder, TRIAGE_DATA="data")
    assert result.returncode == 0, result.stderr
    assert "4 intents" in result.stdout
    assert (folder / ".triage" / "model.safetensors").is_file()
    return folder


def test_data_says_what_there_is(home: Path) -> None:
    result = triage("data", folder=home, TRIAGE_DATA="data")
    assert result.stdout.startswith(
        "data: 152 training and 60 test messages, 4 intents"
    )


def test_evaluate_prints_one_object(home: Path) -> None:
    result = triage("evaluate", "--json", folder=home, TRIAGE_DATA="data")
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["accuracy"] > 0.85
    assert {path.name for path in (home / ".triage" / "evaluation").iterdir()} == {
        "report.json",
        "confusion.svg",
        "calibration.svg",
    }


def test_evaluate_prints_a_table(home: Path) -> None:
    result = triage("evaluate", folder=home, TRIAGE_DATA="data")
    assert "hardest intents" in result.stdout
    assert "Accuracy" in result.stdout


def test_predict(home: Path) -> None:
    result = triage("predict", "I am locked out of my account", "--json", folder=home)
    assert json.loads(result.stdout)["intent"] == "account_access"
    assert (
        "account_access"
        in triage("predict", "I am locked out of my account", folder=home).stdout
    )


@pytest.mark.parametrize(
    ("arguments", "environment", "complaint"),
    [
        (["predict", ""], {}, "The message is empty"),
        (["predict", "a" * 4_001], {}, "at most 4000 characters"),
        (["predict", b"caf\xe9"], {}, "Cannot triage that"),
        (["predict", "hi", "--model", "nowhere"], {}, "No model at nowhere"),
        (
            ["predict", "hi", "--model", "data/train.csv"],
            {},
            "is not a model this program wrote",
        ),
        (["predict", "hi"], {"TRIAGE_ENCODER": "data"}, "No model.safetensors in data"),
        (["evaluate"], {"TRIAGE_DATA": "nowhere"}, "No data folder at nowhere"),
        (["evaluate"], {}, "trained on other intents than those of tickets"),
        (["train"], {"TRIAGE_DATA": "nowhere"}, "No data folder at nowhere"),
        (
            ["train"],
            {"TRIAGE_DATA": "data", "TRIAGE_HOME": "/proc/none"},
            "Cannot write",
        ),
        (
            ["register"],
            {"MLFLOW_TRACKING_URI": "http://127.0.0.1:1"},
            "No MLflow server answers",
        ),
        (["register"], {"MLFLOW_TRACKING_URI": "http://"}, "No MLflow server answers"),
        (
            ["serve", "--model", "models:/triage@x"],
            {"MLFLOW_TRACKING_URI": "http://127.0.0.1:1"},
            "No MLflow",
        ),
        (["serve", "--model", "nowhere"], {}, "No model at nowhere"),
        (["serve", "--port", "TAKEN"], {}, "Choose another with --port"),
        (["tracking", "--port", "TAKEN"], {}, "Choose another with --port"),
        (
            ["tracking"],
            {"TRIAGE_HOME": "data/train.csv"},
            "Set TRIAGE_HOME to a folder",
        ),
        (["register", "--alias", "a b"], {}, "cannot be an alias"),
        (["predict", "hi", "--model", "x" * 300], {}, "File name too long"),
        (["predict", "hi", "--model", "[red]"], {}, "No model at [red]"),
        (["data"], {"TRIAGE_DATA": "sha256:0123456"}, "No snapshot sha256:0123456"),
        (["validate"], {"TRIAGE_DATA": "nowhere"}, "No data folder at nowhere"),
        (["validate", "--baseline", "sha256:x"], {}, "is no digest"),
        (["snapshot"], {"TRIAGE_DATA": "nowhere"}, "No data folder at nowhere"),
        (["promote", "--reason", " "], {}, "The reason is empty"),
        (["promote", "--reason", "x"], {}, "No MLflow server answers"),
        (["rollback", "--reason", "x"], {}, "No MLflow server answers"),
        (["lineage", "champion"], {}, "No MLflow server answers"),
    ],
)
def test_trouble_is_one_sentence(
    home: Path, arguments, environment: dict[str, str], complaint: str
) -> None:
    before = sorted(path for path in home.rglob("*") if "__pycache__" not in path.parts)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        arguments = [port if word == "TAKEN" else word for word in arguments]
        result = triage(*arguments, folder=home, **environment)
    assert result.returncode == 2
    assert complaint in result.stderr
    assert "Traceback" not in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert (
        sorted(path for path in home.rglob("*") if "__pycache__" not in path.parts)
        == before
    )


def test_an_ipv6_address_is_tried_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[tuple] = []

    def create_server(address: tuple, family: int) -> socket.socket:
        tried.append((address, family))
        return socket.socket()

    monkeypatch.setattr(socket, "create_server", create_server)
    refuse_taken("::1", 8000)
    refuse_taken("127.0.0.1", 8000)
    assert tried == [
        (("::1", 8000), socket.AF_INET6),
        (("127.0.0.1", 8000), socket.AF_INET),
    ]


def test_register_then_serve_the_champion(
    home: Path, tracking_uri: str, tmp_path: Path
) -> None:
    settings = {
        "MLFLOW_TRACKING_URI": tracking_uri,
        "TRIAGE_HOME": str(home / ".triage"),
    }
    result = triage(
        "register", "--alias", "cli", folder=home, TRIAGE_DATA="data", **settings
    )
    assert result.returncode == 0, result.stderr
    assert "as cli" in result.stdout
    port, log = free_port(), tmp_path / "log"
    command = ["serve", "--model", "models:/triage@cli", "--port", str(port)]
    with running(command, log, **settings) as process:
        wait_until_up(f"http://127.0.0.1:{port}/readyz", process, log)
        answer = httpx.post(
            f"http://127.0.0.1:{port}/predict", json={"message": "where is the invoice"}
        )
        assert answer.json()["intent"] == "invoice_request"


def test_sigterm_under_load_drops_nothing(home: Path, tmp_path: Path) -> None:
    port, log = free_port(), tmp_path / "log"
    url = f"http://127.0.0.1:{port}"
    outcomes: list[int | str] = []
    readiness: list[int] = []
    stop = threading.Event()

    def client() -> None:
        with httpx.Client(base_url=url, timeout=30) as http:
            while not stop.is_set():
                try:
                    outcomes.append(
                        http.post(
                            "/predict", json={"message": "my parcel is late"}
                        ).status_code
                    )
                except httpx.ConnectError:
                    return  # the door is closed: a refusal, not a loss
                except httpx.HTTPError as error:
                    outcomes.append(repr(error))

    command = ["serve", "--port", str(port), "--drain", "1"]
    with running(command, log, TRIAGE_HOME=str(home / ".triage")) as process:
        wait_until_up(f"{url}/readyz", process, log)
        threads = [threading.Thread(target=client) for _ in range(8)]
        for thread in threads:
            thread.start()
        while len(outcomes) < 20:
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        with contextlib.suppress(httpx.HTTPError):
            while 503 not in readiness:
                readiness.append(httpx.get(f"{url}/readyz", timeout=10).status_code)
        answered = len(outcomes)
        while len(outcomes) < answered + 8 and process.poll() is None:
            time.sleep(0.01)  # still answering while it says not-ready
        stop.set()
        for thread in threads:
            thread.join(30)
        assert process.wait(30) == -signal.SIGTERM, (
            log.read_text()
        )  # ended as asked, after draining
    assert readiness[-1] == 503
    assert set(outcomes) == {200}, log.read_text()


def test_snapshot_prints_a_source_that_outlives_the_folder(
    home: Path, tmp_path: Path
) -> None:
    shutil.copytree(home / "data", tmp_path / "desk")
    kept = triage("snapshot", folder=tmp_path, TRIAGE_DATA="desk")
    assert kept.returncode == 0, kept.stderr
    source = kept.stdout.strip()
    shutil.rmtree(tmp_path / "desk")
    read = triage("data", folder=tmp_path, TRIAGE_DATA=source)
    assert read.stdout.startswith("desk: 152 training and 60 test messages")
    assert source.removeprefix("sha256:")[:12] in read.stdout


def test_train_keeps_what_it_learnt_from(home: Path) -> None:
    [folder] = (home / ".triage" / "snapshots").iterdir()
    for name in ("train.csv", "test.csv"):
        assert (folder / name).read_bytes() == (home / "data" / name).read_bytes()


def test_validate_refuses_a_leak_with_exit_status_1(home: Path, tmp_path: Path) -> None:
    good = triage("validate", folder=home, TRIAGE_DATA="data")
    assert good.returncode == 0, good.stderr
    assert "nothing wrong" in good.stdout
    shutil.copytree(home / "data", tmp_path / "desk")
    rows = pd.read_csv(tmp_path / "desk" / "train.csv").head(3)
    rows.to_csv(tmp_path / "desk" / "test.csv", mode="a", header=False, index=False)
    leaking = triage(
        *("validate", "--baseline", str(home / "data"), "--json"),
        folder=tmp_path,
        TRIAGE_DATA="desk",
    )
    assert leaking.returncode == 1, leaking.stderr
    [found] = json.loads(leaking.stdout)["findings"]
    assert (found["check"], found["split"], found["count"]) == ("leak", "test", 3)
    said = triage("validate", folder=tmp_path, TRIAGE_DATA="desk")
    assert said.returncode == 1
    assert said.stdout.startswith("leak: test.csv has messages of train.csv in")


def test_promote_roll_back_and_trace(home: Path, tmp_path: Path) -> None:
    settings = {
        "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path / 'mlflow.db'}",
        "TRIAGE_DATA": str(home / "data"),
        "TRIAGE_HOME": str(home / ".triage"),
    }

    def said(*arguments: str) -> str:
        result = triage(*arguments, folder=tmp_path, **settings)
        assert result.returncode == 0, result.stderr
        return result.stdout

    said("register")
    client = mlflow.MlflowClient(settings["MLFLOW_TRACKING_URI"])
    client.create_model_version("triage", "file:/nowhere")
    assert "Champion is version 1, before it none" in said("promote", "--reason", "a")
    assert "version 2, before it 1" in said("promote", "2", "--reason", "b")
    assert "Champion is version 1 again" in said("rollback", "--reason", "slow")
    digest = sha256(home / ".triage" / "model.safetensors")
    found = json.loads(said("lineage", digest[:12], "--json"))
    assert (found["version"], found["model_sha256"]) == (1, digest)
    assert Path(found["snapshot"]).name == found["data_digest"]
    shown = said("lineage", "champion")
    assert "version         1\naliases         candidate, champion\n" in shown
