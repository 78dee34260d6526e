"""The engine in which the project's images are built and confined."""

from collections.abc import Iterator

import pytest
from unavailable import unavailable

from autograder.engine import Engine
from autograder.errors import InfrastructureError


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    try:
        with Engine.connect("podman") as connected:
            yield connected
    except InfrastructureError as error:
        unavailable(str(error))
