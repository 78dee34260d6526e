"""The learner's own machine: no walls, but the same interface, the same limits on time and output."""

import os
import signal
import sys
import tempfile
import time
from pathlib import Path

import pytest

from autograder.errors import InfrastructureError
from autograder.sandbox import Limits
from autograder.sandbox.direct import Direct


def run(code: str, folder: Path, **options):
    return Direct().run(["python", "-c", code], folder=folder, **options)


def test_a_program_and_what_it_says(tmp_path: Path):
    (tmp_path / "notes.txt").write_text("from the folder")
    code = "import sys; print(open(sys.argv[1]).read(), sys.stdin.read(), sys.executable); sys.exit(3)"
    completed = Direct().run(
        ["python", "-c", code, "/work/notes.txt"], folder=tmp_path, stdin=b"and stdin"
    )
    assert completed.status == 3
    assert completed.stdout.decode() == f"from the folder and stdin {sys.executable}\n"


def test_temporary_files_go_with_the_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    code = "import tempfile; print(tempfile.mkstemp()[1])"
    completed = run(code, tmp_path)
    assert completed.stdout.startswith(bytes(tmp_path))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("first", ["pass", "import os\nos.close(1); os.close(2)"])
def test_an_endless_loop_is_stopped(tmp_path: Path, first: str):
    completed = run(f"{first}\nwhile True: pass", tmp_path, limits=Limits(seconds=0.5))
    assert (completed.stopped, completed.status) == ("time", -9)
    assert completed.seconds < 2


def test_endless_output_is_stopped(tmp_path: Path):
    code = "while True: print('x' * 100_000)"
    completed = run(code, tmp_path, limits=Limits(output=1000))
    assert completed.stopped == "output"
    assert len(completed.stdout) == 1000


def test_children_end_with_the_program(tmp_path: Path):
    code = (
        "import os, time\npid = os.fork()\n"
        "if pid == 0: time.sleep(60)\nelse: print(pid)"
    )
    completed = run(code, tmp_path)
    assert (
        completed.seconds < 3
    )  # the child holds the pipes open, which only delays the end
    child, deadline = int(completed.stdout), time.monotonic() + 5
    while alive(child):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/stat")
    return not status.exists() or status.read_text().split()[2] != "Z"


def test_a_service_finds_its_socket(tmp_path: Path):
    code = (
        "import socket, sys, time\nserver = socket.socket(socket.AF_UNIX)\n"
        "server.bind(sys.argv[1])\nprint('up', flush=True)\nwhile True: time.sleep(1)"
    )
    with tempfile.TemporaryDirectory(prefix="s-") as sockets:
        command = ["python", "-c", code, "/run/judge/service.sock"]
        with Direct().start(command, folder=tmp_path, sockets=Path(sockets)) as running:
            deadline = time.monotonic() + 10
            while running.output() != b"up\n":
                assert time.monotonic() < deadline
                time.sleep(0.01)
            assert Path(sockets, "service.sock").is_socket()
            running.signal(signal.SIGTERM)
            assert running.wait(5) == -signal.SIGTERM


def test_a_path_too_long_for_a_socket(tmp_path: Path):
    sockets = tmp_path / ("long" * 30)
    with (
        pytest.raises(InfrastructureError, match="Set TMPDIR to a shorter one"),
        Direct().start(["python"], folder=tmp_path, sockets=sockets),
    ):
        pass
