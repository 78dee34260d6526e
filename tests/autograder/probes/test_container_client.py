"""The prober beside a container: as a plain process for its own faults, in docker and podman for the rest."""

import contextlib
import random
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from servers import accepting, answer, request, saying, silent

from autograder.engine import Container, Engine, State
from autograder.errors import InfrastructureError, LearnerError
from autograder.probes import container as module
from autograder.probes import wire
from autograder.probes.http import Answer, Request, complaint, container_client

linux = pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux has all of 127.0.0.0/8"
)


class Here:
    """An engine whose containers are plain processes of this machine."""

    base = "unused"

    def __init__(self, command: list[str] | None = None) -> None:
        self.command = command
        self.process: subprocess.Popen[bytes] | None = None

    @contextlib.contextmanager
    def attached(self, image: str, command: list[str], **options: Any) -> Iterator:
        command = self.command or [sys.executable, *command[1:]]
        pipe = subprocess.PIPE
        with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe) as process:
            self.process = process
            try:
                yield process
            finally:
                process.kill()


@dataclass
class Fake:
    """A container that is said to run, or to have ended."""

    exit_status: int | None = None
    oom_killed: bool = False
    id: str = "x"
    asked: int = 0

    def state(self) -> State:
        self.asked += 1
        running = self.exit_status is None
        return State(running, "", self.exit_status or 0, self.oom_killed, 0)

    def logs(self) -> bytes:
        return b"early\n" * 9 + b"Traceback:\n\x1b[31m  RuntimeError: no\n"


@contextlib.contextmanager
def probed(handle: Any, container: Fake, host: str = "0.0.0.0") -> Iterator[tuple]:
    """A server of this process, its engine, and a client of it through a prober."""
    with socket.create_server((host, 0)) as listener, accepting(listener, handle):
        port = listener.getsockname()[1]
        engine: Any = Here()
        with container_client(engine, container, port, random.Random(0)) as client:  # type: ignore[arg-type]
            yield engine, client, port


def echo(connection: socket.socket) -> None:
    _, _, body = request(connection)
    connection.sendall(answer(200, body))


@linux
class TestTheWay:
    def test_there_and_back(self) -> None:
        with probed(echo, Fake()) as (_, client, port):
            body = bytes(range(256)) * 1000
            seen = client.request("POST", "/", body)
            assert (seen.status, seen.body) == (200, body)
            assert ("0.0.0.0", port) in client.listening()

    def test_many_at_once(self) -> None:
        together = threading.Barrier(16, timeout=10)

        def handle(connection: socket.socket) -> None:
            _, _, body = request(connection)
            together.wait()
            connection.sendall(answer(200, body))

        with probed(handle, Fake()) as (_, client, _):
            answers = client.many(
                [Request.post_json("/", number) for number in range(64)], at_once=16
            )
        assert complaint(answers) is None
        assert [each.json() for each in answers] == list(range(64))

    def test_connections_held_open(self) -> None:
        def handle(connection: socket.socket) -> None:
            if connection.recv(1) == b"G":
                echo(connection)
            else:
                silent(connection)

        with probed(handle, Fake()) as (_, client, _), client.held(5, b"?") as release:
            assert client.get("/").status == 200
            assert release() == 5

    def test_an_answer_that_never_ends_on_this_way_either(self) -> None:
        with (
            probed(silent, Fake()) as (_, client, _),
            pytest.raises(LearnerError, match=r"did not answer within 0.2 s\."),
        ):
            client.get("/", seconds=0.2)

    def test_who_listens_on_localhost_only_is_not_reached(self) -> None:
        with (
            probed(saying(answer(200)), Fake(), host="127.0.0.1") as (_, client, port),
            pytest.raises(LearnerError) as error,
        ):
            client.get("/")
        assert f"127.0.0.1:{port}" in error.value.seen
        assert "0.0.0.0" in error.value.advice

    def test_the_process_ends_with_the_block(self) -> None:
        with probed(echo, Fake()) as (engine, client, _):
            client.get("/")
        assert engine.process.poll() == 0


@linux
class TestThePartsThatFail:
    def test_the_prober_dies_while_somebody_waits(self) -> None:
        with probed(silent, Fake()) as (engine, client, _):
            threading.Timer(0.3, engine.process.kill).start()
            with pytest.raises(
                InfrastructureError, match="prober beside the container"
            ):
                client.get("/", seconds=20)
            with pytest.raises(
                InfrastructureError, match="prober beside the container"
            ):
                client.get("/")

    @pytest.mark.parametrize(
        ("program", "phrase"),
        [
            ("raise SystemExit('no such network')", "no such network"),
            ("print('hello')", "it said nothing"),
            ("print('{}')", "it said nothing"),
            ("print('x' * 10_000_000, end='')", "it said nothing"),
        ],
    )
    def test_what_is_started_is_no_prober(self, program: str, phrase: str) -> None:
        engine: Any = Here([sys.executable, "-c", program])
        container: Any = Fake()
        with (
            pytest.raises(InfrastructureError, match=phrase),
            container_client(engine, container, 8080),
        ):
            pass

    def test_it_neither_answers_nor_ends(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "START", 0.2)
        monkeypatch.setattr(module, "CLOSE", 0.2)
        engine: Any = Here([sys.executable, "-c", "import time; time.sleep(60)"])
        container: Any = Fake()
        started = time.monotonic()
        with (
            pytest.raises(
                InfrastructureError, match=r"did not answer within 0\.2 seconds"
            ),
            container_client(engine, container, 8080),
        ):
            pass
        assert time.monotonic() - started < 5

    def test_a_mistake_in_the_prober_is_not_waited_for(self) -> None:
        with probed(echo, Fake()) as (_, client, _):
            seen = client._transport._do("no_such_thing")
            assert isinstance(seen, wire.Failure)
            assert seen.kind == "machine"

    def test_the_container_has_ended(self) -> None:
        engine: Any = Here([sys.executable, "-c", "raise SystemExit('not running')"])
        container: Any = Fake(exit_status=3)
        with (
            pytest.raises(LearnerError) as error,
            container_client(engine, container, 8080),
        ):
            pass
        assert error.value.seen == (
            "The container ended with status 3. "
            "Its log ends: early / early / early / Traceback: / ?[31m  RuntimeError: no"
        )

    @pytest.mark.parametrize("oom_killed", [True, False])
    def test_the_container_is_killed_meanwhile(
        self, monkeypatch: pytest.MonkeyPatch, oom_killed: bool
    ) -> None:
        container = Fake()
        with probed(saying(), container) as (_, client, _):
            with pytest.raises(LearnerError, match="closed without an answer"):
                client.get("/")
            monkeypatch.setattr(module, "LOOK", 0.0)
            container.exit_status, container.oom_killed = 137, oom_killed
            with pytest.raises(LearnerError, match="more memory than it is given"):
                client.get("/")

    def test_the_engine_is_not_asked_for_each_failure(self) -> None:
        container = Fake()
        with probed(saying(), container) as (_, client, _):
            answers = client.many([Request()] * 30, at_once=8)
        assert not any(isinstance(each, Answer) for each in answers)
        assert (
            container.asked == 1 + 2
        )  # at the start; when it fails, and again after a moment


SERVICE = """
import os, socket, sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/die":
            os.write(1, b"asked to die\\n")
            os._exit(7)
        if self.path == "/eat":
            self.server.kept = [bytearray(b"x" * 10_000_000) for _ in range(1000)]
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")
    def log_message(self, *_): pass
class Server(ThreadingHTTPServer):
    address_family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
Server((sys.argv[1], int(sys.argv[2])), Handler).serve_forever()
"""


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(name, marks=[pytest.mark.needs(name), pytest.mark.slow])
        for name in ("docker", "podman")
    ],
)
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    with Engine.connect(request.param) as engine:
        yield engine


@contextlib.contextmanager
def running(engine: Engine, address: str, port: int = 8080) -> Iterator[Container]:
    command = ["python3", "-u", "-c", SERVICE, address, str(port)]
    base = engine.image(engine.base)
    with engine.run(base, command=command, memory="128m") as container:
        yield container


class TestForReal:
    def test_a_service_on_all_addresses(self, engine: Engine) -> None:
        for address in ("0.0.0.0", "::"):
            with (
                running(engine, address) as container,
                container_client(engine, container, 8080) as client,
            ):
                assert client.wait_until("/", 200, 20).body == b"ok"
                assert client.listening() == [(address, 8080)]
                answers = client.many([Request()] * 50, at_once=10)
                assert complaint(answers) is None

    def test_one_that_dies(self, engine: Engine) -> None:
        with (
            running(engine, "0.0.0.0") as container,
            container_client(engine, container, 8080) as client,
        ):
            client.wait_until("/", 200, 20)
            with pytest.raises(LearnerError) as error:
                client.get("/die")
            assert error.value.seen == (
                "The container ended with status 7. Its log ends: asked to die"
            )
            started = time.monotonic()
            with pytest.raises(LearnerError, match="status 7"):
                client.wait_until("/", 200, 60)
            assert time.monotonic() - started < 10
            with (
                pytest.raises(LearnerError, match="status 7"),
                container_client(engine, container, 8080),
            ):
                pass

    def test_one_that_eats_its_memory(self, engine: Engine) -> None:
        with (
            running(engine, "0.0.0.0") as container,
            container_client(engine, container, 8080) as client,
        ):
            client.wait_until("/", 200, 20)
            with pytest.raises(LearnerError, match="more memory than it is given"):
                client.get("/eat", seconds=20)
