"""The sandbox of Linux: bubblewrap, with namespaces of its own for everything.

A judge that runs as root gives every job a user id of its own, because the kernel counts processes by user
and root's not at all. A judge that does not needs user namespaces, and its jobs are users in their own.
"""

import contextlib
import json
import os
import secrets
import select
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from autograder.errors import InfrastructureError
from autograder.sandbox import LIMITS, NOTHING, Completed, Limits, seccomp, usage
from autograder.sandbox.arguments import step_down, view
from autograder.sandbox.job import Background, Job
from autograder.sandbox.readable import readable

USERS = 0x70000000  # the first of 2**28 user ids that nothing else hands out
FIX = "Run `make system`, then `pivot doctor` to see what is missing."


class Bubblewrap:
    """Runs programs in bubblewrap. Make one with `connect`, which makes sure that it works."""

    name = "bubblewrap"

    @classmethod
    def connect(cls) -> "Bubblewrap":
        """Raises InfrastructureError where bubblewrap is missing or may not make namespaces."""
        sandbox = cls()
        with tempfile.TemporaryDirectory(prefix="sandbox-") as folder:
            completed = sandbox.run(
                ["python", "-I", "-S", "-c", ""], folder=Path(folder)
            )
        if completed.status:
            problem = completed.stderr.decode(errors="replace").strip()
            raise InfrastructureError(
                f"Python does not run in bubblewrap here: {problem[-500:]}. {FIX}"
            )
        return sandbox

    def run(
        self,
        command: Sequence[str],
        *,
        folder: Path,
        stdin: bytes = b"",
        env: Mapping[str, str] = NOTHING,
        limits: Limits = LIMITS,
    ) -> Completed:
        with Box(command, folder, env, limits, feed=bool(stdin)) as box:
            box.job.drain(stdin, limits.seconds)
        return box.job.completed(box.status())

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
        with (
            Box(command, folder, env, limits, sockets=sockets) as box,
            contextlib.closing(Background(box.job, box.signal, box.status)) as running,
        ):
            yield running


class Box(contextlib.ExitStack):
    """One run of bwrap, which reports on a pipe that the program in it does not have."""

    def __init__(
        self,
        command: Sequence[str],
        folder: Path,
        env: Mapping[str, str],
        limits: Limits,
        *,
        feed: bool = False,
        sockets: Path | None = None,
    ):
        super().__init__()
        self._limits = limits
        self._sockets = sockets.absolute() if sockets is not None else None
        self._report = b""
        # A pidfd of the first process of the namespace: the rest dies with it.
        self._init = -1
        with contextlib.ExitStack() as started:
            user = None
            if os.getuid() == 0:
                user = USERS + secrets.randbelow(1 << 28)
                folder = started.enter_context(readable(folder))
            if self._sockets is not None:
                hand_over(self._sockets, user)
            outside = view(
                folder.absolute(), self._sockets, env, limits, root=user is not None
            )
            inside = [*step_down(user, limits), *command]
            self.job = self._spawn(outside, inside, feed, started)
            started.callback(self._reap)
            self.push(started.pop_all())

    def _spawn(
        self,
        outside: list[str],
        inside: list[str],
        feed: bool,
        started: contextlib.ExitStack,
    ) -> Job:
        bwrap = shutil.which("bwrap")
        if bwrap is None:
            raise InfrastructureError(f"bubblewrap is not installed. {FIX}")
        rules = seccomp.program()
        hear, tell = os.pipe()
        read_rules, write_rules = os.pipe()
        started.callback(os.close, hear)
        os.write(write_rules, rules)
        os.close(write_rules)
        descriptors = f"--seccomp {read_rules} --json-status-fd {tell} --".split()
        try:
            process = subprocess.Popen(
                [bwrap, *outside, *descriptors, *inside],
                stdin=subprocess.PIPE if feed else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT if self._sockets else subprocess.PIPE,
                pass_fds=(read_rules, tell),
                env={},  # the program gets it, and may read it in /proc/1/environ besides
            )
        except OSError as error:
            raise InfrastructureError(f"bwrap did not start: {error}. {FIX}") from error
        finally:
            os.close(read_rules)
            os.close(tell)
        return Job(
            process,
            self._limits,
            kill=self._kill,
            look=self._look,
            sources={hear: self._heard},
            tail=self._sockets is not None,
        )

    def _heard(self, data: bytes) -> None:
        self._report += data
        if self._init < 0 and (child := self._said("child-pid")):
            with contextlib.suppress(ProcessLookupError):
                self._init = os.pidfd_open(child)

    def _said(self, key: str) -> int | None:
        """A value in what bwrap has reported so far: one JSON object a line."""
        for line in self._report.splitlines(keepends=True):
            if line.endswith(b"\n") and key in (said := json.loads(line)):
                return said[key]
        return None

    def _look(self) -> str:
        init = self._said("child-pid")
        return usage.broken(init, self._limits, self._sockets) if init else ""

    def _kill(self) -> None:
        if self.job.process.poll() is None:
            self.job.process.kill()
        if self._init >= 0:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._init, signal.SIGKILL)

    def _reap(self) -> None:
        """Return when every process of the namespace is gone."""
        self.job.close()
        if self._init >= 0:
            # The kernel reports the first process as ended once it has reaped all others.
            end = select.poll()
            end.register(self._init, select.POLLIN)
            end.poll()
            os.close(self._init)
            self._init = -1

    def signal(self, number: int) -> None:
        """Signal the program, which is the second process of its namespace: bwrap is the first."""
        init = self._said("child-pid")
        if init and (program := usage.program(init)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(program, number)

    def status(self) -> int:
        """The program's exit status. Raises InfrastructureError if bwrap did not get as far as running it."""
        if self.job.killed:
            return -signal.SIGKILL
        code = self._said("exit-code")
        if code is None:
            problem = self.job.stderr.kept().decode(errors="replace").strip()
            raise InfrastructureError(
                f"bubblewrap could not make a sandbox: {problem[-500:]}. {FIX}"
            )
        return 128 - code if 128 < code <= 128 + 64 else code


def hand_over(sockets: Path, user: int | None) -> None:
    """Let the program write to the folder. It must be empty, so that no folder is given away by mistake."""
    if any(sockets.iterdir()):
        raise ValueError(f"{sockets} is not empty; the folder for sockets must be new")
    if user is not None:
        os.chown(sockets, user, user)
