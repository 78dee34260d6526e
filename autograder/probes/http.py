"""HTTP to a learner's service, with failures said in sentences for the learner."""

import contextlib
import json
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from autograder.errors import InfrastructureError, LearnerError
from autograder.probes import disguise, wire
from autograder.probes.answer import Answer, metrics, problem_complaint
from autograder.probes.container import Watch, probing
from autograder.probes.wire import Piece

if TYPE_CHECKING:
    from autograder.engine import Container, Engine

__all__ = [
    "Answer",
    "Client",
    "ContainerClient",
    "Failure",
    "Piece",
    "Request",
    "complaint",
    "container_client",
    "metrics",
    "problem_complaint",
    "unix_client",
]

SECONDS = 5.0  # for one exchange, from connecting to the last byte of the answer
LIMIT = 1 << 20  # bytes of an answer's body
POLL = 0.05  # seconds between two looks at a service that is not ready
LOOK = 1.0  # seconds between two looks at whether it still runs at all


class Transport(Protocol):
    """What carries an exchange: `wire.Prober` in this process, or another one in a container."""

    def exchange(self, sending: wire.Sending) -> wire.Answered | wire.Failure: ...

    def hold(self, count: int, data: bytes, seconds: float) -> int | wire.Failure: ...

    def release(self, number: int) -> int: ...

    def listening(self) -> list[tuple[str, int]]: ...


@dataclass(frozen=True)
class Request:
    """One request. `seconds` is for the whole exchange, `limit` for the bytes of the answer's body.

    `body` may be given as pieces, to send it slowly or without holding it. It is then uploaded in chunks
    (each sending of a piece is one), or with `announced` as its Content-Length, whether that is true or not.
    """

    method: str = "GET"
    path: str = "/"
    body: bytes | Sequence[Piece] = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    seconds: float = SECONDS
    limit: int = LIMIT
    announced: int | None = None

    @classmethod
    def post_json(cls, path: str, value: Any, **options: Any) -> "Request":
        """A POST of `value` as JSON in UTF-8. Raises ValueError for what JSON cannot hold (NaN)."""
        body = json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
        headers = {"Content-Type": "application/json"} | options.pop("headers", {})
        return cls("POST", path, body, headers, **options)

    @property
    def name(self) -> str:
        """For sentences. Without the query, which may hold a hidden check's input."""
        return f"{self.method} {self.path.partition('?')[0]}"

    def sending(self, chance: random.Random, host: str) -> wire.Sending:
        rest: tuple[Piece, ...] = ()
        if isinstance(self.body, bytes):
            has_body = self.body or self.method in ("POST", "PUT", "PATCH")
            framing = {"Content-Length": str(len(self.body))} if has_body else {}
        elif self.announced is not None:
            framing = {"Content-Length": str(self.announced)}
            rest = tuple(self.body)
        else:
            framing = {"Transfer-Encoding": "chunked"}
            rest = (*map(_chunk, self.body), Piece(b"0\r\n\r\n"))
        first = disguise.head(
            chance, self.method, self.path, host, framing | dict(self.headers)
        )
        if isinstance(self.body, bytes):
            first += self.body
        return wire.Sending(
            pieces=(Piece(first), *rest),
            head=self.method == "HEAD",
            seconds=self.seconds,
            limit=self.limit,
        )


def _chunk(piece: Piece) -> Piece:
    return replace(piece, data=b"%x\r\n%s\r\n" % (len(piece.data), piece.data))


@dataclass(frozen=True)
class Failure:
    """A request without an answer: `kind` as in `wire.Failure`, and the two sentences for the learner."""

    kind: str
    seen: str
    advice: str
    seconds: float

    def error(self) -> LearnerError:
        return LearnerError(self.seen, self.advice)


class Client:
    """Requests to one service.

    `place` names where it should listen, for sentences; `host` is the Host header. Each request looks like
    one of several ordinary clients', drawn from `chance`. `gone` is asked when a connection fails: it returns
    why the service is no longer there, or None if it is.
    """

    def __init__(
        self,
        transport: Transport,
        place: str,
        host: str,
        chance: random.Random,
        gone: Callable[[], LearnerError | None] = lambda: None,
    ) -> None:
        self._transport = transport
        self._place = place
        self._host = host
        # Polling draws an unforeseeable number of times, which must not change what comes after it.
        self._chance = random.Random(chance.getrandbits(64))
        self._polling = random.Random(chance.getrandbits(64))
        self._gone = gone

    def get(self, path: str, **options: Any) -> Answer:
        """`options` are fields of Request. Raises LearnerError if there is no answer."""
        return self.send(Request("GET", path, **options))

    def post_json(self, path: str, value: Any, **options: Any) -> Answer:
        """`options` are fields of Request. Raises LearnerError if there is no answer."""
        return self.send(Request.post_json(path, value, **options))

    def request(
        self,
        method: str,
        path: str,
        body: bytes | Sequence[Piece] = b"",
        headers: Mapping[str, str] = {},
        **options: Any,
    ) -> Answer:
        """`options` are further fields of Request. Raises LearnerError if there is no answer."""
        return self.send(Request(method, path, body, headers, **options))

    def send(self, request: Request) -> Answer:
        """Raises LearnerError if there is no answer, InfrastructureError if the machine is to blame."""
        answer = self._try(
            request.name, request.sending(self._chance, self._host), request.seconds
        )
        if isinstance(answer, Failure):
            raise answer.error()
        return answer

    def raw(
        self, pieces: Sequence[Piece], *, seconds: float = SECONDS, limit: int = LIMIT
    ) -> Answer | Failure:
        """Bytes that need not be HTTP. A server may answer them or close the connection."""
        sending = wire.Sending(tuple(pieces), head=False, seconds=seconds, limit=limit)
        return self._try("A malformed request", sending, seconds)

    def many(
        self, requests: Sequence[Request], at_once: int, seconds: float = 60.0
    ) -> list[Answer | Failure]:
        """Up to `at_once` requests at the same time, answers in the order of the requests.

        What has not been answered after `seconds` in all is a failure by timeout.
        """
        deadline = time.monotonic() + seconds
        sendings = [request.sending(self._chance, self._host) for request in requests]

        def one(request: Request, sending: wire.Sending) -> Answer | Failure:
            left = max(0.0, min(sending.seconds, deadline - time.monotonic()))
            return self._try(request.name, replace(sending, seconds=left), left)

        with ThreadPoolExecutor(at_once) as pool:
            return list(pool.map(one, requests, sendings))

    @contextlib.contextmanager
    def held(
        self, count: int, data: bytes = b"", seconds: float = SECONDS
    ) -> Iterator[Callable[[], int]]:
        """Keep `count` connections open that said `data` and then nothing: slow clients.

        Yields a function that closes them and returns how many the service had still kept open.
        Raises LearnerError if they cannot be opened within `seconds`.
        """
        number = self._transport.hold(count, data, seconds)
        if isinstance(number, wire.Failure):
            raise self._failure(f"Opening {count} connections", number, seconds).error()
        kept: list[int] = []

        def release() -> int:
            if not kept:
                kept.append(self._transport.release(number))
            return kept[0]

        try:
            yield release
        finally:
            release()

    def wait_until(self, path: str, status: int, seconds: float) -> Answer:
        """Poll until GET `path` answers with `status`.

        Raises LearnerError when that has not happened after `seconds`, or once the service is gone.
        """
        deadline = time.monotonic() + seconds
        looked = time.monotonic()
        last: wire.Answered | wire.Failure | None = None
        while (left := deadline - time.monotonic()) > 0 or last is None:
            request = Request("GET", path, seconds=max(POLL, min(SECONDS, left)))
            sending = request.sending(self._polling, self._host)
            last = self._exchange(sending)
            if isinstance(last, wire.Answered):
                if last.status == status:
                    return Answer.of(last)
            elif time.monotonic() - looked > LOOK:
                looked = time.monotonic()
                if error := self._gone():
                    raise error
            time.sleep(POLL)
        name = Request("GET", path).name
        wanted = f"{name} did not answer {status} within {seconds:g} s"
        if isinstance(last, wire.Answered):
            raise LearnerError(
                f"{wanted}; it last answered {last.status}.",
                "See what the route waits for, and what the service's log says about it.",
            )
        failure = self._failure(name, last, SECONDS)
        raise LearnerError(f"{wanted}. {failure.seen}", failure.advice)

    def _try(
        self, name: str, sending: wire.Sending, seconds: float
    ) -> Answer | Failure:
        answered = self._exchange(sending)
        if isinstance(answered, wire.Answered):
            return Answer.of(answered)
        return self._failure(name, answered, seconds)

    def _exchange(self, sending: wire.Sending) -> wire.Answered | wire.Failure:
        answered = self._transport.exchange(sending)
        if isinstance(answered, wire.Failure) and answered.kind == "machine":
            raise InfrastructureError(
                f"The judge could not send a request: {answered.detail}. "
                "Grade again when the machine is less busy."
            )
        return answered

    def _failure(self, name: str, failure: wire.Failure, seconds: float) -> Failure:
        """Like `_explained`, but if the service is gone, that is what is said."""
        if failure.kind in ("refused", "no-socket", "closed-early") and (
            error := self._gone()
        ):
            return Failure(failure.kind, error.seen, error.advice, failure.seconds)
        return self._explained(name, failure, seconds)

    def _explained(self, name: str, failure: wire.Failure, seconds: float) -> Failure:
        seen, advice = _sentences(name, failure, self._place, seconds)
        return Failure(failure.kind, seen, advice, failure.seconds)


def _sentences(
    name: str, failure: wire.Failure, place: str, seconds: float
) -> tuple[str, str]:
    """What was seen and what to try."""
    detail = failure.detail
    if failure.kind in ("refused", "no-socket"):
        seen = f"Nothing listens on {place}"
        return (
            f"{seen} ({detail})." if detail else f"{seen}.",
            "Start the server there, and keep it running until it is told to stop.",
        )
    if failure.kind == "timeout":
        return _timeout(name, detail, place, seconds)
    if failure.kind == "too-large":
        return (
            f"The answer to {name} has {detail}.",
            "Answer with the result only, and end it: with a Content-Length or a last chunk.",
        )
    if failure.kind == "not-http":
        return (
            f"{name} was answered with something that is not HTTP: {detail}.",
            "Leave the writing of status line and headers to a server such as uvicorn.",
        )
    return (
        f"{name}: the connection was closed {detail}."
        if detail
        else f"{name}: the connection was closed without an answer.",
        "Look for a traceback or an exit in the service's log: every request gets an answer, be it a 500.",
    )


def _timeout(name: str, stage: str, place: str, seconds: float) -> tuple[str, str]:
    within = f"within {seconds:.3g} s"
    if stage == "connecting":
        return (
            f"No connection to {place} was accepted {within}.",
            "Keep the server's event loop free: it accepts nothing while it computes.",
        )
    if stage == "sending":
        return (
            f"{name}: the service neither took the whole request nor answered {within}.",
            "Read the request's body as it comes, or answer before its end and close the connection.",
        )
    if stage == "receiving":
        return (
            f"{name} began to answer but did not finish {within}.",
            "Send the whole answer at once, with its length.",
        )
    return (
        f"{name} did not answer {within}.",
        "Do the slow work outside the event loop, in a thread: one request must not hold up the others.",
    )


def complaint(answers: Sequence[Answer | Failure]) -> LearnerError | None:
    """What to say of many requests of which some got no answer; None if all got one, whatever its status."""
    failures = [answer for answer in answers if isinstance(answer, Failure)]
    if not failures:
        return None
    answered = len(answers) - len(failures)
    first = failures[0]
    return LearnerError(
        f"{answered} of {len(answers)} requests were answered. {first.seen}",
        first.advice,
    )


def unix_client(
    socket: Path,
    chance: random.Random | None = None,
    gone: Callable[[], LearnerError | None] = lambda: None,
) -> Client:
    """A client of the service that listens on this Unix socket. A link in the socket's place is not followed.

    `chance`: give `work.random` (drawn from only here), so that a run can be repeated. `gone`: returns why
    the service has ended, if it has; the learner then reads that instead of "nothing listens".
    """
    return Client(
        wire.Prober(wire.Address(path=str(socket))),
        f"the socket {socket.name}",
        "localhost",
        chance or random.Random(),
        gone,
    )


class ContainerClient(Client):
    """A client beside a container, where the kernel says what listens."""

    def listening(self) -> list[tuple[str, int]]:
        """(address, port) of all that listens in the container; "::" accepts IPv4 as well."""
        return self._transport.listening()

    def _explained(self, name: str, failure: wire.Failure, seconds: float) -> Failure:
        explained = super()._explained(name, failure, seconds)
        if failure.kind != "refused" or not (found := self.listening()):
            return explained
        places = ", ".join(
            f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
            for address, port in found
        )
        seen = f"{explained.seen.rstrip('.')} from outside the container; it listens on {places}."
        advice = "Listen on 0.0.0.0, which is every address, and on the port that was asked for."
        return replace(explained, seen=seen, advice=advice)


@contextlib.contextmanager
def container_client(
    engine: "Engine",
    container: "Container",
    port: int,
    chance: random.Random | None = None,
) -> Iterator[ContainerClient]:
    """A client of what listens on `port` in a container, from a container beside it.

    It connects to a loopback address other than 127.0.0.1. Who listens on all addresses (0.0.0.0 or ::) is
    reached there; who listens on 127.0.0.1 only is not, just as nobody outside the container would reach it.
    Raises LearnerError if the container has ended, InfrastructureError if the prober cannot be started.
    """
    chance = chance or random.Random()
    host = f"127.{chance.randint(1, 254)}.{chance.randint(0, 254)}.{chance.randint(2, 254)}"
    with probing(engine, container, host, port) as prober:
        yield ContainerClient(
            prober, f"port {port}", f"localhost:{port}", chance, Watch(container)
        )
