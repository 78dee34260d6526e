"""The judge's base image: what a learner's `FROM python:3.11-slim` stands on while it is graded.

It is Python 3.11 on Debian as in the image of that name, with a folder of wheels and a pip that looks nowhere
else, so that `pip install` works in a build without a network and gives the same versions each time. It comes
from the registry where one answers, else from Debian's packages. Its name is made of what is in it: a change
here or in requirements.lock makes another image.
"""

import contextlib
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import IO, TYPE_CHECKING

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from autograder.commandline import CommandLine
from autograder.errors import InfrastructureError
from pivot.host import program

if TYPE_CHECKING:
    from autograder.engine import Engine

LOCK = Path(__file__).parents[1] / "requirements.lock"
REGISTRY = "docker.io/library/python:3.11-slim"
WHEELS = (
    *("fastapi", "uvicorn", "gunicorn", "httpx", "numpy", "pydantic"),
    *("prometheus-client", "safetensors", "pip", "setuptools", "wheel"),
)
PIP_CONF = """\
[global]
no-index = true
find-links = /wheels
disable-pip-version-check = true
root-user-action = ignore
"""
DEBIAN = "bookworm"  # the release whose Python is 3.11
MIRROR = "http://deb.debian.org/debian"
PACKAGES = ("python3", "python3-venv", "ca-certificates", "netbase", "tzdata")
PATH = "/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"
UNWANTED = (
    *("usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/info"),
    *("var/lib/apt/lists", "var/cache/apt", "var/cache/debconf", "var/log"),
)
LABEL = "the-pivot.base"
MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}  # docker's word: Python's word

Say = Callable[[str], None]


class NoSource(InfrastructureError):
    """Neither a registry nor debootstrap is there to make the base image from."""


@cache
def tag(architecture: str) -> str:
    """The image's name on engines of an architecture, such as amd64."""
    recipe = [
        architecture,
        pins(architecture),
        [PIP_CONF, DEBIAN, PACKAGES, PATH, UNWANTED],
        REGISTRY,
    ]
    digest = hashlib.sha256(json.dumps(recipe).encode()).hexdigest()
    return f"localhost/the-pivot-base:{digest[:12]}"


def pins(architecture: str, wanted: Iterable[str] = WHEELS) -> list[str]:
    """The wanted packages and all they need on Linux with Python 3.11, as `name==version` of the lock."""
    target = {
        "python_version": "3.11",
        "python_full_version": "3.11.2",
        "sys_platform": "linux",
        "platform_system": "Linux",
        "platform_machine": MACHINES.get(architecture, architecture),
        "os_name": "posix",
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
        "extra": "",
    }
    locked: dict[str, str] = {}
    for line in LOCK.read_text().splitlines():
        if line and line[0] not in " #":
            requirement = Requirement(line)
            if not requirement.marker or requirement.marker.evaluate(target):
                locked[canonicalize_name(requirement.name)] = str(requirement.specifier)
    found: set[str] = set()
    waiting = list(wanted)
    while waiting:
        name = canonicalize_name(waiting.pop())
        if name in found:
            continue
        found.add(name)
        for text in metadata.requires(name) or ():
            needed = Requirement(text)
            if not needed.marker or needed.marker.evaluate(target):
                waiting.append(needed.name)
    return [f"{name}{locked[name]}" for name in sorted(found)]


def ensure(engine: "Engine", say: Say = lambda text: None) -> str:
    """Make the engine's base image if it has none, and return its name. `say` is told what takes time.

    Raises NoSource where there is nothing to make it from, InfrastructureError if making it fails.
    """
    name = tag(engine.architecture)
    cli = engine.cli
    if _has(cli, name) or _borrow(cli, name):
        return name
    say(f"Making the judge's base image for {cli.program}; it takes about a minute")
    kept = _has(cli, REGISTRY)  # an image of the user's own
    if kept or _pull(cli):
        _from_registry(cli, name, engine.architecture)
        if not kept:
            cli.ask("rmi", REGISTRY)
    elif reason := _no_debootstrap(engine.architecture):
        raise NoSource(
            f"{cli.program} cannot fetch {REGISTRY}, and the base image cannot be made from Debian's "
            f"packages: {reason}. Connect to a registry, or run `make system` as root on Debian or Ubuntu."
        )
    else:
        _from_debian(cli, name, engine.architecture)
    return name


def _has(cli: CommandLine, name: str) -> bool:
    return cli.ask("image", "inspect", "--format", "{{.Id}}", name).status == 0


def _borrow(cli: CommandLine, name: str) -> bool:
    """Copy the image from the other engine, if that one has it."""
    other = {"docker": "podman", "podman": "docker"}[cli.program]
    path = program(other)
    if not path or not _has(lender := CommandLine.of(other, path), name):
        return False
    with _piped(lender, "save", name) as archive:
        cli.tell("load", stdin=archive)
    return _has(cli, name)


def _pull(cli: CommandLine) -> bool:
    """Whether the engine can fetch the registry's image."""
    # Fetching, and only that, is done with the user's own settings: proxies, mirrors, credentials.
    users = CommandLine(cli.program, cli.path, dict(os.environ))
    patience = 20 if program("debootstrap") else 600
    with contextlib.suppress(InfrastructureError):
        return users.ask("pull", "--quiet", REGISTRY, seconds=patience).status == 0
    return False


def _from_registry(cli: CommandLine, name: str, architecture: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        _furnish(Path(folder), architecture)
        (Path(folder) / "Dockerfile").write_text(
            f"FROM {REGISTRY}\nLABEL {LABEL}=registry\nCOPY etc /etc\nCOPY wheels /wheels\n"
        )
        cli.tell("build", "--network", "none", "--tag", name, folder, seconds=600)


def _no_debootstrap(architecture: str) -> str:
    """Why this machine cannot make the image from Debian's packages; empty if it can."""
    if not program("debootstrap"):
        return "debootstrap is not installed"
    if os.geteuid() != 0:
        return "debootstrap works for root only"
    if platform.machine() != MACHINES.get(architecture):
        return f"this machine is {platform.machine()}, its engine {architecture}"
    return ""


def _from_debian(cli: CommandLine, name: str, architecture: str) -> None:
    # Not /tmp: debootstrap wants a place where programs may run.
    root = tempfile.mkdtemp(prefix="the-pivot-base-", dir="/var/tmp")
    try:
        _command(
            *(program("debootstrap"), "--variant=minbase"),
            *(f"--include={','.join(PACKAGES)}", DEBIAN, root, _mirror()),
        )
        # A virtual environment in /usr/local has everything where the registry's image has it: the programs,
        # site-packages, and what `pip install --prefix` makes.
        _command(
            *("chroot", root, "/usr/bin/python3", "-m", "venv"),
            *("--system-site-packages", "/usr/local"),
        )
        _furnish(Path(root), architecture)
        for unwanted in UNWANTED:
            shutil.rmtree(Path(root) / unwanted, ignore_errors=True)
            (Path(root) / unwanted).mkdir()
        changes = [
            f"ENV PATH={PATH}",
            "ENV LANG=C.UTF-8",
            f"LABEL {LABEL}=debian",
            'CMD ["python3"]',
        ]
        options = [option for change in changes for option in ("--change", change)]
        tar = CommandLine("tar", program("tar"), dict(os.environ))
        with _piped(tar, "-C", root, "--numeric-owner", "-c", ".") as archive:
            cli.tell("import", *options, "-", name, stdin=archive, seconds=600)
    finally:
        # debootstrap mounts /proc there, and leaves it mounted if it is killed.
        subprocess.run(["rm", "-rf", "--one-file-system", root], check=False)


def _furnish(folder: Path, architecture: str) -> None:
    """Put /wheels and /etc/pip.conf below a folder."""
    (folder / "etc").mkdir(exist_ok=True)
    (folder / "etc/pip.conf").write_text(PIP_CONF)
    download(pins(architecture), folder / "wheels", architecture)


def download(pinned: Iterable[str], folder: Path, architecture: str) -> None:
    """Fetch wheels for Linux with Python 3.11. Raises InfrastructureError if one cannot be had."""
    machine = MACHINES.get(architecture, architecture)
    platforms = [f"manylinux_2_{minor}_{machine}" for minor in range(36, 16, -1)]
    _command(
        *(sys.executable, "-m", "pip", "download", "--disable-pip-version-check"),
        *("--quiet", "--no-deps", "--only-binary", ":all:", "--python-version", "3.11"),
        *("--implementation", "cp", "--abi", "cp311", "--abi", "abi3", "--abi", "none"),
        *(
            option
            for name in [*platforms, f"manylinux2014_{machine}"]
            for option in ("--platform", name)
        ),
        *("--dest", str(folder), *pinned),
    )


def _mirror() -> str:
    """The Debian mirror of this machine's apt, or Debian's own."""
    columns = "$(REPO_URI)"
    said = subprocess.run(
        ["apt-get", "indextargets", "--format", columns, "Created-By: Packages"],
        capture_output=True,
        text=True,
    ).stdout.split()
    return next((uri for uri in said if uri.rstrip("/").endswith("/debian")), MIRROR)


def _command(*command: str) -> None:
    """Raises InfrastructureError with the last the command said."""
    done = subprocess.run(
        command,
        env=os.environ | _apt_proxy(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    if done.returncode:
        said = done.stdout.strip().splitlines()[-1:] or [str(done.returncode)]
        raise InfrastructureError(
            f"The base image could not be made: `{Path(command[0]).name}` failed: {said[0]}"
        )


def _apt_proxy() -> dict[str, str]:
    """The proxy apt was told to use, for debootstrap, which does not ask apt."""
    if "http_proxy" in os.environ or not program("apt-config"):
        return {}
    said = subprocess.run(
        ["apt-config", "shell", "proxy", "Acquire::http::Proxy"],
        capture_output=True,
        text=True,
    ).stdout
    address = said.strip().removeprefix("proxy=").strip("'")
    return {"http_proxy": address} if address and address != "DIRECT" else {}


@contextlib.contextmanager
def _piped(cli: CommandLine, *arguments: str) -> Iterator[IO[bytes]]:
    """A command's output as a pipe. Raises InfrastructureError if the command fails."""
    process = cli.start(
        *arguments,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdout
    try:
        yield process.stdout
        process.stdout.close()
        if process.wait(60):
            raise InfrastructureError(f"`{cli.program} {arguments[0]}` failed.")
    finally:
        process.kill()
        process.wait()
