"""A model folder behind the OpenAI-compatible API of `transformers serve`, for as long as it is needed."""

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import httpx

from triage.errors import TriageError

START_UP = 300.0
"""Seconds that the server may take to answer."""


# region serving
@contextlib.contextmanager
def serving(folder: Path, *options: str) -> Iterator[str]:
    """Serve the folder on a free port; gives the address, which ends in /v1.

    Requests have to name the model as the server was told: by the folder's name.
    """
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    command = [sys.executable, "-m", "transformers.cli.transformers", "serve"]
    command += [folder.name, "--host", "127.0.0.1", "--port", port, "--device", "cpu"]
    with tempfile.TemporaryDirectory(prefix="serving-") as home:
        # /v1/models lists this folder, and answers 500 where there is none
        environment = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HUB_CACHE": home}
        with (
            Path(home, "log.txt").open("w+") as log,
            subprocess.Popen(
                [*command, *options],
                cwd=folder.absolute().parent,
                env=environment,
                stdout=log,
                stderr=log,
            ) as server,
        ):
            try:
                until_healthy(server, f"http://127.0.0.1:{port}/health", log.name)
                yield f"http://127.0.0.1:{port}/v1"
            finally:
                server.terminate()
                try:
                    server.wait(10)
                except subprocess.TimeoutExpired:
                    server.kill()


# endregion serving


def until_healthy(server: subprocess.Popen, url: str, log: str) -> None:
    """Wait for a 200. Raises TriageError with the end of the log if the server has ended."""
    deadline = time.monotonic() + START_UP
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise TriageError(
                f"transformers serve ended: {Path(log).read_text()[-500:]}"
            )
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(url, timeout=5).status_code == 200:
                return
        time.sleep(0.1)
    raise TriageError(f"transformers serve did not answer within {START_UP} s.")
