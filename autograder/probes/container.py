"""Probing a container from beside it: from a container of the judge's own that shares its network only.

No port is published, so nobody's ports collide. Nothing of the learner's image is used, so patching its
interpreter or its programs changes nothing.
"""

import contextlib
import itertools
import json
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autograder.errors import InfrastructureError, LearnerError
from autograder.probes import wire

if TYPE_CHECKING:
    from autograder.engine import Container, Engine

START = 60.0  # seconds for the prober to start, on a machine that is busy
GRACE = 30.0  # seconds on top of what an exchange may take, for its way there and back
CLOSE = 5.0  # seconds for the prober to end by itself
LINE = 1 << 26  # bytes of one line from the prober
LOOK = 1.0  # seconds for which a container seen running is taken to be
KILLED = 128 + 9  # the status of a container ended by SIGKILL
SETTLE = 0.3  # seconds after which the engine has noticed that a container has ended
LOG = 2000  # bytes of a log that are looked at
LINES, CHARACTERS = 5, 500  # of the end of a log, for the learner

COMMAND = ["python3", "-I", "-u", "-c", Path(wire.__file__).read_text()]


class RemoteProber:
    """`wire.Prober` in another process, reached by lines of JSON; for any number of threads.

    The process runs `wire.main` with its standard input and output piped here. Every method raises
    InfrastructureError if it is gone or silent: that is never the service's fault.
    """

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin
        assert process.stdout
        self._process = process
        self._write = threading.Lock()
        self._ids = itertools.count(1)
        self._waiting: dict[int, Future[Any]] = {}
        self._over = False
        self._words = "it said nothing"
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def begin(self, host: str, port: int) -> None:
        """Say whom to probe. Returns when the prober is ready."""
        self._ask(START, [host, port], 0)

    def exchange(self, sending: wire.Sending) -> wire.Answered | wire.Failure:
        return self._do("exchange", sending, seconds=sending.seconds)

    def hold(self, count: int, data: bytes, seconds: float) -> int | wire.Failure:
        return self._do("hold", count, data, seconds, seconds=seconds)

    def release(self, number: int) -> int:
        return self._do("release", number)

    def listening(self) -> list[tuple[str, int]]:
        return list(self._do("listening"))

    def close(self) -> None:
        """End the process. Its output can be closed afterwards: nobody reads it any more."""
        assert self._process.stdin
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        self._listener.join(CLOSE)
        if self._listener.is_alive():
            self._process.kill()
            self._listener.join()

    def _do(self, name: str, *arguments: Any, seconds: float = 0.0) -> Any:
        number = next(self._ids)
        message = {"id": number, "do": name, "with": wire.packed(arguments)}
        return wire.unpacked(self._ask(seconds + GRACE, message, number))

    def _ask(self, seconds: float, message: Any, number: int) -> Any:
        answer: Future[Any] = Future()
        self._waiting[number] = answer
        if self._over:
            raise self._stopped()
        assert self._process.stdin
        try:
            with self._write:
                self._process.stdin.write(json.dumps(message).encode() + b"\n")
                self._process.stdin.flush()
        except (OSError, ValueError):
            raise self._stopped() from None
        try:
            return answer.result(seconds)
        except FutureTimeout:
            raise InfrastructureError(
                f"The prober beside the container did not answer within {seconds:g} seconds. "
                "Grade again when the machine is less busy."
            ) from None

    def _listen(self) -> None:
        """Hand each line to who waits for it, until there are no more."""
        assert self._process.stdout
        try:
            while (line := self._process.stdout.readline(LINE)).endswith(b"\n"):
                message = json.loads(line)
                self._waiting.pop(message["id"]).set_result(message["value"])
        except (OSError, ValueError, KeyError):
            pass  # not the prober's lines, or its end: either way there is no more to come
        self._over = True
        for number in list(self._waiting):
            if waiting := self._waiting.pop(number, None):
                waiting.set_exception(self._stopped())

    def _stopped(self) -> InfrastructureError:
        return InfrastructureError(
            f"The prober beside the container stopped: {self._last_words()}. "
            "See whether the container engine works, then grade again."
        )

    def _last_words(self) -> str:
        if self._process.stderr and not self._process.stderr.closed:
            os.set_blocking(self._process.stderr.fileno(), False)
            said = self._process.stderr.read(LOG) or b""
            if lines := said.decode(errors="replace").strip().splitlines():
                self._words = lines[-1]
        return self._words


@contextlib.contextmanager
def probing(
    engine: "Engine", container: "Container", host: str, port: int
) -> Iterator[RemoteProber]:
    """A prober of `port` in the container's network. Raises LearnerError if the container has ended."""
    if error := ended(container):
        raise error  # podman would start it again for the sake of its network
    with engine.attached(
        engine.base,
        COMMAND,
        network=f"container:{container.id}",
        memory="512m",
        pids=2 * wire.AT_ONCE,
    ) as process:
        prober = RemoteProber(process)
        try:
            try:
                prober.begin(host, port)
            except InfrastructureError as failure:
                raise ended(container) or failure from None
            yield prober
        finally:
            prober.close()


class Watch:
    """Called, it returns why a container is no longer running, or None; it asks the engine seldom."""

    def __init__(self, container: "Container") -> None:
        self._container = container
        self._lock = threading.Lock()
        self._looked = float("-inf")
        self._error: LearnerError | None = None

    def __call__(self) -> LearnerError | None:
        with self._lock:
            if self._error is None and time.monotonic() - self._looked > LOOK:
                self._error = self._look()
                self._looked = time.monotonic()
            return self._error

    def _look(self) -> LearnerError | None:
        if error := ended(self._container):
            return error
        time.sleep(SETTLE)
        return ended(self._container)


def ended(container: "Container") -> LearnerError | None:
    """How a container has ended, with the end of its log, or None if it runs."""
    state = container.state()
    if state.running:
        return None
    if state.oom_killed or state.exit_status == KILLED:
        # podman does not always say that it was the memory, and nobody else kills what is being probed.
        return LearnerError(
            "The container was killed, as happens when it uses more memory than it is given.",
            "Load the model once, bound every queue and cache, and forget a request once it is answered.",
        )
    log = container.logs()
    return LearnerError(
        f"The container ended with status {state.exit_status}.{last_lines(log)}",
        "Run the image yourself and read what it prints: the service must run until it is told to stop.",
    )


def last_lines(log: bytes) -> str:
    """The end of a log as a sentence that begins with a space, or nothing."""
    text = log[-LOG:].decode(errors="replace")
    lines = [line.strip() for line in text.splitlines() if line.strip()][-LINES:]
    end = "".join(char if char.isprintable() else "?" for char in " / ".join(lines))
    return f" Its log ends: {end[-CHARACTERS:]}" if end else ""
