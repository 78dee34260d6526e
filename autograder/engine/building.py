"""Building a learner's Dockerfile: offline, within limits of time, memory and disk, and with an end.

docker builds with its classic builder: BuildKit keeps its cache outside of the images, where nobody could
tell which job it belongs to. The labels in every stage keep jobs from sharing cached layers.
"""

import os
import re
import shutil
import subprocess
import tempfile
import threading
import time
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import IO

import psutil
from docker.utils.build import PatternMatcher

from autograder.base import WHEELS
from autograder.commandline import PAUSES, CommandLine, raced
from autograder.dockerfile import rewrite
from autograder.engine.container import ULIMITS
from autograder.engine.leftovers import end_build
from autograder.errors import InfrastructureError, LearnerError
from autograder.owner import JOB

CONTEXT = 100 << 20  # bytes of the folder that are sent to the builder
CONTEXT_FILES = 20_000
IMAGE = (
    1 << 30
)  # bytes over the base, written while it builds and in the finished image
MEMORY = "2g"  # of each RUN
DOCKERFILE = 64 << 10  # bytes
FREE = 256 << 20  # bytes; with less, a failed build is nobody's fault
PATTERNS = 200  # lines of .dockerignore
LOG = 64 << 10  # bytes kept of the builder's output
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
NOISE = ("Removing intermediate container", "--->", "-->", "Running in")
MEASURE = 2.0  # seconds between two looks at the disk


def build(
    cli: CommandLine,
    context: Path,
    tag: str,
    *,
    base: str,
    architecture: str,
    labels: Mapping[str, str],
    seconds: float,
) -> None:
    """Build the folder's Dockerfile as `tag`. Raises LearnerError if it does not build within the limits."""
    text = rewrite(_read(context), base=base, labels=labels, architecture=architecture)
    _check_size(context)
    deadline = time.monotonic() + seconds
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "Dockerfile"
        file.write_text(text)
        arguments = [*_options(cli.program, labels), "--tag", tag, "--file", str(file)]
        arguments.append(str(context.absolute()))
        for pause in (*PAUSES, 0.0):
            status, log = _run(cli, arguments, labels[JOB], base, deadline, seconds)
            if not status or not _raced(log):
                break
            time.sleep(pause)
    if status:
        raise _failure(cli, log)


def _run(
    cli: CommandLine,
    arguments: list[str],
    job: str,
    base: str,
    deadline: float,
    seconds: float,
) -> tuple[int, str]:
    """One build: its exit status and the last of its log."""
    process = cli.start(
        *("build", *arguments),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert process.stdout
    log = _Tail(process.stdout)
    try:
        _watch(cli, process, job, base, deadline, seconds)
    finally:
        end_build(process)
        log.join()
    return process.returncode, log.text()


def _options(program: str, labels: Mapping[str, str]) -> list[str]:
    options = [
        *("--network", "none", "--memory", MEMORY, "--memory-swap", MEMORY),
        *("--force-rm", "--ulimit", f"fsize={IMAGE}:{IMAGE}"),
        *ULIMITS,
        *(
            option
            for key, value in labels.items()
            for option in ("--label", f"{key}={value}")
        ),
    ]
    if program == "docker":
        return [*options, "--pull=false"]
    # HEALTHCHECK exists in docker's format only.
    return [
        *options,
        "--pull=never",
        "--format=docker",
        "--layers",
        "--http-proxy=false",
    ]


def _read(context: Path) -> str:
    path = context / "Dockerfile"
    try:
        with path.open("rb") as file:
            source = file.read(DOCKERFILE + 1)
        if len(source) > DOCKERFILE or b"\0" in source:
            raise ValueError
        return source.decode()
    except FileNotFoundError:
        raise LearnerError(
            "There is no Dockerfile.",
            "Write one, named Dockerfile, beside the service.",
        ) from None
    except (OSError, ValueError):
        raise LearnerError(
            f"The Dockerfile is not a text file in UTF-8 of at most {DOCKERFILE >> 10} KiB.",
            "Save it as plain text again.",
        ) from None


def _check_size(context: Path) -> None:
    """Raises LearnerError if more would be sent to the builder than fits, by the rules of .dockerignore."""
    sizes = {
        str(path.relative_to(context)): path.lstat().st_size for path in _files(context)
    }
    if not _too_much(sizes):
        return
    # Only now, since matching hostile patterns takes long.
    ignored = PatternMatcher(_patterns(context))
    sent = {name: size for name, size in sizes.items() if not ignored.matches(name)}
    if _too_much(sent):
        largest = max(sent, key=lambda name: sent[name])
        raise LearnerError(
            f"The build context is too large: {len(sent)} files with {sum(sent.values()) >> 20} MiB, where "
            f"{CONTEXT_FILES} with {CONTEXT >> 20} MiB are allowed; the largest is {largest}.",
            "Name what the image does not need in .dockerignore, or remove it from the folder.",
        )


def _files(folder: Path) -> list[Path]:
    return [
        Path(parent) / name for parent, _, names in os.walk(folder) for name in names
    ]


def _too_much(sizes: Mapping[str, int]) -> bool:
    return sum(sizes.values()) > CONTEXT or len(sizes) > CONTEXT_FILES


def _patterns(context: Path) -> list[str]:
    try:
        text = (context / ".dockerignore").read_text(errors="replace")
    except OSError:
        return []
    lines = [line.strip() for line in text.splitlines()]
    patterns = [line for line in lines if line and not line.startswith("#")]
    if len(patterns) > PATTERNS or any(line.count("*") > 4 for line in patterns):
        raise LearnerError(
            "The .dockerignore is too complicated to be read in a reasonable time.",
            f"Keep to {PATTERNS} lines with at most four asterisks each.",
        )
    return patterns


class _Tail(threading.Thread):
    """Reads a pipe to its end and keeps the last of it, so that no output fills a disk or blocks a build."""

    def __init__(self, pipe: IO[bytes]):
        super().__init__(daemon=True)
        self._pipe = pipe
        self._chunks: deque[bytes] = deque(maxlen=LOG // 4096 + 1)
        self.start()

    def run(self) -> None:
        with self._pipe:
            while chunk := os.read(self._pipe.fileno(), 4096):
                self._chunks.append(chunk)

    def text(self) -> str:
        return b"".join(self._chunks).decode(errors="replace")


def _watch(
    cli: CommandLine,
    process: "subprocess.Popen[bytes]",
    job: str,
    base: str,
    deadline: float,
    seconds: float,
) -> None:
    """Wait for the end of a build. Raises LearnerError if it goes over its time or its disk space."""
    while True:
        left = deadline - time.monotonic()
        if left <= 0:
            raise LearnerError(
                f"The image was not built after {seconds:g} seconds.",
                "Look for a RUN that does not end: a service is started by CMD, not by RUN.",
            )
        try:
            process.wait(min(MEASURE, left))
            return
        except subprocess.TimeoutExpired:
            written = _written(cli, process, job) + _stored(cli, job, base)
        if written > IMAGE:
            raise LearnerError(
                f"The build wrote more than the {IMAGE >> 20} MiB that are allowed.",
                "Install only what the service needs, and keep data out of the image.",
            )


def _stored(cli: CommandLine, job: str, base: str) -> int:
    """Bytes over the base in the largest image of the job's so far."""
    listed = cli.ask("images", "--all", "--quiet", "--filter", f"label={JOB}={job}")
    if not (ids := listed.stdout.split()):
        return 0
    said = cli.ask("image", "inspect", "--format", "{{.Size}}", base, *ids).stdout
    sizes = [int(size) for size in said.split()]
    return max(sizes) - sizes[0] if sizes else 0


def _written(cli: CommandLine, process: "subprocess.Popen[bytes]", job: str) -> int:
    """Bytes the RUN that is being executed has written so far; 0 where that cannot be known."""
    if cli.program == "docker":
        listed = cli.tell("ps", "--quiet", "--filter", f"label={JOB}={job}").split()
        columns = "{{.SizeRw}} {{.Image}}"
        said = cli.ask(
            "container", "inspect", "--size", "--format", columns, *listed[:1]
        )
        size = said.stdout.partition(" ")[0]
        return int(size) if listed and size.isdecimal() else 0
    return sum(
        path.lstat().st_blocks * 512
        for folder in _writable(process)
        for path in _files(folder)
        if path.exists()
    )


def _writable(process: "subprocess.Popen[bytes]") -> set[Path]:
    """The folders that receive what a RUN of podman's writes, as the kernel knows them."""
    folders = set()
    for member in psutil.Process(process.pid).children(recursive=True):
        try:
            mounts = Path(f"/proc/{member.pid}/mountinfo").read_text().splitlines()
        except OSError:
            continue
        for mount in mounts:
            if mount.split()[4] == "/" and "upperdir=" in mount:
                found = mount.partition("upperdir=")[2].partition(",")[0]
                folders.add(Path(found))
    return folders


def _failure(cli: CommandLine, log: str) -> LearnerError | InfrastructureError:
    """Whose fault a failed build is, with the last useful lines of its log."""
    log = COLOUR.sub("", log)
    # What a RUN prints is the learner's word. The engine's own is the last line, unless that is on a RUN.
    last = _verdict(log).lower()
    if _raced(log):
        return InfrastructureError("Other jobs kept removing images during the build.")
    if "no space left on device" in last or _disk_is_full(cli):
        return InfrastructureError(
            f"The disk of {cli.program} is full; see `{cli.program} system df`."
        )
    if "cannot connect to" in last:
        return InfrastructureError(f"{cli.program} stopped answering during the build.")
    lines = [line.strip() for line in log.splitlines()]
    useful = [
        line
        for line in lines
        if line and not line.startswith(NOISE) and f"LABEL {JOB}" not in line
    ]
    shown = " | ".join(useful[-3:])[-600:].rstrip(".")
    return LearnerError(f"The image does not build: {shown}.", _advice(log))


def _verdict(log: str) -> str:
    """The last line if it is the engine's own word, and not its report on a RUN that failed."""
    last = (log.strip().splitlines() or [""])[-1]
    return "" if "non-zero code" in last or "while running runtime" in last else last


def _raced(log: str) -> bool:
    return raced(1, _verdict(log))


def _disk_is_full(cli: CommandLine) -> bool:
    column = "{{.DockerRootDir}}" if cli.program == "docker" else "{{.Store.GraphRoot}}"
    folder = Path(cli.ask("info", "--format", column).stdout.strip() or os.sep)
    return folder.exists() and shutil.disk_usage(folder).free < FREE


def _advice(log: str) -> str:
    if missing := re.search(r"No matching distribution found for (\S+)", log):
        versions = re.search(r"\(from versions: ([^)]*)\)", log)
        offered = versions[1] if versions else "none"
        return (
            f"The build has no network, and of {missing[1]} it offers: {offered}. Pin the version of the "
            f"course's requirements.lock; there are {', '.join(WHEELS[:-3])} and what these need."
        )
    if "Temporary failure resolving" in log or "Unable to locate package" in log:
        return (
            "The build has no network, so apt-get installs nothing: do it with Python and what pip offers, "
            "such as urllib.request for a health check."
        )
    if "returned a non-zero code: 137" in log or "exit status 137" in log:
        return f"Something killed the RUN; it has {MEMORY} of memory."
    return "Build it yourself with `docker build .` and look at the step that fails."
