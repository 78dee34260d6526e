"""The sandbox for machines without bubblewrap: one container for each program.

The program's files travel through stdin, so that nothing of the machine is mounted into the container; what
it finds in its working folder is a copy. Packages are those of the image.
"""

import io
import json
import signal
import tarfile
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from autograder.engine import Engine
from autograder.errors import InfrastructureError
from autograder.sandbox import LIMITS, NOTHING, Completed, Limits, Running
from autograder.sandbox.direct import here
from autograder.sandbox.job import Job

USER = "65534:65534"
START = 5.0  # seconds an engine may take to start a container
PLACES = {"/work": Path("/tmp/work")}  # the only place a container can write to is /tmp
READY = b"\0ready\n"  # says that what follows on stdout is the program's

# Runs in the container: a line of JSON, then a tar archive, then the program's own stdin.
UNPACK = """
import io, json, os, resource, sys, tarfile
source = open(0, "rb", buffering=0, closefd=False)
def read(size):
    parts = []
    while size and (part := source.read(size)):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)
line = b""
while not line.endswith(b"\\n"):
    line += read(1)
told = json.loads(line)
tarfile.open(fileobj=io.BytesIO(read(told["size"]))).extractall("/tmp/work")
os.chdir("/tmp/work")
resource.setrlimit(resource.RLIMIT_NOFILE, (told["files"],) * 2)
os.environ.update(told["env"])
words = told["command"]
if words[0] == "python":
    words[0] = sys.executable
os.write(1, bytes(told["ready"]))
os.execvp(words[0], words)
"""


class ContainerSandbox:
    """Runs programs in containers of `image`, which has python3; the judge's base image if none is named."""

    name = "container"

    def __init__(self, engine: Engine, image: str | None = None):
        self._engine = engine
        self._image = image or engine.base

    @classmethod
    def connect(cls) -> "ContainerSandbox":
        """Raises InfrastructureError where there is no engine or no image."""
        return cls(Engine.connect())

    def run(
        self,
        command: Sequence[str],
        *,
        folder: Path,
        stdin: bytes = b"",
        env: Mapping[str, str] = NOTHING,
        limits: Limits = LIMITS,
    ) -> Completed:
        archive = packed(folder)
        told = {
            "size": len(archive),
            "command": [here(word, PLACES) for word in command],
            "env": {"HOME": "/tmp", "MPLBACKEND": "agg", **env},
            "files": limits.files,
            "ready": list(READY),
        }
        with self._engine.attached(
            self._image,
            ["python3", "-I", "-c", UNPACK],
            memory=f"{limits.memory}b",
            pids=limits.processes,
            user=USER,
        ) as process:
            job = Job(process, limits, kill=process.kill)
            job.drain(
                json.dumps(told).encode() + b"\n" + archive + stdin,
                START + limits.seconds,
            )
        return judged(job.completed(process.returncode), job.killed)

    def start(
        self,
        command: Sequence[str],
        *,
        folder: Path,
        sockets: Path,
        env: Mapping[str, str] = NOTHING,
        limits: Limits = LIMITS,
    ) -> AbstractContextManager[Running]:
        """Raises InfrastructureError: no socket of a container can be reached without mounting a folder."""
        raise InfrastructureError(
            "A service runs only in the bubblewrap sandbox. "
            "Grade this assignment on Linux, where `make system` installs bubblewrap."
        )


def packed(folder: Path) -> bytes:
    """The folder as a tar archive that belongs to nobody."""
    archive = io.BytesIO()

    def anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo:
        member.uid = member.gid = 0
        member.uname = member.gname = ""
        return member

    with tarfile.open(fileobj=archive, mode="w") as tar:
        tar.add(folder, arcname=".", filter=anonymous)
    return archive.getvalue()


def judged(completed: Completed, killed: bool) -> Completed:
    """What the engine says, as what the program did. Raises InfrastructureError if it did not run."""
    if not completed.stdout.startswith(READY):
        problem = completed.stderr.decode(errors="replace").strip()
        raise InfrastructureError(
            f"A container did not start: {problem[-500:]}. Run `make system`, then `pivot doctor`."
        )
    status, stopped = completed.status, completed.stopped
    if killed:
        status = -signal.SIGKILL
    elif 128 < status <= 128 + 64:
        status = 128 - status
        if status == -signal.SIGKILL:
            stopped = "memory"  # nobody else kills in a container
    stdout = completed.stdout.removeprefix(READY)
    return Completed(status, stdout, completed.stderr, completed.seconds, stopped)
