"""What an ordinary program gets from the sandbox, and whose fault it is when it gets nothing."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from autograder.errors import InfrastructureError
from autograder.probes.http import unix_client
from autograder.sandbox import Completed, Limits, choose
from autograder.sandbox.bubblewrap import Bubblewrap

pytestmark = pytest.mark.needs("bubblewrap")
Run = Callable[..., Completed]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    def run(code: str, **options) -> Completed:
        command = ["python", "-I", "-S", "-c", code]
        return Bubblewrap().run(command, folder=tmp_path, **options)

    return run


@pytest.fixture
def sockets(tmp_path: Path) -> Path:
    folder = tmp_path / "sockets"
    folder.mkdir()
    return folder


def test_a_program_and_what_it_says(run: Run, tmp_path: Path):
    (tmp_path / "notes.txt").write_text("from the folder")
    code = "import os, sys; print(open('notes.txt').read()); sys.stderr.write(os.getcwd()); sys.exit(3)"
    completed = run(code)
    assert completed.status == 3
    assert completed.stdout == b"from the folder\n"
    assert completed.stderr == b"/work"
    assert completed.stopped == ""


def test_stdin_arrives_whole_or_is_left(run: Run):
    data = os.urandom(1 << 20)
    counted = run("import sys; print(len(sys.stdin.buffer.read()))", stdin=data)
    assert counted.stdout == b"1048576\n"
    assert run("print('no, thanks')", stdin=data).stdout == b"no, thanks\n"
    assert run("import sys; print(sys.stdin.read())").stdout == b"\n"


def test_the_environment_is_the_sandboxes(run: Run, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SECRET_TOKEN", "of the judge")
    code = (
        "import os; print(os.environ.get('SECRET_TOKEN'), os.environ['MINE'], os.environ['HOME'])\n"
        "try: print('of the judge' in open('/proc/1/environ').read())\n"
        "except PermissionError: print(False)"
    )
    assert run(code, env={"MINE": "yes"}).stdout == b"None yes /tmp\nFalse\n"


def test_no_descriptors_but_the_three(run: Run):
    assert run("import os; print(os.listdir('/proc/self/fd'))").stdout.split() == [
        *(b"['0',", b"'1',", b"'2',", b"'3']")  # the last is the listing's own
    ]


def test_the_courses_packages_are_there(tmp_path: Path):
    command = [
        "python",
        "-c",
        "import numpy, sys; print(numpy.arange(3).sum(), sys.prefix)",
    ]
    assert Bubblewrap().run(command, folder=tmp_path).stdout == b"3 /venv\n"


def test_statuses_of_signals(run: Run):
    assert run("import os; os.kill(os.getpid(), 15)").status == -15


def test_private_files_are_seen_and_left_as_they_are(run: Run, tmp_path: Path):
    """A judge that is root gives jobs another user, who could not read them."""
    inner = tmp_path / "inner"
    inner.mkdir(mode=0o700)
    (inner / "private.txt").write_text("seen")
    (inner / "private.txt").chmod(0o600)
    tmp_path.chmod(0o700)
    assert run("print(open('inner/private.txt').read())").stdout == b"seen\n"
    modes = [
        path.stat().st_mode & 0o777 for path in (tmp_path, inner, inner / "private.txt")
    ]
    assert modes == [0o700, 0o700, 0o600]


def test_a_relative_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    Path("inner").mkdir()
    Path("inner", "notes.txt").write_text("seen")
    completed = Bubblewrap().run(["cat", "notes.txt"], folder=Path("inner"))
    assert completed.stdout == b"seen"


def test_memory_that_processes_share_counts_once(run: Run):
    code = (
        "import os, time\nx = bytearray(os.urandom(1 << 20) * 100)\n"
        "children = []\n"
        "for _ in range(6):\n"
        "    pid = os.fork()\n"
        "    if pid == 0: time.sleep(0.4); os._exit(0)\n"
        "    children.append(pid)\n"
        "for pid in children: os.waitpid(pid, 0)\nprint('done')"
    )
    assert run(code, limits=Limits(memory=300 << 20)).stdout == b"done\n"


def test_a_program_that_closes_its_pipes_is_stopped_all_the_same(run: Run):
    code = "import os\nfor fd in (0, 1, 2): os.close(fd)\nwhile True: pass"
    completed = run(code, limits=Limits(seconds=0.3))
    assert completed.stopped == "time"
    assert completed.seconds < 2


def test_no_bubblewrap(run: Run, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(InfrastructureError, match=r"not installed\. Run `make system`"):
        run("")


@pytest.mark.parametrize("begun", [False, True])
def test_bubblewrap_that_cannot_make_a_sandbox(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, begun: bool
):
    """It fails with the status 1, as programs do; the difference is in its report."""
    words = "bwrap: No permissions to create a new namespace"
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "bwrap").write_text(f"#!/bin/sh\necho '{words}' >&2\nexit 1\n")
    (programs / "bwrap").chmod(0o755)
    if not begun:
        monkeypatch.setenv("PATH", str(programs), prepend=os.pathsep)
        with pytest.raises(InfrastructureError, match="No permissions"):
            run("")
        with pytest.raises(InfrastructureError, match="No permissions"):
            Bubblewrap.connect()
    else:
        completed = run(f"import sys; sys.exit({words!r})")
        assert (completed.status, completed.stderr) == (1, f"{words}\n".encode())


def test_choose():
    assert choose().name == "bubblewrap"
    with pytest.raises(
        InfrastructureError, match="Choose one of bubblewrap, container"
    ):
        choose("none")


WAITS = "import time; print('up', flush=True)\nwhile True: time.sleep(1)"


def start(code: str, folder: Path, sockets: Path, **options):
    command = ["python", "-I", "-S", "-c", code]
    return Bubblewrap().start(command, folder=folder, sockets=sockets, **options)


def test_a_service_dies_of_a_signal(tmp_path: Path, sockets: Path):
    with start(WAITS, tmp_path, sockets) as running:
        until_it_says(running, b"up")
        assert running.alive
        assert running.wait(0) is None
        running.signal(signal.SIGTERM)
        assert running.wait(5) == -signal.SIGTERM
        assert not running.alive
        running.signal(signal.SIGTERM)  # nothing happens


def test_a_service_that_handles_a_signal(tmp_path: Path, sockets: Path):
    code = f"import signal, sys; signal.signal(15, lambda *a: sys.exit(7))\n{WAITS}"
    with start(code, tmp_path, sockets) as running:
        until_it_says(running, b"up")
        running.signal(signal.SIGTERM)
        assert running.wait(5) == 7


def test_a_service_that_ignores_signals_ends_with_its_context(
    tmp_path: Path, sockets: Path
):
    code = f"import signal; signal.signal(15, signal.SIG_IGN)\n{WAITS}"
    with start(code, tmp_path, sockets) as running:
        until_it_says(running, b"up")
        running.signal(signal.SIGTERM)
        assert running.wait(0.2) is None
    assert running.wait(0) == -signal.SIGKILL
    assert running.stopped == ""


def test_the_last_of_a_services_output_is_kept(tmp_path: Path, sockets: Path):
    code = "import sys\nfor n in range(1000): print(n)\nsys.stdout.flush()\nprint('the end', file=sys.stderr)"
    with start(code, tmp_path, sockets, limits=Limits(output=100)) as running:
        assert running.wait(5) == 0
    assert len(running.output()) == 100
    assert running.output().endswith(b"999\nthe end\n")


def test_a_folder_for_sockets_must_be_empty(tmp_path: Path, sockets: Path):
    """A judge that is root gives it away."""
    (sockets / "treasure").touch()
    with pytest.raises(ValueError, match="is not empty"), start("", tmp_path, sockets):
        pass
    assert sockets.stat().st_uid == os.getuid()


SERVICE = """
from fastapi import FastAPI

app = FastAPI()

@app.get("/")
def root(): return {"hello": "judge"}
"""


@pytest.mark.slow
def test_an_http_service_on_a_socket(tmp_path: Path, sockets: Path):
    (tmp_path / "service.py").write_text(SERVICE)
    command = [
        "python",
        "-m",
        "uvicorn",
        "service:app",
        "--uds",
        "/run/judge/service.sock",
    ]
    with Bubblewrap().start(command, folder=tmp_path, sockets=sockets) as running:
        until_it_says(running, b"Uvicorn running")
        answer = unix_client(sockets / "service.sock").get("/")
        assert answer.json() == {"hello": "judge"}
        running.signal(signal.SIGTERM)
        assert running.wait(10) in (0, -signal.SIGTERM)
    assert b"Application shutdown complete" in running.output()


def until_it_says(running, words: bytes) -> None:
    deadline = time.monotonic() + 20
    while words not in running.output():
        assert time.monotonic() < deadline
        assert running.alive, running.output()
        time.sleep(0.01)
