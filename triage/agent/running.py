"""The page's server as a process of its own, which can be killed: for tests, and to try the page out."""

import json
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import httpx

from triage.agent.desk import Desk, Order
from triage.errors import TriageError

START_UP = 120.0
CUSTOMER, APPROVER = "customer-token", "approver-token"
"""Tokens for one machine and one afternoon. `triage.agent.web` makes better ones itself."""


class Running:
    """A server on a free port, which it keeps over restarts. Use it with `with`."""

    def __init__(self, folder: Path, *options: str):
        self.folder, self.options = folder, options
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.address = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen | None = None

    # region process
    def start(self) -> None:
        command = [sys.executable, "-m", "triage.agent.web", str(self.folder)]
        command += ["--port", str(self.port), *self.options]
        log = self.folder / "log.txt"
        with log.open("a") as into:
            self.process = subprocess.Popen(command, stdout=into, stderr=into)
        deadline = time.monotonic() + START_UP
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                httpx.get(f"{self.address}/healthz", timeout=5).raise_for_status()
                return
            except httpx.HTTPError:
                time.sleep(0.05)
        raise TriageError(f"The server did not start: {log.read_text()[-500:]}")

    def kill(self) -> None:
        """With SIGKILL: nothing gets to tidy up."""
        if self.process:
            self.process.kill()
            self.process.wait()

    # endregion process

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.kill()

    def client(self, token: str) -> httpx.Client:
        return httpx.Client(
            base_url=self.address,
            headers={"Authorization": f"Bearer {token}"},
            timeout=30,
        )


def desk_in(folder: Path, orders: Sequence[Order], script: dict[str, Any]) -> Desk:
    """A folder for `Running` with these orders, one customer, one approver and a script for --script."""
    folder.mkdir(parents=True, exist_ok=True)
    desk = Desk.create(folder / "desk.db", orders=0)
    for order in orders:
        desk.add(order)
    people = {
        CUSTOMER: {"name": "C-1", "role": "customer"},
        APPROVER: {"name": "Robin", "role": "approver"},
    }
    (folder / "people.json").write_text(json.dumps(people), encoding="utf-8")
    (folder / "script.json").write_text(json.dumps(script), encoding="utf-8")
    return desk
