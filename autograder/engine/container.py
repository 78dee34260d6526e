"""A container of the learner's: what it may do, how it is doing, and how it ends."""

import json
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from autograder.commandline import CommandLine
from autograder.engine.image import Image
from autograder.errors import InfrastructureError, LearnerError

LOG = 2 << 20  # bytes the engine keeps of a container's output
KEPT = 256 << 10  # bytes of it that logs() returns
# nproc as well: a podman that is told some limits asks for no limit where it is told none, which not every
# host grants.
ULIMITS = [
    *("--ulimit", "nofile=4096:4096"),
    *("--ulimit", "nproc=4096:4096"),
    *("--ulimit", "core=0:0"),
]
TMPFS = "rw,nosuid,nodev,exec,size=64m,mode=1777"


@dataclass(frozen=True)
class State:
    """`status` is the engine's word: created, running, exited... `pid` is the host's, 0 when not running."""

    running: bool
    status: str
    exit_status: int
    oom_killed: bool
    pid: int


@dataclass(frozen=True)
class Stopped:
    """How a container took its stop signal. `killed`: it did not end within the grace."""

    seconds: float
    status: int
    killed: bool


class Container:
    """A container that was started. Engine.run makes it and removes it."""

    def __init__(self, cli: CommandLine, id: str, image: Image):
        self.id = id
        self.image = image
        self._cli = cli
        self._killed = False

    def state(self) -> State:
        said = json.loads(
            self._cli.tell(
                "container", "inspect", "--format", "{{json .State}}", self.id
            )
        )
        return State(
            running=said["Running"],
            status=said["Status"],
            exit_status=said["ExitCode"],
            # podman does not notice it everywhere; only the kernel and the judge can SIGKILL a first process.
            oom_killed=said["OOMKilled"]
            or (said["ExitCode"] == 137 and not self._killed),
            pid=said["Pid"],
        )

    def wait(self, seconds: float) -> int | None:
        """The exit status, or None if it still runs after that time."""
        waiter = self._waiter()
        try:
            return self._status(waiter, seconds)
        except subprocess.TimeoutExpired:
            return None
        finally:
            waiter.kill()
            waiter.communicate()

    def stop(self, grace: float) -> Stopped:
        """Send the image's stop signal, and SIGKILL if it still runs `grace` seconds later."""
        waiter = self._waiter()
        killed = False
        start = time.monotonic()
        try:
            sent = self._signal(self.image.config.get("StopSignal") or "SIGTERM")
            start = time.monotonic() if sent else start
            try:
                status = self._status(waiter, grace)
            except subprocess.TimeoutExpired:
                killed = self._signal("SIGKILL")
                status = self._status(waiter, 30)
        except subprocess.TimeoutExpired:
            raise InfrastructureError(
                f"{self._cli.program} could not kill a container within 30 seconds."
            ) from None
        finally:
            waiter.kill()
            waiter.communicate()
        return Stopped(time.monotonic() - start if sent else 0.0, status, killed)

    def kill(self) -> None:
        """End it at once. One that has ended already is left as it is."""
        self._signal("SIGKILL")

    def logs(self) -> bytes:
        """The last of what it wrote to stdout and stderr."""
        process = self._cli.start(
            *("logs", "--tail", "5000", self.id),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        output, _ = process.communicate()
        return output[-KEPT:]

    def healthcheck(self, seconds: float = 10, env: Mapping[str, str] = {}) -> int:
        """Run the image's own HEALTHCHECK once, in the container, and return its exit status.

        `env` is what it sees in place of variables of the container.
        It says whether what they wrote runs. Whether the service is healthy is for others to find out: this
        is the learner's program in the learner's container. Raises LearnerError where there is none to
        run or it takes longer than `seconds`.
        """
        kind, *command = self.image.config.get("Healthcheck", {}).get("Test") or [
            "NONE"
        ]
        if kind == "NONE" or not command:
            raise LearnerError(
                "The image has no HEALTHCHECK.",
                "Add a HEALTHCHECK instruction to the last stage of the Dockerfile.",
            )
        if kind == "CMD-SHELL":
            shell = self.image.config.get("Shell") or ["/bin/sh", "-c"]
            command = [*shell, *command]
        process = self._cli.start(
            *("exec", *environment(env), self.id, *command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            return process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise LearnerError(
                f"The HEALTHCHECK did not end within {seconds:g} seconds.",
                "Give its request a timeout, so that it reports a hanging service instead of hanging too.",
            ) from None
        finally:
            process.kill()
            process.wait()

    def _signal(self, signal: str) -> bool:
        """Whether it still ran and could be sent the signal."""
        self._killed |= signal == "SIGKILL"
        answer = self._cli.ask("kill", "--signal", signal, self.id)
        if answer.status == 0:
            return True
        if self.state().running:
            if "signal" in answer.complaint.lower() and signal != "SIGKILL":
                raise LearnerError(
                    f"The container cannot be stopped: {answer.complaint}.",
                    "Remove STOPSIGNAL from the Dockerfile, or name a signal there is.",
                )
            raise InfrastructureError(
                f"`{self._cli.program} kill` failed: {answer.complaint}"
            )
        return False

    def _waiter(self) -> subprocess.Popen[bytes]:
        return self._cli.start(
            *("wait", self.id),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def _status(self, waiter: subprocess.Popen[bytes], seconds: float) -> int:
        output, complaints = waiter.communicate(timeout=seconds)
        try:
            return int(output)
        except ValueError:
            raise InfrastructureError(
                f"`{self._cli.program} wait` failed: {complaints.decode(errors='replace').strip()}"
            ) from None


def confinement(
    image: Image | None,
    *,
    memory: str,
    pids: int,
    read_only: bool,
    tmpfs: Sequence[str],
    network: str,
) -> list[str]:
    """The options that hold a container: never a volume, a device or a socket of the host."""
    # A VOLUME of the image would be a writable folder on the host's disk without a limit.
    folders = {*tmpfs, *((image.config.get("Volumes") if image else None) or {})}
    return [
        *("--network", network, "--memory", memory, "--memory-swap", memory),
        *("--pids-limit", str(pids), "--cap-drop", "ALL"),
        *("--security-opt", "no-new-privileges"),
        *ULIMITS,
        *(("--read-only",) if read_only else ()),
        *(
            option
            for path in sorted(folders)
            for option in ("--tmpfs", f"{path}:{TMPFS}")
        ),
    ]


def quiet(program: str) -> list[str]:
    """The options that keep an engine from doing more than asked: endless logs, own health checks, mounts."""
    driver = "json-file" if program == "docker" else "k8s-file"
    options = [
        "--log-driver",
        driver,
        "--log-opt",
        f"max-size={LOG}",
        "--no-healthcheck",
    ]
    if program == "podman":
        # By itself it mounts writable folders without limits into a read-only container, and passes proxies.
        options += ["--read-only-tmpfs=false", "--http-proxy=false"]
    return [*options, "--pull", "never"]


def environment(values: Mapping[str, str]) -> list[str]:
    return [
        option
        for name, value in values.items()
        for option in ("--env", f"{name}={value}")
    ]


def refused(complaint: str) -> LearnerError | None:
    """The learner's error behind an engine's refusal to start a container, if it is one."""
    if any(
        sign in complaint.lower()
        for sign in ("no command specified", "no command or entrypoint")
    ):
        return LearnerError(
            "The image does not say what to run.",
            "Add a CMD or an ENTRYPOINT to the last stage of the Dockerfile.",
        )
    theirs = (
        *('exec: "', "executable file", "exec user process", "chdir to cwd"),
        *("unable to find user", "no matching entries in", "workdir", "no users found"),
        *(
            "must be in range",
            "invalid tmpfs",
            "invalid mount",
            "invalid specification",
        ),
        *("mount path must be absolute", "invalid container path", "error mounting"),
        *("container init: mkdir", "stop signal", "ping_group_range"),
    )
    if any(sign in complaint.lower() for sign in theirs):
        return LearnerError(
            f"The container does not start: {complaint}.",
            "Look at CMD, ENTRYPOINT, USER, WORKDIR, VOLUME and STOPSIGNAL in the Dockerfile: "
            "one of them names what is not there or cannot be.",
        )
    return None
