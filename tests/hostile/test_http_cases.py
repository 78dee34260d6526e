"""Services that try to look better than they are, or to hurt who probes them."""

import contextlib
import gzip
import json
import random
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from servers import OK, answer, endless, request, saying, serving

from autograder.engine import Container, Engine
from autograder.errors import LearnerError
from autograder.probes import wire
from autograder.probes.http import (
    Answer,
    Client,
    Failure,
    Request,
    complaint,
    container_client,
    unix_client,
)


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short path: a Unix socket's name has 107 bytes."""
    return tmp_path_factory.mktemp("s")


@contextlib.contextmanager
def program(source: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A learner's program in a process of its own; yielded once it has written a line."""
    with subprocess.Popen(
        [sys.executable, "-I", "-u", "-c", source, *arguments],
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout
            process.stdout.readline()
            yield process
        finally:
            process.kill()


def doubled(connection: socket.socket) -> None:
    """The honest service of these tests: twice the number it is sent."""
    _, _, body = request(connection)
    connection.sendall(answer(200, json.dumps(2 * json.loads(body)).encode()))


def right(client: Client, numbers: list[int]) -> list[bool]:
    answers = [client.post_json("/", number) for number in numbers]
    return [
        answer.status == 200 and answer.json() == 2 * number
        for answer, number in zip(answers, numbers, strict=True)
    ]


def test_case_39_two_jobs_same_name(folder: Path) -> None:
    def serve(name: str) -> Path:
        (folder / name).mkdir()
        saying_so = saying(answer(200, name.encode()))
        return stack.enter_context(serving(folder / name / "s", saying_so))

    def bodies(path: Path) -> set[bytes]:
        answers = unix_client(path).many([Request()] * 30, at_once=4)
        assert complaint(answers) is None
        return {each.body for each in answers if isinstance(each, Answer)}

    with contextlib.ExitStack() as stack, ThreadPoolExecutor(2) as pool:
        paths = [serve("one"), serve("two")]
        assert list(pool.map(bodies, paths)) == [{b"one"}, {b"two"}]


PATCHED = """
import http.client, io, socket, sys, time, urllib.request
class Healthy(io.BytesIO):
    status = code = 200
    def read(self, *_): return b'{"status": "ok"}'
urllib.request.urlopen = lambda *_, **__: Healthy()
http.client.HTTPConnection.getresponse = lambda self: Healthy()
socket.socket.connect = lambda self, address: None
socket.socket.bind = lambda self, address: None
socket.socket.listen = lambda self, *_: None
assert urllib.request.urlopen("http://localhost:8080/healthz").status == 200
server = socket.socket(socket.AF_UNIX)
server.bind(sys.argv[1])
server.listen()
print("healthy")
time.sleep(60)
"""


def test_case_43_patched_clients_impress_only_themselves(folder: Path) -> None:
    with program(PATCHED, str(folder / "s")) as process:
        client = unix_client(folder / "s")
        with pytest.raises(LearnerError, match="Nothing listens"):
            client.wait_until("/healthz", 200, 0.3)
        assert process.poll() is None


def test_case_44_hard_coded_answers(folder: Path) -> None:
    examples = [1, 2, 3]

    def known(connection: socket.socket) -> None:
        _, _, body = request(connection)
        number = json.loads(body)
        connection.sendall(
            answer(200, b"%d" % (2 * number if number in examples else 2))
        )

    chance = random.Random(44)
    fresh = [chance.randrange(10, 10**6) for _ in range(5)]
    for handle, expected in ((known, False), (doubled, True)):
        with serving(folder / "s", handle) as path:
            client = unix_client(path, chance)
            assert all(right(client, examples))
            assert right(client, fresh) == [expected] * 5
        (folder / "s").unlink()


MORTAL = """
import os, socket, sys
server = socket.socket(socket.AF_UNIX)
server.bind(sys.argv[1])
server.listen(64)
print("ready")
for _ in range(int(sys.argv[2])):
    connection, _ = server.accept()
    connection.recv(10000)
    connection.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok")
    connection.close()
os._exit(9)
"""


def test_case_45_healthy_then_dies_under_load(folder: Path) -> None:
    with program(MORTAL, str(folder / "s"), "21") as process:

        def gone() -> LearnerError | None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                return LearnerError(
                    f"It ended with status {process.wait(1)}.", "Read its log."
                )
            return None

        client = unix_client(folder / "s", gone=gone)
        client.wait_until("/healthz", 200, 5)
        answers = client.many([Request()] * 100, at_once=4)
    error = complaint(answers)
    assert error is not None
    assert error.seen == "20 of 100 requests were answered. It ended with status 9."


class TestCase53:
    """Towards the prober: it ends in time and keeps little, whatever comes."""

    def outcome(self, folder: Path, handle: wire.Callable) -> Answer | Failure:
        with serving(folder / "s", handle) as path:
            started = time.monotonic()
            [seen] = unix_client(path).many([Request(seconds=0.5)], 1)
            assert time.monotonic() - started < 5
        return seen

    def test_slow_loris(self, folder: Path) -> None:
        seen = self.outcome(folder, endless(b"", b"H", pause=0.1))
        assert isinstance(seen, Failure)
        assert seen.kind == "timeout"

    def test_endless_body(self, folder: Path) -> None:
        seen = self.outcome(folder, endless(OK + b"\r\n", b"x" * 65_536))
        assert isinstance(seen, Failure)
        assert seen.kind in ("too-large", "timeout")

    def test_redirect_loop(self, folder: Path) -> None:
        paths = []

        def handle(connection: socket.socket) -> None:
            paths.append(request(connection)[0])
            connection.sendall(
                b"HTTP/1.1 307 Again\r\nLocation: /again\r\nContent-Length: 0\r\n\r\n"
            )

        seen = self.outcome(folder, handle)
        assert isinstance(seen, Answer)
        assert seen.status == 307
        assert len(paths) == 1

    def test_gzip_bomb(self, folder: Path) -> None:
        bomb = gzip.compress(b"[" + b"1," * 5_000_000 + b"1]")
        head = b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(bomb)
        seen = self.outcome(folder, saying(OK + head + bomb))
        assert isinstance(seen, Answer)
        assert seen.body == bomb
        with pytest.raises(ValueError, match="compressed"):
            seen.json()


def test_case_57_good_behaviour_for_one_client_only(folder: Path) -> None:
    """Whichever client it favours: within 20 exchanges others have come by."""
    for favoured in ("curl", "kube-probe", "Go-http", "python-requests", "Mozilla"):

        def picky(connection: socket.socket, favoured: str = favoured) -> None:
            _, headers, _ = request(connection)
            good = headers["user-agent"].startswith(favoured)
            connection.sendall(answer(200 if good else 500))

        with serving(folder / "s", picky) as path:
            for seed in range(20):
                client = unix_client(path, random.Random(seed))
                statuses = {client.get("/").status for _ in range(20)}
                assert 500 in statuses
        (folder / "s").unlink()


# --- in containers ---

SERVICE = """
import http.server, os, socket, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/interfaces":
            body = " ".join(sorted(os.listdir("/sys/class/net"))).encode()
        elif self.path.startswith("/proxy/"):
            body = self.fetch(self.path.removeprefix("/proxy/"))
        else:
            body = sys.argv[3].encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def fetch(self, host):
        try:
            with socket.create_connection((host, 8080), 1) as peer:
                peer.sendall(b"GET / HTTP/1.0\\r\\n\\r\\n")
                return peer.makefile("rb").read()
        except OSError as error:
            return repr(error).encode()
    def log_message(self, *_): pass
http.server.ThreadingHTTPServer((sys.argv[1], int(sys.argv[2])), Handler).serve_forever()
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
def running(
    engine: Engine, address: str, port: int, body: str = "ok"
) -> Iterator[Container]:
    command = ["python3", "-u", "-c", SERVICE, address, str(port), body]
    with engine.run(engine.image(engine.base), command=command) as container:
        yield container


@pytest.mark.parametrize(("address", "port"), [("127.0.0.1", 8080), ("0.0.0.0", 5000)])
def test_case_52_localhost_or_the_wrong_port(
    engine: Engine, address: str, port: int
) -> None:
    with (
        running(engine, address, port) as container,
        container_client(engine, container, 8080) as client,
    ):
        deadline = time.monotonic() + 10
        while not client.listening() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert client.listening() == [(address, port)]
        with pytest.raises(LearnerError) as error:
            client.get("/")
    assert error.value.seen == (
        f"Nothing listens on port 8080 from outside the container; it listens on {address}:{port}."
    )


LIAR = """
FROM python:3.11-slim
HEALTHCHECK CMD true
ENTRYPOINT ["sh", "-c", "echo 'Uvicorn running on http://0.0.0.0:8080'; exec sleep 60"]
"""


def test_case_54_a_healthcheck_and_a_log_that_lie(
    engine: Engine, tmp_path: Path
) -> None:
    (tmp_path / "Dockerfile").write_text(LIAR)
    with (
        engine.run(engine.build(tmp_path)) as container,
        container_client(engine, container, 8080) as client,
    ):
        assert container.healthcheck() == 0
        with pytest.raises(LearnerError, match="Nothing listens on port 8080"):
            client.wait_until("/healthz", 200, 0.5)
        assert client.listening() == []


def test_cases_55_and_59_same_port_and_no_way_to_the_other(engine: Engine) -> None:
    """Two learners' containers at the same time, both on port 8080: no clash, no proxying to the other."""
    before = {port for _, port in wire.listening()}
    with contextlib.ExitStack() as stack, ThreadPoolExecutor(2) as pool:

        def start(body: str) -> Client:
            container = stack.enter_context(running(engine, "0.0.0.0", 8080, body))
            return stack.enter_context(container_client(engine, container, 8080))

        def bodies(client: Client) -> set[bytes]:
            client.wait_until("/", 200, 20)
            answers = client.many([Request()] * 20, at_once=4)
            assert complaint(answers) is None
            return {each.body for each in answers if isinstance(each, Answer)}

        clients = [start("mine"), start("theirs")]
        assert list(pool.map(bodies, clients)) == [{b"mine"}, {b"theirs"}]
        if 8080 not in before:
            assert 8080 not in {port for _, port in wire.listening()}
        assert clients[0].get("/interfaces").body == b"lo"
        for host in (
            "172.17.0.1",
            "172.17.0.2",
            "172.17.0.3",
            "10.88.0.1",
            "10.88.0.2",
        ):
            assert b"unreachable" in clients[0].get(f"/proxy/{host}").body
