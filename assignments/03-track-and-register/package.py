"""The file MLmodel of the champion's package, as the learner hands it in."""

import json
from typing import Any

import yaml

from autograder.errors import LearnerError
from autograder.work import Work

SIZE = 20_000  # bytes; MLflow writes one or two thousand
WHERE = "Copy it from the package that the champion's run logged."


def recorded(work: Work) -> dict[str, Any]:
    """What the file says. Raises LearnerError if it is not there, or not MLflow's."""
    path = work.folder / "MLmodel"
    if not path.exists():
        raise LearnerError("There is no file MLmodel.", WHERE)
    if path.stat().st_size > SIZE:
        raise LearnerError(f"MLmodel is larger than {SIZE:,} bytes.", WHERE)
    try:
        # BaseLoader knows lists, mappings and strings, and nothing that grows while it is read.
        found = yaml.load(path.read_text("utf-8"), Loader=yaml.BaseLoader)
    except (ValueError, yaml.YAMLError, RecursionError) as error:
        raise LearnerError("MLmodel is not YAML as MLflow writes it.", WHERE) from error
    return found if isinstance(found, dict) else {}


def columns(found: dict[str, Any]) -> list[str] | None:
    """The names of the signature's inputs, sorted; None if there is no signature that names columns."""
    try:
        inputs = json.loads(found["signature"]["inputs"])
        names = [column["name"] for column in inputs]
    except (KeyError, TypeError, ValueError, RecursionError):
        return None
    return sorted(names) if all(isinstance(name, str) for name in names) else None
