"""One encoder, one trained model and one MLflow server for all the tests of the running example."""

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import mlflow
import pytest
from platformdirs import user_cache_dir
from unavailable import unavailable

from triage import data
from triage.data import Dataset
from triage.encoder import Encoder
from triage.errors import TriageError
from triage.model import TriageModel

ROOT = Path(__file__).parents[2]
GIVEN_DATA = os.environ.get("TRIAGE_DATA")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if (
            here in item.path.parents
        ):  # on one worker, which loads PyTorch and the encoder once
            item.add_marker(pytest.mark.xdist_group("triage"))


@pytest.fixture(scope="session")
def encoder() -> Encoder:
    return Encoder.load()


@pytest.fixture(scope="session")
def tickets() -> Dataset:
    return data.load(data.TICKETS)


@pytest.fixture(scope="session")
def small(tickets: Dataset) -> Dataset:
    """Four intents of the tickets: quick to train on, and real."""
    chosen = ["delivery_late", "account_access", "invoice_request", "item_damaged"]
    train, test = (
        split[split["category"].isin(chosen)] for split in (tickets.train, tickets.test)
    )
    return Dataset(
        "four intents",
        train.reset_index(drop=True),
        test.reset_index(drop=True),
        "0" * 64,
    )


@pytest.fixture(scope="session")
def model(small: Dataset, encoder: Encoder) -> TriageModel:
    return TriageModel.fit(small, encoder)


@pytest.fixture(scope="session")
def model_file(model: TriageModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    model.save(path)
    return path


@pytest.fixture(scope="session")
def banking77() -> Path:
    """The real data: where TRIAGE_DATA points, beside the checkout, or in the download cache."""
    cache = user_cache_dir("triage")
    candidates = [
        Path(GIVEN_DATA or "/nowhere"),
        ROOT / "../shared/data/banking77",
        Path(cache) / "banking77",
    ]
    for folder in candidates:
        with contextlib.suppress(TriageError):
            if data.read_folder(folder, "").digest == data.digest_of(
                data.BANKING77_SHA256.values()
            ):
                return folder
    unavailable("BANKING77 is not here; get it with: TRIAGE_DATA=banking77 make data")


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@contextlib.contextmanager
def running(
    arguments: list[str], log: Path, **environment: str
) -> Iterator[subprocess.Popen]:
    """`python -m triage ARGUMENTS` in the background; terminated, and waited for, on the way out."""
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "triage", *arguments],
            stdout=file,
            stderr=subprocess.STDOUT,
            cwd=log.parent,
            env={**os.environ, **environment},
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_until_up(
    url: str, process: subprocess.Popen, log: Path, seconds: float = 180
) -> None:
    """Poll until `url` answers 200; fail with the log if the process ends or time runs out."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(httpx.HTTPError):
            if httpx.get(url, timeout=5).status_code == 200:
                return
        time.sleep(0.1)
    pytest.fail(f"{url} did not come up:\n{log.read_text(errors='replace')}")


@pytest.fixture(scope="session")
def blank_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MLflow takes seconds to make its tables, so they are made once and copied."""
    path = tmp_path_factory.mktemp("registry") / "mlflow.db"
    mlflow.MlflowClient(f"sqlite:///{path}").search_registered_models()
    return path


@pytest.fixture(scope="session")
def tracking_uri(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A tracking server, started as its users start it."""
    folder, port = tmp_path_factory.mktemp("tracking"), free_port()
    uri = f"http://127.0.0.1:{port}"
    log = folder / "log"
    with running(
        ["tracking", "--port", str(port)], log, TRIAGE_HOME=str(folder / "home")
    ) as process:
        wait_until_up(f"{uri}/health", process, log)
        yield uri
