"""A started program, watched from outside: its output drained, its limits kept, its end awaited."""

import contextlib
import os
import selectors
import subprocess
import threading
import time
from collections.abc import Callable

from autograder.sandbox import Completed, Limits

WAY_OVER = 64  # times `Limits.output`: a program that writes more than this is stopped
TICK = 0.05  # seconds between two looks at what the program uses
CHUNK = 1 << 16
AFTERMATH = 1.0  # seconds that output may go on after the program's end


class Output:
    """The first or the last `limit` bytes of a stream; never holds more than twice that."""

    def __init__(self, limit: int, *, tail: bool = False):
        self.limit = limit
        self.tail = tail
        self.total = 0
        self._kept = bytearray()

    def add(self, data: bytes) -> None:
        self.total += len(data)
        if not self.tail:
            data = data[: max(0, self.limit - len(self._kept))]
        self._kept += data
        if len(self._kept) > 2 * self.limit:
            del self._kept[: -self.limit]

    def kept(self) -> bytes:
        kept = bytes(self._kept)
        return kept[-self.limit :] if self.tail else kept


class Job:
    """Drains a program whose pipes are those of `process`.

    `kill` ends it with everything it started. `look` is asked every TICK seconds which limit it broke, if
    any. `sources` are further descriptors to read, with what to do with what they say.
    """

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        limits: Limits,
        kill: Callable[[], None],
        look: Callable[[], str] = lambda: "",
        sources: dict[int, Callable[[bytes], None]] | None = None,
        *,
        tail: bool = False,
    ):
        self.process = process
        self.limits = limits
        self._kill = kill
        self.look = look
        self.stopped = ""
        self.killed = False
        self.started = time.monotonic()
        self.seconds = 0.0
        self.stdout = Output(limits.output, tail=tail)
        self.stderr = self.stdout if process.stderr is None else Output(limits.output)
        self._sinks = dict(sources or {})
        for pipe, output in (
            (process.stdout, self.stdout),
            (process.stderr, self.stderr),
        ):
            if pipe is not None:
                self._sinks[pipe.fileno()] = output.add

    def drain(self, stdin: bytes = b"", seconds: float = float("inf")) -> None:
        """Feed and read the program until it has ended; stop it when it breaks a limit."""
        waiting = memoryview(stdin)
        deadline, next_look = self.started + seconds, self.started + TICK
        with selectors.DefaultSelector() as selector:
            for descriptor in self._sinks:
                selector.register(descriptor, selectors.EVENT_READ)
            if self.process.stdin is not None:
                os.set_blocking(self.process.stdin.fileno(), False)
                selector.register(self.process.stdin, selectors.EVENT_WRITE)
            ended = None
            while True:
                for key, _ in self._wait(selector):
                    if key.fd in self._sinks:
                        self._read(selector, key.fd)
                    else:
                        waiting = self._write(selector, waiting)
                now = time.monotonic()
                if not self.stopped and now >= next_look:
                    next_look = now + TICK
                    self._stop(self.look())
                if not self.stopped and now >= deadline:
                    self._stop("time")
                if ended is None and self.process.poll() is not None:
                    ended = now
                if ended and (not selector.get_map() or now > ended + AFTERMATH):
                    break
        self.seconds = time.monotonic() - self.started

    def _wait(
        self, selector: selectors.BaseSelector
    ) -> list[tuple[selectors.SelectorKey, int]]:
        """What can be read or written, after a TICK at most."""
        if selector.get_map():
            return selector.select(TICK)
        # The program has closed its pipes: mostly it ends now, but it may go on in silence.
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(TICK)
        return []

    def _read(self, selector: selectors.BaseSelector, descriptor: int) -> None:
        data = os.read(descriptor, CHUNK)
        if not data:
            selector.unregister(descriptor)
            return
        self._sinks[descriptor](data)
        written = max(self.stdout.total, self.stderr.total)
        if not self.stopped and written > WAY_OVER * self.limits.output:
            self._stop("output")

    def _write(
        self, selector: selectors.BaseSelector, waiting: memoryview
    ) -> memoryview:
        assert self.process.stdin is not None
        try:
            waiting = waiting[os.write(self.process.stdin.fileno(), waiting) :]
        except BrokenPipeError:  # the program does not want to read it
            waiting = waiting[:0]
        if not waiting:
            selector.unregister(self.process.stdin)
            self.process.stdin.close()
        return waiting

    def _stop(self, why: str) -> None:
        if why:
            self.stopped = why
            self.kill()

    def kill(self) -> None:
        """End the program, if it has not ended, and whatever it left."""
        if self.process.poll() is None:
            self.killed = True
        self._kill()

    def close(self) -> None:
        """Kill what is left and free the pipes."""
        self.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            if pipe is not None:
                pipe.close()

    def completed(self, status: int) -> Completed:
        return Completed(
            status, self.stdout.kept(), self.stderr.kept(), self.seconds, self.stopped
        )


class Background:
    """A job that is drained by a thread of the judge while the judge does other things."""

    def __init__(
        self, job: Job, signal: Callable[[int], None], status: Callable[[], int]
    ):
        self._job = job
        self._signal = signal
        self._status = status
        self._thread = threading.Thread(target=job.drain, daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    @property
    def stopped(self) -> str:
        return self._job.stopped

    def signal(self, number: int) -> None:
        if self.alive:
            self._signal(number)

    def wait(self, timeout: float) -> int | None:
        self._thread.join(timeout)
        return None if self.alive else self._status()

    def output(self) -> bytes:
        return self._job.stdout.kept()

    def close(self) -> None:
        self._job.kill()
        self._thread.join()
        self._job.close()
