"""No sandbox: the learner's own program on the learner's own machine, which need not be Linux.

It keeps the interface, the time limit, the cap on output and the end of everything that was started. It
isolates nothing, so no judge of somebody else's work uses it.
"""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from autograder.errors import InfrastructureError
from autograder.sandbox import LIMITS, NOTHING, Completed, Limits
from autograder.sandbox.job import Background, Job

SOCKET_PATH = (
    103  # bytes the path of a Unix socket may have on macOS; Linux allows four more
)


class Direct:
    """Runs programs as they are. /work and /run/judge in arguments and environment become the real places."""

    name = "direct"

    def run(
        self,
        command: Sequence[str],
        *,
        folder: Path,
        stdin: bytes = b"",
        env: Mapping[str, str] = NOTHING,
        limits: Limits = LIMITS,
    ) -> Completed:
        with program(command, {"/work": folder}, env, limits, feed=bool(stdin)) as job:
            job.drain(stdin, limits.seconds)
            return job.completed(job.process.returncode)

    @contextlib.contextmanager
    def start(
        self,
        command: Sequence[str],
        *,
        folder: Path,
        sockets: Path,
        env: Mapping[str, str] = NOTHING,
        limits: Limits = LIMITS,
    ) -> Iterator[Background]:
        if len(os.fsencode(sockets)) + len("/service.sock") > SOCKET_PATH:
            raise InfrastructureError(
                f"The path of {sockets} is too long for a Unix socket. Set TMPDIR to a shorter one."
            )
        places = {"/work": folder, "/run/judge": sockets}
        with program(command, places, env, limits, merge=True) as job:
            process = job.process
            running = Background(job, process.send_signal, lambda: process.returncode)
            with contextlib.closing(running):
                yield running


@contextlib.contextmanager
def program(
    command: Sequence[str],
    places: Mapping[str, Path],
    env: Mapping[str, str],
    limits: Limits,
    *,
    feed: bool = False,
    merge: bool = False,
) -> Iterator[Job]:
    """A started program; leaving the context kills its process group and removes its temporary folder."""
    words = [here(word, places) for word in command]
    if words[0] == "python":
        words[0] = sys.executable
    with tempfile.TemporaryDirectory(prefix="direct-") as temporary:
        process = subprocess.Popen(
            words,
            cwd=places["/work"],
            env={
                **os.environ,
                "TMPDIR": temporary,
                "MPLBACKEND": "agg",
                "PYTHONDONTWRITEBYTECODE": "1",
                **{name: here(value, places) for name, value in env.items()},
            },
            stdin=subprocess.PIPE if feed else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if merge else subprocess.PIPE,
            start_new_session=True,
        )

        def kill() -> None:
            # macOS says "not permitted" of a group of which only a zombie is left.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)

        with contextlib.closing(Job(process, limits, kill, tail=merge)) as job:
            yield job


def here(word: str, places: Mapping[str, Path]) -> str:
    """The word with a path in the sandbox replaced by the real one."""
    for place, real in places.items():
        if word == place or word.startswith(f"{place}/"):
            return f"{real}{word.removeprefix(place)}"
    return word
