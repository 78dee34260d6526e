"""What an engine says about an image, the same for docker and podman."""

import json
from dataclasses import dataclass
from typing import Any

from autograder.commandline import CommandLine


@dataclass(frozen=True)
class Layer:
    """One step of an image's history that changed files. `size` in bytes."""

    size: int
    created_by: str


@dataclass(frozen=True)
class Image:
    """`size` in bytes, base included. `digests`: of the layers from the base up, uncompressed.

    `steps`: the instructions that made it, as the engine recorded them; `layers`: those that wrote bytes.

    `config` has what the Dockerfile set, by docker's names: User, Healthcheck, Env, Cmd, Entrypoint, Labels,
    StopSignal, ExposedPorts, Volumes, WorkingDir, Shell; and Architecture. What was not set is absent.
    """

    id: str
    size: int
    layers: tuple[Layer, ...]
    steps: tuple[str, ...]
    digests: tuple[str, ...]
    config: dict[str, Any]

    @classmethod
    def inspect(cls, cli: CommandLine, name: str) -> "Image":
        """Raises InfrastructureError if there is no such image."""
        said = json.loads(cli.tell("image", "inspect", name))[0]
        config = {key: value for key, value in (said["Config"] or {}).items() if value}
        if said.get("Healthcheck"):  # podman keeps it outside
            config["Healthcheck"] = said["Healthcheck"]
        config["Architecture"] = said["Architecture"]
        history = _history(cli, name)
        return cls(
            id=said["Id"].removeprefix("sha256:"),
            size=said["Size"],
            layers=tuple(layer for layer in history if layer.size),
            steps=tuple(layer.created_by for layer in history),
            digests=tuple(said["RootFS"]["Layers"] or ()),
            config=config,
        )


def _history(cli: CommandLine, name: str) -> tuple[Layer, ...]:
    """The steps with their sizes to the byte; podman gives those in JSON only, docker in columns only."""
    if cli.program == "podman":
        steps = [
            (step["size"], step.get("CreatedBy", ""))
            for step in json.loads(cli.tell("history", "--format", "json", name))
        ]
    else:
        columns = "{{.Size}}\t{{.CreatedBy}}"
        said = cli.tell(
            *("history", "--no-trunc", "--human=false", "--format", columns, name)
        )
        rows = [line.partition("\t") for line in said.splitlines()]
        steps = [(int(size), created_by) for size, tab, created_by in rows if tab]
    return tuple(Layer(*step) for step in reversed(steps))
