"""docker and podman behind one interface: build a learner's image, run it confined, leave nothing behind."""

import contextlib
import itertools
import os
import secrets
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path

from autograder import base
from autograder.commandline import CommandLine
from autograder.engine.building import IMAGE as LIMIT
from autograder.engine.building import build
from autograder.engine.container import (
    Container,
    State,
    Stopped,
    confinement,
    environment,
    quiet,
    refused,
)
from autograder.engine.image import Image, Layer
from autograder.engine.leftovers import removal, remove_job, remove_orphans
from autograder.errors import InfrastructureError, LearnerError
from autograder.owner import JOB, OWNER, this_process
from pivot.host import program as find_program

__all__ = ["Container", "Engine", "Image", "Layer", "State", "Stopped"]

PROGRAMS = ("docker", "podman")
UNKNOWN = ("No such image", "image not known")  # docker's and podman's words


class Engine(contextlib.AbstractContextManager["Engine"]):
    """A connection to docker or podman for one job, a context manager.

    Whatever it makes is labelled with the job and its owner, this process. `close` removes all of it; `sweep`
    what judges that were killed have left.
    """

    def __init__(self, cli: CommandLine, architecture: str):
        self.program = cli.program
        self.architecture = architecture  # docker's word: amd64, arm64
        self.job = secrets.token_hex(6)
        self.labels = {JOB: self.job, OWNER: this_process()}
        self.cli = cli
        self._numbers = itertools.count(1)

    @classmethod
    def connect(cls, program: str | None = None) -> "Engine":
        """The engine named here or by PIVOT_ENGINE, else the first that answers: docker, then podman.

        Raises InfrastructureError that says how to get one.
        """
        wanted = program or os.environ.get("PIVOT_ENGINE") or ""
        if wanted and wanted not in PROGRAMS:
            raise InfrastructureError(
                f"PIVOT_ENGINE={wanted} is not an engine the judge knows; it can be docker or podman."
            )
        for name in [wanted] if wanted else PROGRAMS:
            if path := find_program(name):
                cli = CommandLine.of(name, path)
                if architecture := _architecture(cli):
                    return cls(cli, architecture)
        raise InfrastructureError(
            f"{wanted.capitalize() or 'No container engine'} {'does not answer' if wanted else 'answers'} on "
            "this machine; `make system` installs and starts one, and `pivot doctor` says what is wrong."
        )

    @cached_property
    def base(self) -> str:
        """The judge's image in place of python:3.11-slim. Raises InfrastructureError if there is none yet."""
        tag = base.tag(self.architecture)
        answer = self.cli.ask("image", "inspect", "--format", "{{.Id}}", tag)
        if not answer.status:
            return tag
        if any(words in answer.stderr for words in UNKNOWN):
            raise InfrastructureError(
                f"{self.program} has no base image yet ({tag}); `make system` makes it."
            )
        raise InfrastructureError(
            f"`{self.program} image inspect` failed: {answer.complaint}"
        )

    @cached_property
    def base_image(self) -> Image:
        """What the engine knows about the base."""
        return self.image(self.base)

    def image(self, name: str) -> Image:
        """What the engine knows about an image. Raises InfrastructureError if it has none of that name."""
        return Image.inspect(self.cli, name)

    def build(self, context: Path, *, seconds: float = 300) -> Image:
        """Build the Dockerfile in a folder, with the judge's base and without a network.

        Raises LearnerError if the Dockerfile is not allowed or does not build within the limits.
        """
        tag = f"localhost/{self._name()}:build"
        build(
            self.cli,
            context,
            tag,
            base=self.base,
            architecture=self.architecture,
            labels=self.labels,
            seconds=seconds,
        )
        image = self.image(tag)
        if image.size - self.base_image.size > LIMIT:
            raise LearnerError(
                f"The image is {image.size >> 20} MiB, where the base and {LIMIT >> 20} MiB are allowed.",
                "Install only what the service needs, and keep data out of the image.",
            )
        return image

    @contextlib.contextmanager
    def run(
        self,
        image: Image,
        *,
        command: Sequence[str] = (),
        env: Mapping[str, str] = {},
        memory: str = "512m",
        pids: int = 128,
        read_only: bool = True,
        tmpfs: Sequence[str] = ("/tmp",),
        user: str | None = None,
        network: str = "none",
    ) -> Iterator[Container]:
        """Start a container in the background, remove it at the end.

        `command` stands in for the image's CMD; `network` is "none" or "container:<id>". Raises LearnerError
        if the image cannot be started.
        """
        name = self._name()
        options = [
            *self._options(name),
            *confinement(
                image,
                memory=memory,
                pids=pids,
                read_only=read_only,
                tmpfs=tmpfs,
                network=network,
            ),
            *(("--user", user) if user else ()),
            *environment(env),
        ]
        try:
            id = self._start("create", *options, image.id, *command)
            self._start("start", name)
            yield Container(self.cli, id, image)
        finally:
            self._remove(name)

    @contextlib.contextmanager
    def attached(
        self,
        image: str,
        command: Sequence[str],
        *,
        network: str = "none",
        memory: str = "256m",
        pids: int = 64,
        user: str | None = None,
    ) -> Iterator[subprocess.Popen[bytes]]:
        """A judge's program in a container, its stdin and stdout as pipes of the process that is yielded.

        `image` is a name, mostly `engine.base`. Closing its stdin should end the program; what is left of it
        at the end of the block is removed.
        """
        name = self._name()
        options = confinement(
            None,
            memory=memory,
            pids=pids,
            read_only=True,
            tmpfs=("/tmp",),
            network=network,
        )
        process = self.cli.start(
            *("run", "--rm", "--interactive", *self._options(name), *options),
            *(("--user", user) if user else ()),
            *("--entrypoint", command[0], image, *command[1:]),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        try:
            yield process
        finally:
            for pipe in (process.stdin, process.stdout, process.stderr):
                if pipe:
                    with contextlib.suppress(OSError):
                        pipe.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(1)
            self._remove(name)
            process.kill()
            process.wait()

    def sweep(self) -> None:
        """Remove what judges that are no longer alive have left behind, in this engine."""
        remove_orphans(self.cli)

    def close(self) -> None:
        """Remove all containers and images of this job."""
        remove_job(self.cli, self.job)

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _name(self) -> str:
        return f"the-pivot-{self.job}-{next(self._numbers)}"

    def _options(self, name: str) -> list[str]:
        labels = [
            option
            for key, value in self.labels.items()
            for option in ("--label", f"{key}={value}")
        ]
        return ["--name", name, *labels, *quiet(self.program)]

    def _start(self, *arguments: str) -> str:
        answer = self.cli.ask(*arguments)
        if answer.status:
            raise refused(answer.complaint) or InfrastructureError(
                f"`{self.program} {arguments[0]}` failed: {answer.complaint}"
            )
        return answer.stdout.strip()

    def _remove(self, name: str) -> None:
        answer = self.cli.ask(*removal(self.program), name)
        # docker removes a container with --rm by itself, and says so if asked at that moment.
        gone = ("no such container", "is already in progress")
        if answer.status and not any(word in answer.stderr.lower() for word in gone):
            raise InfrastructureError(f"`{self.program} rm` failed: {answer.complaint}")


def _architecture(cli: CommandLine) -> str:
    """What the engine's machine is, or an empty string if no engine answers."""
    if cli.program == "docker":
        answer = cli.ask("version", "--format", "{{.Server.Arch}}", seconds=30)
    else:
        answer = cli.ask("info", "--format", "{{.Host.Arch}}", seconds=30)
    return answer.stdout.strip() if answer.status == 0 else ""
