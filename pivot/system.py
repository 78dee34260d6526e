"""`make system`: what the course needs and pip cannot install.

As root on Debian or Ubuntu it installs the container engines, bubblewrap, Chromium, fonts, wrk and
Prometheus, and starts Docker's engine; anywhere else it says what is missing and how to get it. For every
engine that runs it makes the judge's base image. Running it again changes nothing.
"""

import os
import subprocess
import sys
import time
from pathlib import Path

from autograder import base
from autograder.engine import Engine
from autograder.errors import InfrastructureError
from pivot.capabilities import (
    CAPABILITIES,
    SHARED_BROWSERS,
    Answer,
    ask,
    find,
    survey,
    unmet,
)
from pivot.host import Host, program

LOGS = Path("/var/log")
START = 60.0  # seconds Docker's engine may take until it answers

# Some hosts refuse to raise limits, and crun refuses their mixture of control group versions.
PODMAN_SETTINGS = Path("/etc/containers/containers.conf.d/50-the-pivot.conf")
PODMAN_CAUTIOUS = """\
# Written by The Pivot's `make system`, because podman's defaults could not run a container on this machine.
[containers]
default_ulimits = ["nofile=20000:20000", "nproc=4096:4096"]

[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"

[network]
network_backend = "netavark"
"""


class Failure(Exception):
    """A step that did not work; the message says what and what to do next."""


def main() -> int:
    """Returns 0 when nothing is missing (any more), 1 when something is."""
    host = Host.detect()
    try:
        if host.root and host.apt:
            set_up(host)
        make_base_images(host)
        return report(host)
    except Failure as failure:
        print(f"make system: {failure}", file=sys.stderr)
        return 1


def report(host: Host) -> int:
    """Print what there is, or what is missing and the command that gets it."""
    parts = survey(host)
    wanted = [
        capability
        for capability in CAPABILITIES
        if capability.name in ("containers", "browser", "load", "alerts")
    ]
    missing = [part for capability in wanted for part in unmet(capability, host, parts)]
    for part in missing:
        print(f"{part.name}: {part.problem or 'not found'}. To get it:\n    {part.fix}")
    if not missing:
        names = ("docker", "podman", "bubblewrap", "chromium", "prometheus")
        print(
            "In place:",
            ", ".join(
                f"{name} {parts[name].version}" for name in names if parts[name].ready
            ),
        )
    return 1 if missing else 0


def set_up(host: Host) -> None:
    """Install and start what is missing. Raises Failure, with nothing of ours left running or configured."""
    if "prometheus" in install(packages_wanted(host)) and host.systemd:
        # Debian starts what it installs; the course needs the program, and nobody their port 9090 taken.
        run(["systemctl", "disable", "--now", "prometheus"])
    if not find("docker", host).ready:
        start_docker(host)
    make_podman_run()
    if host.family == "ubuntu" and not find("chromium", host).ready:
        print("Installing Chromium", flush=True)
        command = [
            sys.executable,
            "-m",
            "playwright",
            "install",
            "--with-deps",
            "chromium",
        ]
        run(command, PLAYWRIGHT_BROWSERS_PATH=SHARED_BROWSERS)


def packages_wanted(host: Host) -> list[str]:
    """The Debian packages of everything that is not there in some other form."""
    parts = ["podman", "bubblewrap", "fonts", "wrk", "prometheus"]
    if not find("docker", host).ready and not program("dockerd"):
        parts.append("docker")
    if host.family == "debian" and not find("chromium", host).ready:
        parts.append("chromium")
    return [package for part in parts for package in host.packages(part).split()]


def install(packages: list[str]) -> list[str]:
    """Install what is not there yet, and return it."""
    missing = [package for package in packages if not installed(package)]
    if missing:
        print(f"Installing {', '.join(missing)}", flush=True)
        wait_for_others = ["-o", "DPkg::Lock::Timeout=120"]
        run(["apt-get", *wait_for_others, "update"])
        run(
            [
                "apt-get",
                *wait_for_others,
                "install",
                "-y",
                "--no-install-recommends",
                *missing,
            ]
        )
    return missing


def installed(package: str) -> bool:
    return (
        ask("dpkg-query", "-W", "-f", "${db:Status-Status}", package).line
        == "installed"
    )


def run(command: list[str], **environment: str) -> None:
    """Run a command with its output in the log. Raises Failure with the last it said."""
    log = LOGS / "the-pivot-system.log"
    with log.open("a+b") as output:
        start = output.seek(0, os.SEEK_END)
        status = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=os.environ | {"DEBIAN_FRONTEND": "noninteractive"} | environment,
        ).returncode
        output.seek(start)
        said = output.read().decode(errors="replace").strip().splitlines()
    if status:
        raise Failure(
            f"`{' '.join(command)}` failed: {said[-1] if said else status} (more in {log})"
        )


def start_docker(host: Host) -> None:
    """Start Docker's engine and wait until it answers. An engine that never does is stopped again."""
    print("Starting Docker's engine", flush=True)
    log = LOGS / "dockerd.log"
    engine = None
    if host.systemd:
        run(["systemctl", "enable", "--now", "docker"])
    else:
        with log.open("ab") as output:
            engine = subprocess.Popen(
                # Without a limit of its own it asks for more open files than some hosts grant.
                [program("dockerd"), "--default-ulimit", "nofile=20000:20000"],
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
    deadline = time.monotonic() + START
    while time.monotonic() < deadline:
        if find("docker", host).ready:
            return
        if engine and engine.poll() is not None:
            break
        time.sleep(0.5)
    if engine:
        engine.terminate()
        engine.wait()
    where = "`journalctl -u docker`" if host.systemd else log
    raise Failure(
        f"Docker's engine does not start, see {where}: {find('docker', host).problem}"
    )


def make_podman_run() -> None:
    """Write cautious settings for podman, only if its own cannot run a container here and these can."""
    trial = run_in_podman()
    if trial.ok or PODMAN_SETTINGS.exists():
        return
    PODMAN_SETTINGS.parent.mkdir(parents=True, exist_ok=True)
    PODMAN_SETTINGS.write_text(PODMAN_CAUTIOUS)
    if run_in_podman().ok:
        print(
            f"Wrote {PODMAN_SETTINGS}: by its own settings podman could not run a container"
        )
    else:  # docker does the work, so this is no failure
        PODMAN_SETTINGS.unlink()
        print(f"podman cannot run a container on this machine: {trial.line}")


def make_base_images(host: Host) -> None:
    """Make the judge's base image in every engine, from the registry or else from Debian's packages."""
    for name in ("docker", "podman"):
        if not find(name, host).ready:
            continue
        try:
            engine = Engine.connect(name)
            try:
                base.ensure(engine, say)
            except base.NoSource:
                if not (host.root and host.apt) or program("debootstrap"):
                    raise
                install(host.packages("debootstrap").split())
                base.ensure(engine, say)
        except InfrastructureError as error:
            raise Failure(str(error)) from None


def say(text: str) -> None:
    print(text, flush=True)


def run_in_podman() -> Answer:
    """Run `true` in a container made of this machine's own files, under an overlay: no image is needed."""
    return ask("podman", "run", "--rm", "--network", "none", "--rootfs", "/:O", "true")


if __name__ == "__main__":
    sys.exit(main())
