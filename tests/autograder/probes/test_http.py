"""The client: what it sends, what it reads from answers, and what it tells the learner when there is none."""

import contextlib
import json
import random
import socket
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from servers import OK, answer, endless, request, saying, serving, silent

from autograder.errors import InfrastructureError, LearnerError
from autograder.probes import wire
from autograder.probes.http import (
    Answer,
    Failure,
    Piece,
    Request,
    complaint,
    metrics,
    problem_complaint,
    unix_client,
)


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short path: a Unix socket's name has 107 bytes."""
    return tmp_path_factory.mktemp("s")


def answered(body: bytes, status: int = 200, **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status, named, body, 0.01, 0)


class Recorder:
    """Answers every request with `status` and keeps what it was sent."""

    def __init__(self, status: int = 200) -> None:
        self.status = status
        self.seen: list[tuple[str, dict[str, str], bytes]] = []

    def __call__(self, connection: socket.socket) -> None:
        self.seen.append(request(connection))
        connection.sendall(answer(self.status, b"{}"))


class TestRequests:
    def test_a_json_body(self, folder: Path) -> None:
        recorder = Recorder()
        with serving(folder / "s", recorder) as path:
            client = unix_client(path, random.Random(0))
            client.post_json("/predict", {"text": "Grüße"}, headers={"X-Id": "7"})
        [(first, headers, body)] = recorder.seen
        assert first == "POST /predict HTTP/1.1"
        assert headers["content-type"] == "application/json"
        assert headers["x-id"] == "7"
        assert json.loads(body) == {"text": "Grüße"}
        assert "ü".encode() in body

    def test_nan_is_the_callers_mistake(self) -> None:
        with pytest.raises(ValueError, match="JSON compliant"):
            Request.post_json("/predict", float("nan"))

    def test_an_upload_in_chunks(self, folder: Path) -> None:
        received = bytearray()

        def handle(connection: socket.socket) -> None:
            while not received.endswith(b"0\r\n\r\n"):
                received.extend(connection.recv(1000))
            connection.sendall(answer(200))

        with serving(folder / "s", handle) as path:
            unix_client(path).request("POST", "/", [Piece(b"hello", times=2)])
        head, _, body = bytes(received).partition(b"\r\n\r\n")
        assert b"Transfer-Encoding: chunked" in head
        assert b"Content-Length" not in head
        assert body == b"5\r\nhello\r\n5\r\nhello\r\n0\r\n\r\n"

    def test_a_body_that_is_not_as_long_as_announced(self, folder: Path) -> None:
        recorder = Recorder()
        with serving(folder / "s", recorder) as path:
            unix_client(path).request("POST", "/", [Piece(b"hello")], announced=3)
        [(_, headers, body)] = recorder.seen
        assert (headers["content-length"], body) == ("3", b"hello")

    def test_looks_like_several_ordinary_clients(self, folder: Path) -> None:
        recorder = Recorder()
        with serving(folder / "s", recorder) as path:
            client = unix_client(path, random.Random(0))
            for _ in range(40):
                client.get("/")
                client.post_json("/", 1)
        agents = {
            method: {
                headers["user-agent"].split("/")[0]
                for first, headers, _ in recorder.seen
                if first.startswith(method)
            }
            for method in ("GET", "POST")
        }
        people = {"curl", "Go-http-client", "python-requests", "Mozilla"}
        assert agents == {"GET": people | {"kube-probe"}, "POST": people}
        for _, headers, _ in recorder.seen:
            assert headers["host"] == "localhost"
            assert headers.get("accept-encoding", "identity") == "identity"

    def test_the_seed_decides_and_polling_does_not_change_it(
        self, folder: Path
    ) -> None:
        def agents(seed: int, wait: bool) -> list[str]:
            recorder = Recorder()
            with serving(folder / "s", recorder) as path:
                client = unix_client(path, random.Random(seed))
                if wait:
                    client.wait_until("/ready", 200, 5)
                for _ in range(10):
                    client.get("/")
            (folder / "s").unlink()
            return [headers["user-agent"] for _, headers, _ in recorder.seen[-10:]]

        assert agents(1, wait=False) == agents(1, wait=True) != agents(2, wait=False)


class TestJson:
    @pytest.mark.parametrize(
        "value", [None, 1, -0.5, "ü", [], {"a": [{"b": True}]}, [[[]]], 10**400]
    )
    def test_reads(self, value: object) -> None:
        assert answered(json.dumps(value).encode()).json() == value

    @pytest.mark.parametrize(
        ("body", "phrase"),
        [
            (b"", "not JSON"),
            (b"{'a': 1}", "not JSON"),
            (b"{} {}", "not JSON"),
            (b"NaN", "NaN is not a JSON value"),
            (b'{"p": Infinity}', "Infinity is not a JSON value"),
            (b"1e999", "a number is too large"),
            (b"1" * 5000, "not JSON"),
            (b'{"a": 1, "a": 2}', "the same name twice"),
            (b"\xff", "not UTF-8"),
            (b"\xef\xbb\xbf{}", "not JSON"),
            (b"[" * 200 + b"]" * 200, "nests too deeply"),
            (b"[" * 500_000, "nests too deeply"),
            (b'{"a":' * 100_000, "nests too deeply"),
        ],
        ids=lambda value: str(value[:12]),
    )
    def test_refuses(self, body: bytes, phrase: str) -> None:
        with pytest.raises(ValueError, match=phrase):
            answered(body).json()

    def test_refuses_what_was_compressed_unasked(self) -> None:
        with pytest.raises(ValueError, match="compressed"):
            answered(b"\x1f\x8b", content_encoding="gzip").json()

    @given(st.binary())
    def test_nothing_else_than_value_error(self, body: bytes) -> None:
        for read in (Answer.json, metrics):
            with contextlib.suppress(ValueError):
                read(answered(body))


class TestMetrics:
    def test_reads(self) -> None:
        found = metrics(
            answered(
                b"# TYPE http_requests counter\n"
                b'http_requests_total{route="/a",status="200"} 3.0\n'
                b'http_requests_total{route="/b",status="500"} 1\n'
                b"up 1\n"
            )
        )
        assert found == {
            "http_requests_total": {
                frozenset({("route", "/a"), ("status", "200")}): 3.0,
                frozenset({("route", "/b"), ("status", "500")}): 1.0,
            },
            "up": {frozenset(): 1.0},
        }

    @pytest.mark.parametrize(
        "body",
        [b"<html>", b"a one\n", b"a 1\na 2\n", b"\xff", b'a{b="c" 1'],
    )
    def test_refuses(self, body: bytes) -> None:
        with pytest.raises(ValueError, match=r"format|twice"):
            metrics(answered(body))


PROBLEM = {"type": "urn:x", "title": "Bad Request", "status": 400, "detail": "No text."}


class TestProblems:
    def complaint(
        self, document: object, kind: str = "application/problem+json"
    ) -> str:
        body = json.dumps(document).encode()
        return problem_complaint(answered(body, 400, content_type=kind)) or ""

    def test_right(self) -> None:
        assert self.complaint(PROBLEM) == ""
        assert self.complaint(PROBLEM, "Application/Problem+JSON; charset=utf-8") == ""
        assert self.complaint(PROBLEM | {"errors": []}) == ""

    @pytest.mark.parametrize(
        ("change", "phrase"),
        [
            ({"type": None}, "'type'"),
            ({"title": ""}, "'title'"),
            ({"detail": ["x"]}, "'detail'"),
            ({"status": 422}, "'status'"),
            ({"status": "400"}, "'status'"),
            ({"status": True}, "'status'"),
        ],
    )
    def test_wrong(self, change: dict, phrase: str) -> None:
        assert phrase in self.complaint(PROBLEM | change)

    def test_other_kinds(self) -> None:
        assert "application/json" in self.complaint(PROBLEM, "application/json")
        assert "not a JSON object" in self.complaint([PROBLEM])
        broken = answered(b"{", 400, content_type="application/problem+json")
        assert "not JSON" in (problem_complaint(broken) or "")


class TestSentences:
    @pytest.mark.parametrize(
        ("handle", "kind", "seen"),
        [
            (silent, "timeout", "GET /x did not answer within 0.3 s."),
            (
                endless(OK, b"X-A: b\r\n", pause=0.05),
                "timeout",
                "GET /x began to answer but did not finish within 0.3 s.",
            ),
            (
                endless(OK + b"\r\n", b"x" * 9999),
                "too-large",
                "The answer to GET /x has more than 1,000 bytes of body.",
            ),
            (
                saying(b"hello\n"),
                "not-http",
                "GET /x was answered with something that is not HTTP: hello.",
            ),
            (
                saying(),
                "closed-early",
                "GET /x: the connection was closed without an answer.",
            ),
            (
                saying(OK + b"Content-Length: 9\r\n\r\nhello"),
                "closed-early",
                "GET /x: the connection was closed after 5 of 9 bytes of body.",
            ),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    def test_for_each_failure(
        self, folder: Path, handle: wire.Callable, kind: str, seen: str
    ) -> None:
        with serving(folder / "s", handle) as path:
            # The query is an input and stays out of what the learner reads.
            ask = Request("GET", "/x?secret", seconds=0.3, limit=1000)
            [failure] = unix_client(path).many([ask], 1)
        assert isinstance(failure, Failure)
        assert (failure.kind, failure.seen) == (kind, seen)
        assert failure.advice.endswith(".")

    def test_nobody_there(self, folder: Path) -> None:
        with pytest.raises(LearnerError) as error:
            unix_client(folder / "service.sock").get("/")
        assert error.value.seen == "Nothing listens on the socket service.sock."

    def test_a_service_that_is_gone(self, folder: Path) -> None:
        gone = LearnerError("The service ended with status 3.", "Read its log.")
        with serving(folder / "s", saying()) as path:
            for client in (
                unix_client(path, gone=lambda: gone),
                unix_client(folder / "absent", gone=lambda: gone),
            ):
                with pytest.raises(LearnerError, match="status 3"):
                    client.get("/")
        with (
            serving(folder / "t", silent) as path,
            pytest.raises(LearnerError, match="did not answer"),
        ):
            unix_client(path, gone=lambda: gone).get("/", seconds=0.1)

    def test_the_machines_fault_is_not_the_learners(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(*_: object) -> wire.Failure:
            return wire.Failure("machine", "Too many open files", 0.0)

        monkeypatch.setattr(wire, "exchange", full)
        client = unix_client(folder / "s")
        with pytest.raises(InfrastructureError, match="Too many open files"):
            client.get("/")
        with pytest.raises(InfrastructureError, match="Too many open files"):
            client.many([Request()], 2)


class TestMany:
    def test_answers_in_order_and_at_once(self, folder: Path) -> None:
        together = threading.Barrier(8, timeout=5)

        def handle(connection: socket.socket) -> None:
            _, _, body = request(connection)
            together.wait()  # answers nobody until eight are here
            connection.sendall(answer(200, body))

        requests = [Request.post_json("/", number) for number in range(32)]
        with serving(folder / "s", handle) as path:
            answers = unix_client(path).many(requests, at_once=8)
        assert complaint(answers) is None
        assert [each.json() for each in answers] == list(range(32))  # type: ignore[union-attr]

    def test_no_more_at_once_than_asked(self, folder: Path) -> None:
        lock = threading.Lock()
        now, most = 0, 0

        def handle(connection: socket.socket) -> None:
            nonlocal now, most
            request(connection)
            with lock:
                now += 1
                most = max(now, most)
            time.sleep(0.02)
            with lock:
                now -= 1
            connection.sendall(answer(200))

        with serving(folder / "s", handle) as path:
            unix_client(path).many([Request()] * 20, at_once=3)
        assert most == 3

    def test_failures_are_told_apart_from_answers(self, folder: Path) -> None:
        def handle(connection: socket.socket) -> None:
            _, _, body = request(connection)
            connection.sendall(answer(500) if body == b"0" else b"")

        with serving(folder / "s", handle) as path:
            answers = unix_client(path).many(
                [Request.post_json("/", number) for number in range(4)], at_once=4
            )
        assert isinstance(answers[0], Answer)
        error = complaint(answers)
        assert error is not None
        assert error.seen == (
            "1 of 4 requests were answered. POST /: the connection was closed without an answer."
        )

    def test_the_whole_has_a_deadline(self, folder: Path) -> None:
        started = time.monotonic()
        with serving(folder / "s", silent) as path:
            answers = unix_client(path).many([Request()] * 50, at_once=2, seconds=0.3)
        assert time.monotonic() - started < 2
        assert len(answers) == 50
        assert all(isinstance(a, Failure) and a.kind == "timeout" for a in answers)


class TestHeld:
    def test_others_are_served_meanwhile(self, folder: Path) -> None:
        with serving(folder / "s", Recorder()) as path:
            client = unix_client(path)
            with client.held(20, b"GET / HT") as release:
                assert client.get("/").status == 200
                assert release() == 20

    def test_a_server_that_closes_them(self, folder: Path) -> None:
        closed = threading.Semaphore(0)

        def handle(connection: socket.socket) -> None:
            connection.shutdown(socket.SHUT_RDWR)
            closed.release()

        with (
            serving(folder / "s", handle) as path,
            unix_client(path).held(2) as release,
        ):
            assert closed.acquire(timeout=5)
            assert closed.acquire(timeout=5)
            assert release() == 0

    def test_nobody_there(self, folder: Path) -> None:
        with (
            pytest.raises(LearnerError, match="Nothing listens"),
            unix_client(folder / "s").held(1),
        ):
            pass


class TestWaiting:
    def test_until_the_status_comes(self, folder: Path) -> None:
        statuses = iter([503, 503, 200])

        def handle(connection: socket.socket) -> None:
            request(connection)
            connection.sendall(answer(next(statuses)))

        with serving(folder / "s", handle) as path:
            assert unix_client(path).wait_until("/ready", 200, 10).status == 200

    def test_until_somebody_listens(self, folder: Path) -> None:
        waited: list[Answer] = []
        client = unix_client(folder / "s")
        waiter = threading.Thread(
            target=lambda: waited.append(client.wait_until("/ready", 200, 10))
        )
        waiter.start()
        time.sleep(0.2)
        with serving(folder / "s", saying(answer(200))):
            waiter.join()
        assert [answer.status for answer in waited] == [200]

    def test_not_for_ever(self, folder: Path) -> None:
        with (
            serving(folder / "s", saying(answer(503))) as path,
            pytest.raises(
                LearnerError,
                match=r"did not answer 200 within 0.3 s; it last answered 503\.",
            ),
        ):
            unix_client(path).wait_until("/ready", 200, 0.3)
        with pytest.raises(LearnerError, match=r"within 0.2 s\. Nothing listens on"):
            unix_client(folder / "absent").wait_until("/ready", 200, 0.2)

    def test_not_for_a_service_that_is_gone(self, folder: Path) -> None:
        started = time.monotonic()
        gone = LearnerError("The service ended with status 3.", "Read its log.")
        client = unix_client(folder / "absent", gone=lambda: gone)
        with pytest.raises(LearnerError, match="status 3"):
            client.wait_until("/ready", 200, 60)
        assert time.monotonic() - started < 5


def test_bytes_that_are_not_http(folder: Path) -> None:
    received = []

    def handle(connection: socket.socket) -> None:
        received.append(connection.recv(100))
        connection.sendall(answer(400))

    with serving(folder / "s", handle) as path:
        seen = unix_client(path).raw([Piece(b"\x16\x03\x01 hello")])
    assert isinstance(seen, Answer)
    assert seen.status == 400
    assert received == [b"\x16\x03\x01 hello"]
