"""The same interface in a container: what is the program's doing, and what the engine's."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from unavailable import unavailable

from autograder.engine import Engine
from autograder.errors import InfrastructureError
from autograder.probes.python import Functions
from autograder.sandbox import Limits
from autograder.sandbox.container import ContainerSandbox

ENGINES = [
    pytest.param(name, marks=pytest.mark.needs(name)) for name in ("docker", "podman")
]
pytestmark = pytest.mark.slow


@pytest.fixture(params=ENGINES)
def sandbox(request: pytest.FixtureRequest) -> Iterator[ContainerSandbox]:
    with Engine.connect(request.param) as engine:
        try:
            yield ContainerSandbox(engine)
        except InfrastructureError as error:
            unavailable(str(error))


def run(sandbox: ContainerSandbox, folder: Path, code: str, **options):
    return sandbox.run(["python", "-I", "-S", "-c", code], folder=folder, **options)


def test_a_program_and_what_it_says(sandbox: ContainerSandbox, tmp_path: Path):
    (tmp_path / "notes.txt").write_text("from the folder")
    code = (
        "import os, sys\n"
        "print(open('notes.txt').read(), sys.stdin.read(), os.environ['MINE'], os.getuid())\n"
        "sys.stderr.write('err'); sys.exit(3)"
    )
    completed = run(sandbox, tmp_path, code, stdin=b"and stdin", env={"MINE": "mine"})
    assert completed.status == 3
    assert completed.stdout == b"from the folder and stdin mine 65534\n"
    assert completed.stderr == b"err"


def test_no_way_out_and_no_way_to_write(sandbox: ContainerSandbox, tmp_path: Path):
    code = (
        "import socket\n"
        "try: socket.create_connection(('1.1.1.1', 53), 1)\n"
        "except OSError: print('no network')\n"
        "try: open('/new', 'w')\n"
        "except OSError: print('read-only')"
    )
    assert run(sandbox, tmp_path, code).stdout == b"no network\nread-only\n"


def test_limits(sandbox: ContainerSandbox, tmp_path: Path):
    loop = run(sandbox, tmp_path, "while True: pass", limits=Limits(seconds=0.5))
    assert (loop.stopped, loop.status) == ("time", -9)
    bomb = run(
        sandbox,
        tmp_path,
        "x = []\nwhile True: x.append(bytearray(1 << 20))",
        limits=Limits(memory=64 << 20),
    )
    assert bomb.stopped == "memory"
    noise = run(
        sandbox,
        tmp_path,
        "while True: print('x' * 100_000)",
        limits=Limits(output=1000),
    )
    assert noise.stopped == "output"


def test_the_status_of_an_engine_that_failed_is_not_the_programs(
    sandbox: ContainerSandbox, tmp_path: Path
):
    assert run(sandbox, tmp_path, "import sys; sys.exit(125)").status == 125
    sandbox = ContainerSandbox(sandbox._engine, "localhost/there-is-no-such-image")
    with pytest.raises(InfrastructureError, match="A container did not start"):
        run(sandbox, tmp_path, "")


def test_functions_of_a_notebook(sandbox: ContainerSandbox):
    cells = ["import math\ndef f(x): return math.sqrt(x)"]
    assert Functions(cells, sandbox).call("f", 4) == 2.0


def test_no_services(sandbox: ContainerSandbox, tmp_path: Path):
    with pytest.raises(InfrastructureError, match="Grade this assignment on Linux"):
        sandbox.start(["python"], folder=tmp_path, sockets=tmp_path)
