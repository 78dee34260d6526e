"""A small course for tests: one assignment whose checks only read files, and folders to hand in."""

import contextlib
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx

COURSES = Path(__file__).parent / "autograder/courses"
SQUARES = COURSES / "01-squares"
REFERENCE = SQUARES / "submissions/reference"


def hand_in(course: Path, learner: str, notebook: Path | None = None, **files) -> Path:
    """Put the reference's files into submitted/, `files` by stem in their place; None leaves a file out."""
    folder = course / "submitted" / learner / "squares"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for path in REFERENCE.iterdir():
        if path.stem != "expected" and path.stem not in files:
            shutil.copy(path, folder)
    for path in REFERENCE.iterdir():
        if files.get(path.stem) is not None:
            (folder / path.name).write_text(files[path.stem])
    shutil.copy(notebook or course / "release/squares/squares.ipynb", folder)
    return folder


def environment(home: Path) -> dict[str, str]:
    """For a program of the classroom: it finds the environment's programs and nobody's Jupyter settings."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    folders = {f"JUPYTER_{kind}_DIR": str(home) for kind in ("CONFIG", "DATA")}
    settings = {"PATH": path, "HOME": str(home)}
    return os.environ | folders | settings | {"JUPYTER_RUNTIME_DIR": str(home / "run")}


def nbgrader(
    *arguments: str, cwd: Path, home: Path, status: int = 0
) -> subprocess.CompletedProcess[str]:
    """Run an nbgrader command, which must exit with `status`."""
    done = subprocess.run(
        [str(Path(sys.executable).parent / "nbgrader"), *arguments],
        cwd=cwd,
        env=environment(home),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == status, done.stdout + done.stderr
    return done


@contextlib.contextmanager
def formgrader(course: Path, home: Path) -> Iterator[httpx.Client]:
    """The real Jupyter server in a course folder, for as long as the context lasts."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    token = secrets.token_hex()
    options = {
        "port": port,
        "port_retries": 0,
        "open_browser": False,
        "ip": "127.0.0.1",
    }
    arguments = [f"--ServerApp.{name}={value}" for name, value in options.items()]
    process = subprocess.Popen(
        [sys.executable, "-m", "jupyter_server", "--allow-root", *arguments],
        cwd=course,
        env=environment(home) | {"JUPYTER_TOKEN": token},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        client = httpx.Client(
            base_url=f"http://127.0.0.1:{port}/formgrader/",
            headers={"Authorization": f"token {token}"},
            timeout=120,
        )
        with client:
            for _ in range(300):
                with contextlib.suppress(httpx.TransportError):
                    if client.get("api/status").json() == {"status": True}:
                        break
                assert process.poll() is None, process.stderr.read()
                time.sleep(0.1)
            yield client
    finally:
        process.terminate()
        process.communicate(timeout=30)


def submitted_notebook(client: httpx.Client, learner: str) -> dict:
    """What formgrader knows of a learner's graded notebook."""
    notebooks = client.get("api/submitted_notebooks/squares/squares").json()
    [found] = [item for item in notebooks if item["student"] == learner]
    return found
