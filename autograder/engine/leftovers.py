"""Finding and removing what the judge made, by its labels."""

import contextlib
import json
import subprocess
from collections.abc import Callable

import psutil

from autograder.commandline import CommandLine
from autograder.owner import JOB, OWNER, alive


def removal(program: str) -> list[str]:
    """The command that removes a container at once, running or not; podman would wait ten seconds for it."""
    patience = ["--time", "0"] if program == "podman" else []
    return ["rm", "--force", "--volumes", *patience]


def remove_job(cli: CommandLine, job: str) -> None:
    """Remove the containers, then the images, of one job."""
    _remove(cli, JOB, lambda value: value == job)


def remove_orphans(cli: CommandLine) -> None:
    """End the builds and remove the containers and images of owners that are gone."""
    for process in _builds(cli.program):
        owners = [word for word in process.cmdline() if word.startswith(f"{OWNER}=")]
        if not all(alive(owner.partition("=")[2]) for owner in owners):
            end_build(process)
    _remove(cli, OWNER, lambda value: not alive(value))
    if cli.program == "podman" and not _builds("podman"):
        _remove_working_containers(cli)


def end_build(process: "psutil.Process | subprocess.Popen[bytes]") -> None:
    """End a build that may still run, and what it runs.

    When docker's command line is gone, its engine stops the build. podman builds by itself and leaves its
    working containers behind when it is killed; if what it runs is killed instead, it removes them.
    """
    with contextlib.suppress(psutil.NoSuchProcess):
        build = psutil.Process(process.pid)
        ran = [member for child in build.children() for member in child.children()]
        _kill(ran)
        if ran:
            with contextlib.suppress(psutil.TimeoutExpired, subprocess.TimeoutExpired):
                process.wait(10)
        _kill([*build.children(recursive=True), build])
    process.wait(10)


def _kill(processes: list[psutil.Process]) -> None:
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


def _builds(program: str) -> list[psutil.Process]:
    """The judge's builds that are running, whoever owns them."""
    return [
        process
        for process in psutil.process_iter(["name", "cmdline"])
        if process.info["name"] == program
        and any(word.startswith(f"{OWNER}=") for word in process.info["cmdline"] or ())
        and "build" in process.info["cmdline"]
    ]


def _remove_working_containers(cli: CommandLine) -> None:
    """Remove what builds of podman's that were killed have left: their containers carry no labels."""
    listed = json.loads(cli.tell("ps", "--all", "--external", "--format", "json"))
    ids = [
        container["Id"]
        for container in listed
        if container["State"] == "storage"
        and container["Image"].startswith("localhost/the-pivot-base:")
    ]
    if ids:
        cli.ask("rm", "--force", *ids)


def _remove(cli: CommandLine, label: str, condemned: Callable[[str], bool]) -> None:
    for kind, listing, remove in (
        ("container", ("ps", "--all"), removal(cli.program)),
        ("image", ("images", "--all"), ["rmi", "--force"]),
    ):
        while ids := _find(cli, kind, listing, label, condemned):
            # Images stand on each other, and either engine may have removed one with another already.
            cli.ask(*remove, *ids)
            left = _find(cli, kind, listing, label, condemned)
            if len(left) >= len(ids):
                break


def _find(
    cli: CommandLine,
    kind: str,
    listing: tuple[str, ...],
    label: str,
    condemned: Callable[[str], bool],
) -> list[str]:
    """The ids of the containers or images whose label has a condemned value, newest first."""
    listed = cli.tell(*listing, "--quiet", "--no-trunc", "--filter", f"label={label}")
    ids = list(dict.fromkeys(listed.split()))
    if not ids:
        return []
    columns = f'{{{{.Id}}}} {{{{index .Config.Labels "{label}"}}}}'
    said = cli.ask(kind, "inspect", "--format", columns, *ids).stdout
    pairs = [line.split(" ", 1) for line in said.splitlines() if " " in line]
    return [id for id, value in pairs if condemned(value)]
