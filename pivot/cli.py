"""`pivot`, the learner's command."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from pivot.capabilities import (
    CAPABILITIES,
    ESSENTIAL,
    Capability,
    Part,
    needs,
    survey,
    unmet,
)
from pivot.host import Host

app = typer.Typer(no_args_is_help=True, add_completion=False)


@app.callback()
def pivot() -> None:
    """The Pivot, from software engineer to AI/MLOps engineer: the learner's command."""


@app.command()
def doctor(
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object.")
    ] = False,
) -> None:
    """Say what this machine can do with the course, and how to get the rest.

    Exits with 0 when the book can be built and its notebooks run, with 1 when not.
    """
    host = Host.detect()
    with Console(stderr=True).status("Looking at this machine"):
        parts = survey(host)
    lacking = {
        capability.name: unmet(capability, host, parts) for capability in CAPABILITIES
    }
    if as_json:
        typer.echo(json.dumps(_record(host, parts, lacking), indent=2))
    else:
        _print(host, parts, lacking)
    raise typer.Exit(int(any(lacking[name] for name in ESSENTIAL)))


@app.command()
def start(
    name: Annotated[str, typer.Argument(metavar="ASSIGNMENT", help="Such as serve.")],
    folder: Annotated[
        Path | None, typer.Option(help="Where to write it, if not ./ASSIGNMENT.")
    ] = None,
) -> None:
    """Write an assignment, ready to be worked on, into a new folder."""
    from autograder import assign, assignments
    from autograder.errors import UsageError

    destination = folder or Path(name)
    try:
        assignment = assignments.load(assignments.find(name))
        assign.write_release(assignment, destination)
    except UsageError as error:
        typer.echo(f"pivot start: {error}", err=True)
        raise typer.Exit(2) from error
    typer.echo(f"{assignment.title}: open {destination / assignment.notebook}.")
    typer.echo(f"To check your work, in {destination}: pivot check {name}")


@app.command()
def check(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Such as serve, or serve/ready.")
    ],
    folder: Annotated[
        Path, typer.Option(help="Where your files are, if not here.")
    ] = Path(),
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object per check.")
    ] = False,
) -> None:
    """Run an assignment's public checks on your files: what was tested, what was seen, what to try next.

    Exits with 0 when all of them give full points, with 1 when not.
    """
    from autograder import assignments, learner
    from autograder.errors import InfrastructureError, LearnerError

    try:
        assignment = assignments.load(assignments.find(name.split("/")[0]))
        public = [one.id for one in assignment.checks.values() if not one.hidden]
        wanted = public if name == assignment.name else [name]
        if not set(wanted) <= set(public):
            why = (
                f"{name!r} is hidden: it runs when your work is graded. You can run"
                if name in assignment.checks
                else f"There is no check {name!r}. Known are"
            )
            raise assignments.UnknownAssignment(f"{why}: {', '.join(public)}.")
        results = []
        for result in learner.results(assignment, folder, wanted):
            results.append(result)
            if as_json:
                typer.echo(result.model_dump_json(exclude={"evidence"}))
            else:
                typer.echo(f"{learner.show(result)!r}\n")
    except LearnerError as error:
        typer.echo(f"pivot check: {error}", err=True)
        raise typer.Exit(1) from error
    except (assignments.UnknownAssignment, InfrastructureError) as error:
        typer.echo(f"pivot check: {error}", err=True)
        raise typer.Exit(2) from error
    points = sum(result.points for result in results)
    most = sum(result.max_points for result in results)
    if not as_json and len(results) > 1:
        later = assignment.points - sum(assignment.checks[id].points for id in public)
        hidden = (
            f"; hidden checks worth {later:g} run when it is graded" if later else ""
        )
        typer.echo(f"{points:g} of {most:g} points{hidden}")
    raise typer.Exit(int(points < most))


def _present(capability: Capability, host: Host, parts: dict[str, Part]) -> list[Part]:
    return [
        parts[name]
        for choice in needs(capability, host)
        for name in choice
        if parts[name].ready
    ]


def _record(
    host: Host, parts: dict[str, Part], lacking: dict[str, list[Part]]
) -> dict[str, object]:
    return {
        "host": asdict(host),
        "capabilities": [
            {
                "name": capability.name,
                "purpose": capability.purpose,
                "ready": not lacking[capability.name],
                "present": [asdict(part) for part in _present(capability, host, parts)],
                "lacking": [asdict(part) for part in lacking[capability.name]],
            }
            for capability in CAPABILITIES
        ],
    }


def _print(host: Host, parts: dict[str, Part], lacking: dict[str, list[Part]]) -> None:
    console = Console(
        highlight=False, soft_wrap=True
    )  # commands are copied: they must not be wrapped
    console.print(Text(f"{host.name}\n", style="dim"))
    for capability in CAPABILITIES:
        ready = not lacking[capability.name]
        present = ", ".join(
            f"{part.name} {part.version}" for part in _present(capability, host, parts)
        )
        console.print(
            Text.assemble(
                (
                    "ready    " if ready else "missing  ",
                    "green" if ready else "bold red",
                ),
                (f"{capability.name:<12}", "bold"),
                capability.purpose,
            )
        )
        if present:
            console.print(Text(f"           {present}", style="dim"))
        for part in lacking[capability.name]:
            console.print(
                Text(f"           {part.name}: {part.problem or 'not found'}")
            )
            console.print(Text(f"             {part.fix}", style="cyan"))
    if host.apt and any(
        lacking[name] for name in ("containers", "browser", "kubernetes")
    ):
        console.print(
            Text(
                f"\nEverything that pip cannot install, at once: {host.as_root('make system')}"
            )
        )
