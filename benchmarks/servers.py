"""The same model behind five servers: how each is started, and how it wants to be asked."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from benchmarks.report import environment

BENTOML = "1.4.40"
FOLDER = Path(__file__).parent
CACHE = FOLDER.parent / "_build" / "benchmarks"
START_SECONDS = 300


@dataclass(frozen=True)
class Server:
    """A way to serve the model in TRIAGE_HOME."""

    name: str
    command: tuple[str, ...]
    """`--port PORT` comes after it."""
    path: str = "/predict"
    body: Callable[[str], dict] = field(default=lambda message: {"message": message})
    programs: Callable[[], Path] = field(default=lambda: Path(sys.executable).parent)
    settings: dict[str, str] = field(default_factory=dict)


def bentoml_programs() -> Path:
    """An environment of its own with BentoML, made at the first call and kept.

    What BentoML does not bring (PyTorch, transformers, this project) it finds in the project's environment,
    so that both compute with the same libraries.
    """
    own = CACHE / f"bentoml-{BENTOML}"
    ready = own / ".ready"
    if not ready.exists():
        uv = str(Path(sys.executable).with_name("uv"))
        make = [uv, "venv", "--clear", "--python", sys.executable, str(own)]
        subprocess.run(make, check=True)
        python = str(own / "bin" / "python")
        install = ("pip", "install", "--compile-bytecode", "--python", python)
        subprocess.run([uv, *install, f"bentoml=={BENTOML}"], check=True)
        (packages,) = own.glob("lib/python*/site-packages")
        shared = f"{sysconfig.get_path('purelib')}\n{FOLDER.parent}\n"
        (packages / "shared.pth").write_text(shared)
        ready.touch()
    return own / "bin"


MLFLOW = Server(
    "mlflow models serve",
    (
        *("mlflow", "models", "serve", "--model-uri", "models:/triage@champion"),
        *("--env-manager", "local"),
    ),
    "/invocations",
    lambda message: {"dataframe_split": {"columns": ["message"], "data": [[message]]}},
)
SERVICE = Server(
    "triage serve --runtime onnx",
    ("python", "-m", "triage", "serve", "--runtime", "onnx", "--drain", "0"),
)
OTHERS = (
    MLFLOW,
    Server(
        "mlflow models serve, a worker a core",
        (*MLFLOW.command, "--workers", str(os.cpu_count())),
        MLFLOW.path,
        MLFLOW.body,
        settings={"OMP_NUM_THREADS": "1"},
    ),
    Server(
        "FastAPI and transformers",
        ("uvicorn", "plain_service:app", "--app-dir", str(FOLDER)),
    ),
    Server(
        "BentoML",
        ("bentoml", "serve", "bento_service:Triage", "--working-dir", str(FOLDER)),
        body=lambda message: {"messages": [message]},
        programs=bentoml_programs,
        settings={"BENTOML_DO_NOT_TRACK": "True"},
    ),
    Server(
        "triage serve, PyTorch",
        ("python", "-m", "triage", "serve", "--drain", "0"),
    ),
)


@contextlib.contextmanager
def running(server: Server, home: Path) -> Iterator[str]:
    """The server's address once it answers; it and its children are gone afterwards."""
    port = free_port()
    programs = server.programs()
    program, *arguments = (*server.command, "--port", str(port))
    settings = {
        "TRIAGE_HOME": str(home),
        "MLFLOW_TRACKING_URI": f"sqlite:///{home / 'mlflow.db'}",
        "PYTHONPATH": str(FOLDER.parent),
        **server.settings,
    }
    log = home / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [shutil.which(program, path=str(programs)) or program, *arguments],
            env=environment(programs) | settings,
            cwd=home,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # the group is all of its children
        )
    try:
        url = f"http://127.0.0.1:{port}"
        wait_for(server, url, process, log)
        yield url
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(15)
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def wait_for(server: Server, url: str, process: subprocess.Popen, log: Path) -> None:
    """Ask until there is an answer; RuntimeError with the log if none comes."""
    deadline = time.monotonic() + START_SECONDS
    answer: object = "no answer"
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(httpx.HTTPError):
            body = server.body("where is my card?")
            answer = httpx.post(url + server.path, json=body, timeout=60)
            if answer.is_success:
                return
        time.sleep(0.2)
    raise RuntimeError(
        f"{server.name} did not start ({answer}):\n{log.read_text(errors='replace')}"
    )


def write_bodies(server: Server, messages: list[str], file: Path) -> None:
    """One JSON body a line, for wrk."""
    file.write_text("".join(json.dumps(server.body(m)) + "\n" for m in messages))


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]
