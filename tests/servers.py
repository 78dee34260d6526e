"""Servers that misbehave on purpose: threads on Unix sockets, each a function of a connection."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

Handler = Callable[[socket.socket], None]

OK = b"HTTP/1.1 200 OK\r\n"


@contextlib.contextmanager
def serving(path: Path, handle: Handler) -> Iterator[Path]:
    """Listen at `path`, one thread per connection; all have ended when this does."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        with accepting(listener, handle):
            yield path


@contextlib.contextmanager
def accepting(listener: socket.socket, handle: Handler) -> Iterator[None]:
    connections: list[socket.socket] = []
    threads: list[threading.Thread] = []

    def one(connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            handle(connection)

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:  # shut down: the test is over
                return
            connections.append(connection)
            threads.append(threading.Thread(target=one, args=(connection,)))
            threads[-1].start()

    listener.listen(128)
    acceptor = threading.Thread(target=accept)
    acceptor.start()
    try:
        yield
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        acceptor.join()
        for connection in connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join()


def request(connection: socket.socket) -> tuple[str, dict[str, str], bytes]:
    """Read one request: its first line, its headers in lower case, its body by Content-Length.

    Raises OSError when the client has gone.
    """
    data = b""
    while b"\r\n\r\n" not in data:
        data += _more(connection)
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {
        name.lower(): value
        for name, _, value in (line.partition(": ") for line in lines)
    }
    while len(body) < int(headers.get("content-length", 0)):
        body += _more(connection)
    return first, headers, body


def _more(connection: socket.socket) -> bytes:
    data = connection.recv(1 << 16)
    if not data:
        raise ConnectionResetError("the client has gone")
    return data


def answer(status: int, body: bytes = b"", kind: str = "text/plain") -> bytes:
    head = f"HTTP/1.1 {status} Because\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def saying(*parts: bytes, pause: float = 0.0) -> Handler:
    """Read a request, send these bytes with a pause before each part, close."""

    def handle(connection: socket.socket) -> None:
        request(connection)
        for part in parts:
            time.sleep(pause)
            connection.sendall(part)

    return handle


def endless(first: bytes, again: bytes, pause: float = 0.0) -> Handler:
    """Read a request, send `first`, then `again` for as long as somebody listens."""

    def handle(connection: socket.socket) -> None:
        request(connection)
        connection.sendall(first)
        while True:
            time.sleep(pause)
            connection.sendall(again)

    return handle


def silent(connection: socket.socket) -> None:
    """Read whatever comes, never answer."""
    while connection.recv(1 << 16):
        pass
