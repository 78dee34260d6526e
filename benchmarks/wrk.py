"""wrk, an HTTP load generator written in C: it takes next to nothing of the cores that the servers need."""

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

SCRIPT = Path(__file__).with_name("wrk.lua")


@dataclass(frozen=True)
class Load:
    """What wrk saw of a server."""

    clients: int
    per_second: float
    """Answers with status 200."""
    p50_ms: float
    """Of all answers, refusals included."""
    p99_ms: float
    """Of the answers that are not refusals."""
    refused: int
    """Answers that sent a polite client away for a second."""
    lost: int
    """Connections that failed, and requests without an answer."""


def found() -> str:
    """The program's path; SystemExit says how to get it."""
    program = shutil.which("wrk")
    if program is None:
        sys.exit(
            "benchmarks.serving needs wrk. On Debian or Ubuntu: apt-get install wrk"
        )
    return program


def load(
    url: str, path: str, bodies: Path, clients: int, seconds: int, polite: bool = False
) -> Load:
    """POST the lines of `bodies` from `clients` connections, each waiting for its answer.

    Raises RuntimeError if anything but a refusal went wrong: wrong answers are quick.
    """
    command = [found(), "-t1", f"-c{clients}", f"-d{seconds}s", "--timeout", "30s"]
    arguments = [path, str(bodies), *(["polite"] if polite else [])]
    completed = subprocess.run(
        [*command, "-s", str(SCRIPT), url, "--", *arguments],
        capture_output=True,
        text=True,
        check=True,
        timeout=seconds + 60,
    )
    seen = json.loads(completed.stdout.splitlines()[-1])
    if seen["not_ok"] != seen["refused"] or not seen["requests"]:
        raise RuntimeError(f"{url}{path} did not answer with 200:\n{completed.stdout}")
    answered = seen["requests"] - seen["refused"]
    return Load(
        clients=clients,
        per_second=round(answered / seen["seconds"], 1),
        p50_ms=seen["p50_ms"],
        p99_ms=seen["p99_ms"],
        refused=seen["refused"],
        lost=seen["lost"],
    )
