"""One HTTP exchange with a server nobody trusts, over TCP or a Unix socket.

The standard library only: the judge imports this file, and also sends it as text (`python3 -I -c SOURCE`)
into a container beside the learner's, where it answers JSON lines (see `main`). Whatever the server does, an
exchange ends in time, keeps at most so many bytes, and comes back as an `Answered` or a `Failure`.
"""

import base64
import contextlib
import errno
import http.client
import io
import ipaddress
import json
import os
import select
import socket
import stat
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, BinaryIO

HEAD_LIMIT = 1 << 16  # bytes of status line, headers and interim answers
CHUNKED_OVERHEAD = 8  # bytes on the wire for one byte of body, at the worst sensible
AT_ONCE = 128  # exchanges one prober has open at the same time

# Errors of socket calls that are this machine's doing, never the server's.
OURS = {
    errno.EMFILE,
    errno.ENFILE,
    errno.ENOMEM,
    errno.ENOBUFS,
    errno.EADDRNOTAVAIL,
}


@dataclass(frozen=True)
class Address:
    """A Unix socket's path, or else a host and a port."""

    path: str = ""
    host: str = ""
    port: int = 0


@dataclass(frozen=True)
class Piece:
    """Bytes to send `times` times over, each time after a pause in seconds."""

    data: bytes
    times: int = 1
    pause: float = 0.0


@dataclass(frozen=True)
class Sending:
    """A request as it goes over the wire, and how much time and how large a body its answer may take.

    `head`: the answer has no body, whatever its headers announce.
    """

    pieces: tuple[Piece, ...]
    head: bool
    seconds: float
    limit: int


@dataclass(frozen=True)
class Answered:
    """An answer: header names in lower case, body as sent (never decompressed), bytes of request taken."""

    status: int
    headers: dict[str, str]
    body: bytes
    seconds: float
    sent: int


@dataclass(frozen=True)
class Failure:
    """Why there is no answer.

    `kind`: refused, no-socket, timeout, too-large, not-http, closed-early; or machine, which is not the
    server's fault. `detail`: for timeout the stage (connecting, sending, waiting, receiving), otherwise what
    was seen.
    """

    kind: str
    detail: str
    seconds: float


class _Trouble(Exception):
    """Ends an exchange with this kind and detail of failure."""

    def __init__(self, kind: str, detail: str) -> None:
        super().__init__(kind, detail)
        self.kind = kind
        self.detail = detail


def exchange(address: Address, sending: Sending) -> Answered | Failure:
    """Send a request, read its answer. Raises nothing."""
    started = time.monotonic()
    deadline = started + sending.seconds
    try:
        with connect(address, deadline) as connection:
            sent = _send(connection, sending.pieces, deadline)
            status, headers, body = _receive(connection, sending, deadline)
            return Answered(status, headers, body, time.monotonic() - started, sent)
    except _Trouble as trouble:
        return Failure(trouble.kind, trouble.detail, time.monotonic() - started)
    except Exception as error:  # not foreseen, so not held against the server
        detail = f"{type(error).__name__}: {error}"
        return Failure("machine", detail, time.monotonic() - started)


# --- connecting ---


def connect(address: Address, deadline: float) -> socket.socket:
    """A connected socket, or _Trouble before the deadline (on the clock of time.monotonic)."""
    try:
        if address.path:
            return _connect_unix(address.path, deadline)
        return _connect_tcp(address, deadline)
    except TimeoutError:
        raise _Trouble("timeout", "connecting") from None
    except ConnectionRefusedError:
        raise _Trouble("refused", "") from None
    except OSError as error:
        kind = "machine" if error.errno in OURS else "refused"
        raise _Trouble(kind, error.strerror or str(error)) from None


def _connect_tcp(address: Address, deadline: float) -> socket.socket:
    return socket.create_connection(
        (address.host, address.port), timeout=_left(deadline, "connecting")
    )


def _connect_unix(path: str, deadline: float) -> socket.socket:
    with _socket_name(path) as name:
        while True:
            connection = socket.socket(socket.AF_UNIX)
            try:
                connection.settimeout(_left(deadline, "connecting"))
                connection.connect(name)
                return connection
            except BlockingIOError:  # the server's queue of new connections is full
                connection.close()
                time.sleep(0.005)
            except BaseException:
                connection.close()
                raise


@contextlib.contextmanager
def _socket_name(path: str) -> Iterator[str]:
    """A name for the socket at `path` that a later change of the folder cannot turn into another one.

    The folder belongs to the learner's program. A link there could lead to the container engine's socket or
    to another learner's service, so links are not followed, and what was looked at is what is connected to.
    """
    try:
        if sys.platform != "linux":
            if not stat.S_ISSOCK(os.lstat(path).st_mode):
                raise _Trouble("no-socket", "it is not a socket")
            yield path
            return
        handle = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        raise _Trouble("no-socket", "") from None
    except PermissionError:
        raise _Trouble("no-socket", "it cannot be opened") from None
    try:
        if not stat.S_ISSOCK(os.fstat(handle).st_mode):
            raise _Trouble("no-socket", "it is not a socket")
        yield f"/proc/self/fd/{handle}"
    finally:
        os.close(handle)


def _left(deadline: float, stage: str) -> float:
    """Seconds until the deadline, more than none."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise _Trouble("timeout", stage)
    return left


# --- sending ---


def _send(connection: socket.socket, pieces: Sequence[Piece], deadline: float) -> int:
    """Send until all is sent or the server has something to say; the number of bytes it took.

    A server may answer before it has read everything (413, 401). Who goes on sending then gets a broken pipe
    and never sees the answer.
    """
    connection.setblocking(False)
    watch = _Watch(connection, deadline)
    sent = 0
    for piece in pieces:
        for _ in range(piece.times):
            if piece.pause and watch.interrupted(piece.pause):
                return sent
            view = memoryview(piece.data)
            while view:
                if not watch.writable():
                    return sent
                try:
                    count = connection.send(view)
                except BlockingIOError:
                    continue
                except OSError:  # gone; what it said before can still be read
                    return sent
                sent += count
                view = view[count:]
    return sent


class _Watch:
    """Waits on a connection while a request is being sent."""

    def __init__(self, connection: socket.socket, deadline: float) -> None:
        self.connection = connection
        self.deadline = deadline
        self.listen = select.POLLIN

    def writable(self) -> bool:
        """Wait until there is room to send (True) or the server has answered or left (False)."""
        while True:
            events = self._wait(select.POLLOUT | self.listen, None)
            if self._spoke(events):
                return False
            if events & select.POLLOUT:
                return True

    def interrupted(self, pause: float) -> bool:
        """Sleep, unless the server answers or leaves before the end."""
        end = time.monotonic() + pause
        while (left := end - time.monotonic()) > 0:
            if self._spoke(self._wait(self.listen, left)):
                return True
        return False

    def _wait(self, events: int, seconds: float | None) -> int:
        left = _left(self.deadline, "sending")
        poll = select.poll()
        poll.register(self.connection, events)
        wait = left if seconds is None else min(left, seconds)
        ready = poll.poll(wait * 1000)
        return ready[0][1] if ready else 0

    def _spoke(self, events: int) -> bool:
        if events & (select.POLLERR | select.POLLHUP | select.POLLNVAL):
            return True
        if not events & select.POLLIN:
            return False
        try:
            begin = self.connection.recv(10, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:
            return True
        if begin.startswith((b"HTTP/1.1 1", b"HTTP/1.0 1")):
            self.listen = 0  # "100 Continue" and its like: the answer is still to come
            return False
        return True


# --- receiving ---


class _Incoming(io.RawIOBase):
    """What the server sends, as a file; reading raises _Trouble when time or allowed bytes run out."""

    def __init__(self, connection: socket.socket, deadline: float) -> None:
        self.connection = connection
        self.deadline = deadline
        self.allowed = HEAD_LIMIT
        self.excess = f"more than {HEAD_LIMIT:,} bytes of headers"
        self.received = 0
        self.ended = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self.allowed <= 0:
            raise _Trouble("too-large", self.excess)
        stage = "receiving" if self.received else "waiting"
        self.connection.settimeout(_left(self.deadline, stage))
        try:
            count = self.connection.recv_into(buffer, min(len(buffer), self.allowed))
        except TimeoutError:
            raise _Trouble("timeout", stage) from None
        except OSError:  # a reset: nothing more will come
            count = 0
        self.allowed -= count
        self.received += count
        self.ended = count == 0
        return count


class _Buffered(io.BufferedReader):
    """Stays open when the interim answer that has read from it is done with it."""

    def close(self) -> None:
        pass

    def makefile(self, mode: str) -> "_Buffered":
        """HTTPResponse asks a socket for its file; this is already it."""
        return self


def _receive(
    connection: socket.socket, sending: Sending, deadline: float
) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of the final answer."""
    incoming = _Incoming(connection, deadline)
    stream = _Buffered(incoming)
    excess = f"more than {sending.limit:,} bytes of body"
    try:
        response = _final(stream, "HEAD" if sending.head else "GET")
        _refuse_ambiguity(response)
        if incoming.ended:  # http.client takes that for the end of the headers
            raise ValueError("headers without an end")
        incoming.allowed = HEAD_LIMIT + CHUNKED_OVERHEAD * sending.limit
        incoming.excess = excess
        body = response.read(sending.limit + 1)
    except (http.client.HTTPException, ValueError, OverflowError) as error:
        raise _misread(error, incoming) from None
    if len(body) > sending.limit:
        raise _Trouble("too-large", excess)
    if response.length:  # what is still missing of Content-Length
        whole = len(body) + response.length
        raise _Trouble("closed-early", f"after {len(body)} of {whole} bytes of body")
    return response.status, _headers(response), body


def _final(stream: _Buffered, method: str) -> http.client.HTTPResponse:
    """The first answer that is not an interim one; how many there may be is bounded by HEAD_LIMIT."""
    while True:
        response = http.client.HTTPResponse(stream, method=method)  # type: ignore[arg-type]
        response.begin()
        if not 100 <= response.status < 200 or response.status == 101:
            return response


def _misread(error: Exception, incoming: _Incoming) -> _Trouble:
    """What an exception of http.client says about the server."""
    if not incoming.received:
        return _Trouble("closed-early", "")
    no_status = isinstance(
        error, (http.client.BadStatusLine, http.client.UnknownProtocol)
    )
    if incoming.ended and not no_status:
        return _Trouble("closed-early", f"after {incoming.received} bytes")
    if isinstance(error, http.client.IncompleteRead):
        return _Trouble("not-http", "a chunk without its length")
    return _Trouble("not-http", shown(str(error)))


def _refuse_ambiguity(response: http.client.HTTPResponse) -> None:
    """Where headers are malformed http.client guesses, and other clients guess otherwise: that is a fault."""
    if response.msg.defects:
        raise ValueError("a header line without a colon")
    lengths = response.msg.get_all("content-length", [])
    if len(set(lengths)) > 1 or not all(
        length.isascii() and length.strip().isdecimal() for length in lengths
    ):
        raise ValueError(f"Content-Length: {', '.join(lengths)}")


def _headers(response: http.client.HTTPResponse) -> dict[str, str]:
    headers: dict[str, str] = {}
    for name, value in response.msg.items():
        name = name.lower()
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


def shown(text: str) -> str:
    """A stranger's text, short and printable."""
    text = ascii(text.strip())[1:-1]
    return text if len(text) <= 60 else text[:57] + "..."


# --- what listens here ---


def listening(files: Sequence[str] = ("/proc/net/tcp", "/proc/net/tcp6")) -> list:
    """(address, port) of every TCP socket that listens in this network namespace, sorted.

    IPv4 addresses mapped into IPv6 are given as IPv4; "::" accepts both.
    """
    found = set()
    for name in files:
        with contextlib.suppress(FileNotFoundError), open(name) as table:
            for line in list(table)[1:]:
                _, local, _, state, *_ = line.split()
                if state == "0A":
                    address, _, port = local.partition(":")
                    found.add((_ip(address), int(port, 16)))
    return sorted(found)


def _ip(digits: str) -> str:
    """An address as the kernel prints it: words of 32 bits, each in this machine's byte order."""
    words = (int(digits[start : start + 8], 16) for start in range(0, len(digits), 8))
    address = ipaddress.ip_address(
        b"".join(word.to_bytes(4, sys.byteorder) for word in words)
    )
    return str(getattr(address, "ipv4_mapped", None) or address)


# --- connections that are held open ---


class Held:
    """Connections that have said something, or nothing, and then stay."""

    def __init__(
        self, address: Address, count: int, data: bytes, seconds: float
    ) -> None:
        """Open them. Raises nothing: `failure` says why there are fewer."""
        started = time.monotonic()
        self.failure: Failure | None = None
        self.connections: list[socket.socket] = []
        try:
            for _ in range(count):
                connection = connect(address, started + seconds)
                self.connections.append(connection)
                _send(connection, [Piece(data)], started + seconds)
        except _Trouble as trouble:
            spent = time.monotonic() - started
            self.failure = Failure(trouble.kind, trouble.detail, spent)

    def release(self) -> int:
        """Close them; how many the server had still kept open."""
        kept = 0
        for connection in self.connections:
            with connection:
                connection.setblocking(False)
                try:
                    while connection.recv(1 << 16):
                        pass
                except BlockingIOError:
                    kept += 1
                except OSError:
                    pass
        self.connections = []
        return kept


# --- as a program: JSON lines in, JSON lines out ---


def packed(value: Any) -> Any:
    """Any of the values above as JSON can hold it."""
    if isinstance(value, bytes):
        return {"b64": base64.b64encode(value).decode()}
    if isinstance(value, (Piece, Sending, Answered, Failure)):
        return {"type": type(value).__name__} | {
            name: packed(field) for name, field in vars(value).items()
        }
    if isinstance(value, (list, tuple)):
        return [packed(item) for item in value]
    return value


def unpacked(value: Any) -> Any:
    """What `packed` made it from; lists come back as tuples."""
    if isinstance(value, list):
        return tuple(unpacked(item) for item in value)
    if not isinstance(value, dict):
        return value
    if "b64" in value:
        return base64.b64decode(value["b64"])
    kinds: dict[str, type] = {
        kind.__name__: kind for kind in (Piece, Sending, Answered, Failure)
    }
    if value.get("type") in kinds:
        fields = {
            name: field if name == "headers" else unpacked(field)
            for name, field in value.items()
            if name != "type"
        }
        return kinds[value["type"]](**fields)
    return value


class Prober:
    """What the program can be asked to do, by name."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self.held: dict[int, Held] = {}
        self.numbers = iter(range(1, sys.maxsize))

    def exchange(self, sending: Sending) -> Answered | Failure:
        return exchange(self.address, sending)

    def hold(self, count: int, data: bytes, seconds: float) -> int | Failure:
        """Open connections and keep them; the number to release them by."""
        held = Held(self.address, count, data, seconds)
        if held.failure:
            held.release()
            return held.failure
        number = next(self.numbers)
        self.held[number] = held
        return number

    def release(self, number: int) -> int:
        return self.held.pop(number).release()

    def listening(self) -> list:
        return listening()


def main(lines: BinaryIO, out: BinaryIO) -> None:
    """Answer requests until the input ends.

    The first line is `[host, port]`, answered as number 0. Then each line `{"id", "do", "with"}` names a
    method of Prober and its arguments, and is answered, in the order they finish, by `{"id", "value"}`.
    """
    host, port = json.loads(lines.readline())
    prober = Prober(Address(host=host, port=port))
    lock = threading.Lock()

    def say(message: dict[str, Any]) -> None:
        line = json.dumps(message).encode() + b"\n"
        with lock:
            out.write(line)
            out.flush()

    def answer(ask: dict[str, Any]) -> None:
        try:
            do: Callable[..., Any] = getattr(prober, ask["do"])
            value = do(*unpacked(ask["with"]))
        except Exception as error:  # or the judge would wait for an answer in vain
            value = Failure("machine", f"{type(error).__name__}: {error}", 0.0)
        say({"id": ask["id"], "value": packed(value)})

    say({"id": 0, "value": None})
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for line in lines:
            pool.submit(answer, json.loads(line))


if __name__ == "__main__":
    main(sys.stdin.buffer, sys.stdout.buffer)
