"""An exchange with servers that do everything wrong: it ends in time, and what went wrong has a name."""

import contextlib
import errno
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from servers import (
    OK,
    Handler,
    accepting,
    answer,
    endless,
    request,
    saying,
    serving,
    silent,
)

from autograder.probes import wire
from autograder.probes.wire import Address, Answered, Failure, Piece, Sending

GET = (Piece(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"),)
POST = Piece(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999\r\n\r\n")


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short path: a Unix socket's name has 107 bytes."""
    return tmp_path_factory.mktemp("s")


def ask(
    path: Path,
    pieces: tuple[Piece, ...] = GET,
    head: bool = False,
    seconds: float = 5.0,
    limit: int = 1000,
) -> Answered | Failure:
    return wire.exchange(Address(path=str(path)), Sending(pieces, head, seconds, limit))


def asked(folder: Path, handle: Handler, **options: object) -> Answered | Failure:
    with serving(folder / "s", handle) as path:
        return ask(path, **options)  # type: ignore[arg-type]


class TestAnswers:
    @pytest.mark.parametrize(
        ("said", "body"),
        [
            (b"Content-Length: 5\r\n\r\nhello", b"hello"),
            (b"Content-Length: 0\r\n\r\n", b""),
            (b"Content-Length: 5\r\n\r\nhello and more", b"hello"),
            (b"\r\nhello", b"hello"),  # until the connection is closed
            (
                b"Transfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n",
                b"hello",
            ),
            (
                b"Transfer-Encoding: chunked\r\n\r\n5;name=x\r\nhello\r\n0\r\nTrailer: x\r\n\r\n",
                b"hello",
            ),
            (
                b"Content-Encoding: gzip\r\nContent-Length: 3\r\n\r\n\x1f\x8b\x08",
                b"\x1f\x8b\x08",
            ),
        ],
    )
    def test_framing(self, folder: Path, said: bytes, body: bytes) -> None:
        seen = asked(folder, saying(OK + said))
        assert isinstance(seen, Answered), seen
        assert (seen.status, seen.body, seen.sent) == (200, body, len(GET[0].data))

    def test_a_body_that_is_never_closed_ends_with_its_length(
        self, folder: Path
    ) -> None:
        def handle(connection: socket.socket) -> None:
            request(connection)
            connection.sendall(OK + b"Content-Length: 2\r\n\r\nok")
            silent(connection)

        started = time.monotonic()
        assert isinstance(asked(folder, handle), Answered)
        assert time.monotonic() - started < 2

    @pytest.mark.parametrize("status", [204, 304])
    def test_statuses_without_a_body(self, folder: Path, status: int) -> None:
        said = f"HTTP/1.1 {status} X\r\nContent-Length: 5\r\n\r\nhello".encode()
        seen = asked(folder, saying(said))
        assert isinstance(seen, Answered)
        assert (seen.status, seen.body) == (status, b"")

    def test_head_has_no_body_whatever_is_announced(self, folder: Path) -> None:
        seen = asked(folder, saying(OK + b"Content-Length: 5000\r\n\r\n"), head=True)
        assert isinstance(seen, Answered)
        assert seen.headers["content-length"] == "5000"
        assert seen.body == b""

    def test_interim_answers_are_skipped(self, folder: Path) -> None:
        said = (
            b"HTTP/1.1 100 Continue\r\n\r\n",
            b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" * 3,
            answer(201, b"done"),
        )
        seen = asked(folder, saying(*said, pause=0.01))
        assert isinstance(seen, Answered)
        assert (seen.status, seen.body) == (201, b"done")
        assert "link" not in seen.headers

    def test_redirects_are_not_followed(self, folder: Path) -> None:
        asked_for = []

        def handle(connection: socket.socket) -> None:
            asked_for.append(request(connection)[0])
            connection.sendall(
                b"HTTP/1.1 302 Found\r\nLocation: /again\r\nContent-Length: 0\r\n\r\n"
            )

        seen = asked(folder, handle)
        assert isinstance(seen, Answered)
        assert (seen.status, seen.headers["location"]) == (302, "/again")
        assert asked_for == ["GET / HTTP/1.1"]

    def test_header_names_are_lower_case_and_repeated_ones_joined(
        self, folder: Path
    ) -> None:
        seen = asked(
            folder, saying(OK + b"X-A: 1\r\nx-a: 2\r\nContent-Length: 0\r\n\r\n")
        )
        assert isinstance(seen, Answered)
        assert seen.headers["x-a"] == "1, 2"


class TestBounds:
    def test_the_limit_is_allowed_and_one_byte_more_is_not(self, folder: Path) -> None:
        head = OK + b"Connection: close\r\n\r\n"
        assert isinstance(asked(folder, saying(head + b"x" * 1000)), Answered)
        (folder / "s").unlink()
        seen = asked(folder, saying(head + b"x" * 1001))
        assert isinstance(seen, Failure)
        assert (seen.kind, seen.detail) == (
            "too-large",
            "more than 1,000 bytes of body",
        )

    def test_chunks_of_one_byte_reach_the_limit(self, folder: Path) -> None:
        said = (
            OK
            + b"Transfer-Encoding: chunked\r\n\r\n"
            + b"1\r\nx\r\n" * 100_000
            + b"0\r\n\r\n"
        )
        seen = asked(folder, saying(said), limit=100_000)
        assert isinstance(seen, Answered)
        assert len(seen.body) == 100_000

    @pytest.mark.parametrize(
        ("first", "again"),
        [
            (OK + b"\r\n", b"x" * 10_000),
            (OK + b"Content-Length: 999999999999\r\n\r\n", b"x" * 10_000),
            (
                OK + b"Transfer-Encoding: chunked\r\n\r\n",
                b"400\r\n" + b"x" * 1024 + b"\r\n",
            ),
            (OK + b"Transfer-Encoding: chunked\r\n\r\nfffffffffff\r\n", b"x" * 10_000),
            (
                OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n",
                b"Trailer: again\r\n" * 500,
            ),
            (OK, b"X-More: header\r\n"),
            (OK + b"X-Long: ", b"x" * 1000),
            (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100),
            (b"HTTP/1.1 ", b"2" * 10_000),
        ],
        ids=[
            *("body", "length", "chunks", "one chunk", "trailers", "headers"),
            *("header", "interim", "status"),
        ],
    )
    def test_what_never_ends_is_cut_off(
        self, folder: Path, first: bytes, again: bytes
    ) -> None:
        seen = asked(folder, endless(first, again))
        assert isinstance(seen, Failure)
        # More than a hundred headers are also refused, as what they are.
        assert seen.kind in ("too-large", "not-http"), seen
        assert seen.seconds < 3

    @pytest.mark.parametrize(
        ("first", "again"),
        [
            (b"", b"H"),
            (OK, b"X"),
            (OK + b"Content-Length: 5000\r\n\r\n", b"x"),
            (OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
            (b"", b"HTTP/1.1 102 Processing\r\n\r\n"),
        ],
    )
    def test_a_byte_now_and_then_does_not_outlive_the_deadline(
        self, folder: Path, first: bytes, again: bytes
    ) -> None:
        seen = asked(
            folder, endless(first, again, pause=0.02), seconds=0.3, limit=10_000
        )
        assert isinstance(seen, Failure)
        assert (seen.kind, seen.detail) == ("timeout", "receiving")
        assert 0.29 < seen.seconds < 1

    def test_silence(self, folder: Path) -> None:
        seen = asked(folder, silent, seconds=0.2)
        assert isinstance(seen, Failure)
        assert (seen.kind, seen.detail) == ("timeout", "waiting")


class TestFaults:
    @pytest.mark.parametrize(
        "said",
        [
            b"SSH-2.0-OpenSSH_9.2\r\n",
            b"<html>It works</html>",
            b"\x00\x00\x12\x04\x00\x00\x00\x00\x00",
            b"HTTP/2 200\r\n\r\n",
            b"HTTP/1.1 two hundred\r\n\r\n",
            b"HTTP/1.1 99999 OK\r\n\r\n",
            OK + b"a line without a colon\r\n\r\n",
            OK + b"Content-Length: five\r\n\r\nhello",
            OK + b"Content-Length: -5\r\n\r\nhello",
            OK + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
            OK + b"Transfer-Encoding: chunked\r\n\r\nhello",
            OK + b"Transfer-Encoding: chunked\r\n\r\n-5\r\nhello\r\n0\r\n\r\n",
        ],
    )
    def test_not_http(self, folder: Path, said: bytes) -> None:
        def handle(connection: socket.socket) -> None:
            request(connection)
            connection.sendall(said + b"\r\n" * 4)
            silent(connection)

        seen = asked(folder, handle, seconds=2)
        assert isinstance(seen, Failure)
        assert seen.kind == "not-http", seen
        assert seen.detail.isascii()
        assert len(seen.detail) <= 60

    @pytest.mark.parametrize(
        ("said", "detail"),
        [
            (b"", ""),
            (OK + b"Content-Le", "after 27 bytes"),
            (OK + b"Content-Type: text/plain\r\n", "after 43 bytes"),
            (OK + b"Content-Length: 5\r\n\r\nhel", "after 3 of 5 bytes of body"),
            (OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhel", "after 53 bytes"),
            (
                OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
                "after 57 bytes",
            ),
        ],
    )
    def test_closed_early(self, folder: Path, said: bytes, detail: str) -> None:
        seen = asked(folder, saying(said))
        assert isinstance(seen, Failure)
        assert (seen.kind, seen.detail) == ("closed-early", detail)

    @settings(
        max_examples=200,
        deadline=None,
    )
    @given(
        st.sampled_from(
            [b"", OK, OK + b"Transfer-Encoding: chunked\r\n\r\n", OK + b"\r\n"]
        ),
        st.binary(max_size=200)
        | st.lists(
            st.sampled_from(
                [b"\r\n", b":", b"5", b" ", b"a", b"0\r\n\r\n", b"HTTP/1.1 1"]
            )
        ).map(b"".join),
    )
    def test_no_bytes_make_it_raise(self, first: bytes, rest: bytes) -> None:
        ours, theirs = socket.socketpair()
        with pytest.MonkeyPatch.context() as patch, ours:
            patch.setattr(wire, "connect", lambda *_: ours)
            with theirs:
                theirs.sendall(first + rest)
            seen = ask(Path("unused"), pieces=(), limit=100)
        assert isinstance(seen, Answered) or seen.kind in (
            *("not-http", "closed-early", "too-large"),
        )

    def test_what_nobody_foresaw_is_not_the_servers_fault(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(wire, "_receive", lambda *_: 1 / 0)
        seen = asked(folder, saying(answer(200)))
        assert isinstance(seen, Failure)
        assert (seen.kind, seen.detail) == (
            "machine",
            "ZeroDivisionError: division by zero",
        )


class TestConnecting:
    def test_nothing_there(self, folder: Path) -> None:
        seen = ask(folder / "s")
        assert isinstance(seen, Failure)
        assert seen.kind == "no-socket"

    def test_a_socket_nobody_listens_on(self, folder: Path) -> None:
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind(str(folder / "s"))
        seen = ask(folder / "s")
        assert isinstance(seen, Failure)
        assert seen.kind == "refused"

    def test_other_things_than_sockets(self, folder: Path) -> None:
        (folder / "file").write_text("x")
        (folder / "folder").mkdir()
        os.mkfifo(folder / "pipe")
        for name in ("file", "folder", "pipe"):
            seen = ask(folder / name)
            assert isinstance(seen, Failure)
            assert (seen.kind, seen.detail) == ("no-socket", "it is not a socket")

    def test_links_are_not_followed(self, folder: Path) -> None:
        """The service's folder is the learner's; a link in it can name any socket of the judge's machine."""
        with serving(folder / "somebody-elses", saying(answer(200))) as target:
            (folder / "s").symlink_to(target)
            assert isinstance(ask(target), Answered)
            seen = ask(folder / "s")
        assert isinstance(seen, Failure)
        assert (seen.kind, seen.detail) == ("no-socket", "it is not a socket")

    def test_a_name_longer_than_a_socket_address(self, folder: Path) -> None:
        long = folder / ("x" * 120)
        long.mkdir()
        with serving(folder / "s", saying(answer(200))) as path:
            path.rename(long / "s")
            assert isinstance(ask(long / "s"), Answered)
            (long / "s").rename(path)

    def test_a_full_queue_of_connections(self, folder: Path) -> None:
        with socket.socket(socket.AF_UNIX) as listener, contextlib.ExitStack() as stack:
            listener.bind(str(folder / "s"))
            listener.listen(0)
            first = stack.enter_context(socket.socket(socket.AF_UNIX))
            first.connect(str(folder / "s"))
            seen = ask(folder / "s", seconds=0.2)
        assert isinstance(seen, Failure)
        assert (seen.kind, seen.detail) == ("timeout", "connecting")

    def test_tcp(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            address = Address(host="127.0.0.1", port=listener.getsockname()[1])
            sending = Sending(GET, False, 5, 100)
            with accepting(listener, saying(answer(200, b"hello"))):
                seen = wire.exchange(address, sending)
                assert isinstance(seen, Answered)
                assert seen.body == b"hello"
        refused = wire.exchange(address, sending)
        assert isinstance(refused, Failure)
        assert refused.kind == "refused"

    def test_our_own_lack_of_files_is_not_the_servers_fault(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(*_: object) -> None:
            raise OSError(errno.EMFILE, "Too many open files")

        with serving(folder / "s", saying(answer(200))) as path:
            monkeypatch.setattr(wire.socket, "socket", full)
            seen = ask(path)
            monkeypatch.undo()
        assert isinstance(seen, Failure)
        assert (seen.kind, seen.detail) == ("machine", "Too many open files")


@pytest.fixture(params=["unix", "tcp"])
def listener(
    request: pytest.FixtureRequest, folder: Path
) -> Iterator[tuple[socket.socket, Address]]:
    if request.param == "unix":
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind(str(folder / "s"))
            yield bound, Address(path=str(folder / "s"))
    else:
        with socket.create_server(("127.0.0.1", 0)) as bound:
            yield bound, Address(host="127.0.0.1", port=bound.getsockname()[1])


class TestUploads:
    def test_an_answer_before_the_end_of_the_upload_is_seen(
        self, listener: tuple[socket.socket, Address]
    ) -> None:
        """413 without reading the body: a client that keeps sending sees a broken pipe instead."""

        def handle(connection: socket.socket) -> None:
            connection.recv(100)
            connection.sendall(answer(413, b"too large"))

        upload = (POST, Piece(b"x" * 65_536, times=1000))
        with accepting(listener[0], handle):
            seen = wire.exchange(listener[1], Sending(upload, False, 5, 100))
        assert isinstance(seen, Answered), seen
        assert (seen.status, seen.body) == (413, b"too large")
        assert seen.sent < 65_536 * 1000

    def test_an_interim_answer_does_not_stop_the_upload(self, folder: Path) -> None:
        received = []

        def handle(connection: socket.socket) -> None:
            connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
            count = 0
            while count < 1_000_000:
                count += len(connection.recv(1 << 16))
            received.append(count)
            connection.sendall(answer(200))

        seen = asked(folder, handle, pieces=(Piece(b"x" * 10_000, times=100),))
        assert isinstance(seen, Answered)
        assert received == [seen.sent] == [1_000_000]

    def test_a_server_that_does_not_read(self, folder: Path) -> None:
        done = threading.Event()
        with serving(folder / "s", lambda connection: done.wait() and None) as path:
            seen = ask(path, (POST, Piece(b"x" * 65_536, times=1000)), seconds=0.3)
            done.set()
        assert isinstance(seen, Failure)
        assert (seen.kind, seen.detail) == ("timeout", "sending")

    def test_a_server_that_leaves_during_the_upload(self, folder: Path) -> None:
        def handle(connection: socket.socket) -> None:
            connection.recv(100)

        seen = asked(folder, handle, pieces=(POST, Piece(b"x" * 65_536, times=1000)))
        assert isinstance(seen, Failure)
        assert seen.kind == "closed-early"

    def test_a_request_that_dribbles_in(self, folder: Path) -> None:
        arrived = []

        def handle(connection: socket.socket) -> None:
            for _ in range(5):
                arrived.append((connection.recv(10), time.monotonic()))
            connection.sendall(answer(200))

        seen = asked(folder, handle, pieces=(Piece(b"x", times=5, pause=0.05),))
        assert isinstance(seen, Answered)
        assert [data for data, _ in arrived] == [b"x"] * 5
        assert arrived[-1][1] - arrived[0][1] > 0.15

    def test_an_answer_during_a_pause_ends_it(self, folder: Path) -> None:
        def handle(connection: socket.socket) -> None:
            connection.sendall(answer(408))

        seen = asked(folder, handle, pieces=(Piece(b"x", times=100, pause=1.0),))
        assert isinstance(seen, Answered)
        assert seen.status == 408
        assert seen.seconds < 1

    def test_pauses_count_towards_the_deadline(self, folder: Path) -> None:
        seen = asked(folder, silent, pieces=(Piece(b"x", pause=9.0),), seconds=0.2)
        assert isinstance(seen, Failure)
        assert (seen.kind, seen.detail) == ("timeout", "sending")
        assert seen.seconds < 1


class TestHeld:
    def test_counts_what_the_server_keeps(self, folder: Path) -> None:
        with serving(folder / "s", silent) as path:
            held = wire.Held(Address(path=str(path)), 20, b"GET / HT", 5)
            assert held.failure is None
            assert held.release() == 20

    def test_and_what_it_closes(self, folder: Path) -> None:
        answered = threading.Semaphore(0)

        def handle(connection: socket.socket) -> None:
            connection.sendall(answer(408))
            connection.shutdown(socket.SHUT_RDWR)
            answered.release()

        with serving(folder / "s", handle) as path:
            held = wire.Held(Address(path=str(path)), 3, b"", 5)
            for _ in range(3):
                assert answered.acquire(timeout=5)
            assert held.release() == 0

    def test_nobody_there(self, folder: Path) -> None:
        held = wire.Held(Address(path=str(folder / "s")), 3, b"", 5)
        assert held.failure is not None
        assert held.failure.kind == "no-socket"


TCP = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0
   1: 00000000:1F91 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 2 1 0 100 0 0 10 0
   2: 0100007F:1F90 0100007F:C350 01 00000000:00000000 00:00000000 00000000     0        0 3 1 0 100 0 0 10 0
"""
TCP6 = """\
  sl  local_address                         remote_address                        st tx_queue rx_queue
   0: 00000000000000000000000000000000:1F92 00000000000000000000000000000000:0000 0A 00000000:00000000
   1: 0000000000000000FFFF00000100007F:1F93 00000000000000000000000000000000:0000 0A 00000000:00000000
   2: 00000000000000000000000001000000:1F94 00000000000000000000000000000000:0000 0A 00000000:00000000
"""


class TestListening:
    @pytest.mark.skipif(
        wire.sys.byteorder != "little",
        reason="the sample is of a little-endian machine",
    )
    def test_as_the_kernel_prints_it(self, tmp_path: Path) -> None:
        (tmp_path / "tcp").write_text(TCP)
        (tmp_path / "tcp6").write_text(TCP6)
        files = [str(tmp_path / name) for name in ("tcp", "tcp6", "absent")]
        assert wire.listening(files) == [
            ("0.0.0.0", 8081),
            ("127.0.0.1", 8080),
            ("127.0.0.1", 8083),
            ("::", 8082),
            ("::1", 8084),
        ]

    @pytest.mark.skipif(wire.sys.platform != "linux", reason="macOS has no /proc")
    def test_for_real(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            name = listener.getsockname()
            assert name in wire.listening()
        assert name not in wire.listening()


@pytest.mark.parametrize(
    "value",
    [
        Sending((Piece(b"\x00\xff", 3, 0.5), Piece(b"")), True, 1.5, 10),
        # What a server names its headers must not be taken for our own notation.
        Answered(200, {"type": "Failure", "b64": "x"}, b"\xff", 0.1, 3),
        Failure("timeout", "waiting", 1.0),
        (1, "x", None, ("127.0.0.1", 80)),
    ],
)
def test_values_survive_the_way_as_json(value: object) -> None:
    line = wire.json.dumps(wire.packed(value))
    assert wire.unpacked(wire.json.loads(line)) == value
