"""One container engine's command line: docker or podman, without the judge's environment."""

import os
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO

from autograder.errors import InfrastructureError

PATIENCE = 120.0  # seconds for what should be done at once, on a machine that is busy
# Seconds before each new try of a command that another job's removal was in the way of.
PAUSES = (0.0, 0.2, 0.5, 1.0, 2.0)
# podman reads its list of images first and then each of them; meanwhile another job may have removed one.
RACES = (
    *("locating image with ID", "locating image for layer", "layer not known"),
    "locating item named",
    *("checking if image", "looking for cached", "error reading image"),
)
# podman's monitor leaves a file called `oom` in the folder it starts in, if it can write there.
NOWHERE = "/proc" if os.path.isdir("/proc") else "/"
# What the command lines need to find their engine. Proxies, tokens and the like stay here: both programs
# would hand some of them to every build and container.
KEPT = [
    *("PATH", "HOME", "USER", "TMPDIR", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME"),
    *("XDG_DATA_HOME", "DOCKER_HOST", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH"),
    *("CONTAINER_HOST", "CONTAINER_SSHKEY", "CONTAINERS_CONF"),
    "CONTAINERS_STORAGE_CONF",
]


@dataclass(frozen=True)
class Answer:
    """How a command of the engine ended."""

    status: int
    stdout: str
    stderr: str

    @property
    def complaint(self) -> str:
        """What it complained of: the engine's own words, or else the last line."""
        lines = [line for line in self.stderr.splitlines() if line.strip()]
        engines = [line for line in lines if line.startswith("Error response")]
        return (engines or lines or [f"exit status {self.status}"])[-1].strip()[:500]


@dataclass(frozen=True)
class CommandLine:
    """`program` is docker or podman, found at `path`."""

    program: str
    path: str
    environment: dict[str, str]

    @classmethod
    def of(cls, program: str, path: str) -> "CommandLine":
        environment = {name: os.environ[name] for name in KEPT if name in os.environ}
        environment["LC_ALL"] = "C.UTF-8"
        environment["DOCKER_BUILDKIT"] = "0"  # see engine/building.py
        here = cls(program, path, environment)
        if program == "docker":
            # The user's configuration may name proxies, which docker would write into every container. What
            # is needed of it is the address of the engine.
            endpoint = here.ask(
                *("context", "inspect", "--format", "{{.Endpoints.docker.Host}}")
            )
            if endpoint.status == 0 and endpoint.stdout.strip():
                environment.setdefault("DOCKER_HOST", endpoint.stdout.strip())
            environment["DOCKER_CONFIG"] = os.path.join(os.sep, "nonexistent")
        return here

    def ask(
        self,
        *arguments: str,
        stdin: IO[bytes] | int = subprocess.DEVNULL,
        seconds: float = PATIENCE,
    ) -> Answer:
        """Run one command, again if only another job's removal was in its way and it reads no input.

        Raises InfrastructureError only if the engine does not answer in time.
        """
        answer = self._once(*arguments, stdin=stdin, seconds=seconds)
        for pause in PAUSES if stdin == subprocess.DEVNULL else ():
            if not raced(answer.status, answer.stderr):
                break
            time.sleep(pause)
            answer = self._once(*arguments, stdin=stdin, seconds=seconds)
        return answer

    def tell(
        self,
        *arguments: str,
        stdin: IO[bytes] | int = subprocess.DEVNULL,
        seconds: float = PATIENCE,
    ) -> str:
        """Run one command and return its output. Raises InfrastructureError if it fails."""
        answer = self.ask(*arguments, stdin=stdin, seconds=seconds)
        if answer.status:
            raise InfrastructureError(
                f"`{self.program} {arguments[0]}` failed: {answer.complaint}"
            )
        return answer.stdout

    def _once(self, *arguments: str, stdin: IO[bytes] | int, seconds: float) -> Answer:
        # Files instead of pipes: podman leaves a monitor behind that could keep a pipe open.
        with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as complaints:
            process = self.start(
                *arguments, stdin=stdin, stdout=output, stderr=complaints
            )
            try:
                process.wait(seconds)
            except subprocess.TimeoutExpired:
                raise InfrastructureError(
                    f"`{self.program} {arguments[0]}` did not answer within {seconds:g} seconds; see whether "
                    f"`{self.program} info` answers, and start the engine again if not."
                ) from None
            finally:
                process.kill()
                process.wait()
            output.seek(0)
            complaints.seek(0)
            return Answer(
                process.returncode,
                output.read().decode(errors="replace"),
                complaints.read().decode(errors="replace"),
            )

    def start(
        self,
        *arguments: str,
        stdin: IO[bytes] | int | None,
        stdout: IO[bytes] | int,
        stderr: IO[bytes] | int,
    ) -> subprocess.Popen[bytes]:
        """A command that runs on, in a session of its own: Ctrl-C is for the judge, which then cleans up."""
        command: Sequence[str] = [self.path, *arguments]
        return subprocess.Popen(
            command,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            env=self.environment,
            cwd=NOWHERE,
            start_new_session=True,
        )


def raced(status: int, said: str) -> bool:
    """Whether a command failed only because another job removed an image at the same time."""
    return status != 0 and any(sign in said for sign in RACES)
