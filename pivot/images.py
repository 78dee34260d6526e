"""Builds the course's own Dockerfiles, without a network and without leaving anything behind.

They say `FROM python:3.11-slim`, as any would. In its place comes the judge's base with the wheels that are
asked for, so that a build needs no registry and gives the same packages each time.
"""

import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from autograder import base
from autograder.dockerfile import rewrite
from autograder.engine import Engine, Image

SECONDS = 1800.0  # what a build may take: PyTorch is large, and a laptop busy


@dataclass(frozen=True)
class Built:
    """An image, how many bytes it has over its base, and how many seconds its build took."""

    image: Image
    size: int
    seconds: float


class Workbench:
    """Builds with one engine; close the engine, and all of it is gone.

    Steps that two builds have in common are built once, as with any engine. Raises InfrastructureError where
    a wheel cannot be fetched.
    """

    def __init__(self, engine: Engine, packages: Iterable[str]):
        """`packages`: names that requirements.lock has; what they need comes with them."""
        self.engine = engine
        engine.sweep()  # what was left by one that was killed
        with tempfile.TemporaryDirectory() as folder:
            context = Path(folder)
            pinned = base.pins(engine.architecture, packages)
            base.download(pinned, context / "wheels", engine.architecture)
            (context / "Dockerfile").write_text(
                f"FROM {engine.base}\nCOPY wheels /wheels\n"
            )
            self.base = self._build(context, context / "Dockerfile", "wheels")

    def build(self, context: Path, name: str = "service") -> Built:
        """Build the folder's Dockerfile. Raises LearnerError for one that the judge would not take."""
        text = rewrite(
            (context / "Dockerfile").read_text(encoding="utf-8"),
            base=self.base,
            labels=self.engine.labels,
            architecture=self.engine.architecture,
        )
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "Dockerfile"
            file.write_text(text, encoding="utf-8")
            began = time.monotonic()
            tag = self._build(context, file, name)
            seconds = time.monotonic() - began
        image = self.engine.image(tag)
        return Built(image, image.size - self.engine.image(self.base).size, seconds)

    def _build(self, context: Path, file: Path, name: str) -> str:
        engine = self.engine
        tag = f"localhost/the-pivot-{engine.job}-{name}:latest"
        # HEALTHCHECK exists in docker's format only.
        own = ["--format=docker", "--layers"] if engine.program == "podman" else []
        labels = [f"--label={key}={value}" for key, value in engine.labels.items()]
        engine.cli.tell(
            *("build", "--network=none", "--force-rm", *own, *labels),
            *(f"--tag={tag}", f"--file={file}", str(context)),
            seconds=SECONDS,
        )
        return tag
