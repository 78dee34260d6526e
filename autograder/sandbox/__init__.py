"""Where learners' code runs: no network, no view of the rest of the machine, limits on everything."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

from autograder.errors import InfrastructureError

NOTHING: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True)
class Limits:
    """What one program, with all it starts, may use."""

    seconds: float = (
        10  # wall-clock time of `run`; what `start` started runs until it is closed
    )
    memory: int = 1 << 30  # bytes, of all processes together
    processes: int = 64  # threads count too
    files: int = 256  # open at once, per process
    disk: int = 64 << 20  # bytes in /tmp, and as many in /dev/shm
    output: int = 1 << 20  # bytes kept of stdout, and as many of stderr


LIMITS = Limits()


@dataclass(frozen=True)
class Completed:
    """How a program ended. Everything it says is untrusted."""

    status: int  # of the program; minus the signal's number if a signal ended it
    stdout: bytes  # its first `Limits.output` bytes
    stderr: bytes
    seconds: float
    stopped: (
        str  # "" or the limit it was stopped for: "time", "memory", "disk" or "output"
    )


class Running(Protocol):
    """A long-running program."""

    @property
    def alive(self) -> bool: ...

    @property
    def stopped(self) -> str:
        """Why it was stopped, as in `Completed`; "" while it runs or when it ended by itself."""
        ...

    def signal(self, number: int) -> None:
        """Send a signal to the program itself. Nothing happens if it has already ended."""
        ...

    def wait(self, timeout: float) -> int | None:
        """Its exit status, minus the number of the signal that ended it; None if it still runs."""
        ...

    def output(self) -> bytes:
        """The last `Limits.output` bytes of what it wrote to stdout and stderr."""
        ...


class Sandbox(Protocol):
    """Runs programs. `python` in a command is the course's own, with its packages.

    The program finds `folder` at /work, its working folder, read-only. It can write to /tmp, which no
    other program sees and which is gone when it ends. Raises InfrastructureError when it could not run;
    whatever the program does is no error.
    """

    name: str

    def run(
        self,
        command: Sequence[str],
        *,
        folder: Path,
        stdin: bytes = b"",
        env: Mapping[str, str] = NOTHING,
        limits: Limits = LIMITS,
    ) -> Completed:
        """Run a program to its end, or until a limit stops it. Nothing it started survives."""
        ...

    def start(
        self,
        command: Sequence[str],
        *,
        folder: Path,
        sockets: Path,
        env: Mapping[str, str] = NOTHING,
        limits: Limits = LIMITS,
    ) -> AbstractContextManager[Running]:
        """Start a long-running program; leaving the context kills it with everything it started.

        `sockets`, an empty folder made for it, is writable at /run/judge, for Unix sockets. The program
        also dies with the thread that started it.
        """
        ...


def choose(name: str | None = None) -> Sandbox:
    """The sandbox called `name`, else bubblewrap where it works, else a container.

    Raises InfrastructureError if there is none: learners' code never runs unprotected.
    """
    if name is not None and name not in SANDBOXES:
        raise InfrastructureError(
            f"There is no sandbox called {name!r}. Choose one of {', '.join(SANDBOXES)}."
        )
    problems = []
    for candidate in [name] if name else SANDBOXES:
        try:
            return SANDBOXES[candidate]()
        except InfrastructureError as error:
            problems.append(str(error))
    raise InfrastructureError(" ".join(problems))


@cache  # making sure that it works takes as long as a small job
def _bubblewrap() -> Sandbox:
    from autograder.sandbox.bubblewrap import Bubblewrap

    return Bubblewrap.connect()


def _container() -> Sandbox:
    from autograder.sandbox.container import ContainerSandbox

    return ContainerSandbox.connect()


SANDBOXES: dict[str, Callable[[], Sandbox]] = {
    "bubblewrap": _bubblewrap,
    "container": _container,
}
