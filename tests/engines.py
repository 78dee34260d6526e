"""Both container engines, for the tests that must hold for either."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from unavailable import unavailable

from autograder.engine import Engine
from autograder.errors import InfrastructureError

PROGRAMS = [
    pytest.param(name, marks=pytest.mark.needs(name)) for name in ("docker", "podman")
]
Context = Callable[..., Path]


@pytest.fixture(scope="module", params=PROGRAMS)
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """A connection with the judge's base image there; what a module's tests make is gone after it."""
    try:
        with Engine.connect(request.param) as connected:
            assert connected.base
            yield connected
    except InfrastructureError as error:
        unavailable(str(error))
    assert leftovers(connected) == ""


@pytest.fixture
def context(tmp_path: Path) -> Context:
    """Gives a function that writes a folder to build: the lines after FROM, and files by name."""

    def write(*lines: str, start: str = "FROM python:3.11-slim", **files: str) -> Path:
        folder = tmp_path / "context"
        folder.mkdir(exist_ok=True)
        (folder / "Dockerfile").write_text("\n".join([start, *lines, ""]))
        for name, text in files.items():
            (folder / name.replace("_dot_", ".")).write_text(text)
        return folder

    return write


def leftovers(engine: Engine, job: str = "") -> str:
    """The ids of a job's containers and images, by default the engine's own."""
    label = f"label=the-pivot.job={job or engine.job}"
    return "".join(
        engine.cli.tell(*listing, "--all", "--quiet", "--filter", label)
        for listing in (["ps"], ["images"])
    )
