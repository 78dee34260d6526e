"""Manifests as a cluster would read them, and what its API server would refuse."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate as schema
import yaml

from triage.errors import TriageError

VERSION = "1.37"
"""Of Kubernetes: the schema that manifests are held against."""

Manifest = dict[str, Any]


def read(folder: Path) -> list[Manifest]:
    """The manifests that the folder's kustomization.yaml lists. Raises TriageError."""
    try:
        listed = yaml.safe_load((folder / "kustomization.yaml").read_text("utf-8"))
        return [
            manifest
            for name in listed["resources"]
            for manifest in yaml.safe_load_all((folder / name).read_text("utf-8"))
        ]
    except (OSError, yaml.YAMLError, KeyError, TypeError) as error:
        raise TriageError(f"Cannot read manifests from {folder}: {error}.") from error


# region schema
def misspelt(manifests: list[Manifest]) -> Iterator[str]:
    """A sentence for each manifest that is not of its kind; unknown fields are errors.

    A cluster drops an unknown field with a warning, unless it is asked to be strict.
    """
    for manifest in manifests:
        name = f"{manifest.get('kind', 'A manifest')} {name_of(manifest)}"
        try:
            schema.validate(manifest, VERSION, strict=True)
        except schema.ValidationError as error:
            place = ".".join(str(part) for part in error.path)
            yield f"{name}: {place or 'at the top'}: {error.message}"
        except schema.SchemaNotFoundError:
            version = manifest.get("apiVersion")
            yield f"{name}: Kubernetes {VERSION} has none in apiVersion {version}."


# endregion schema


def name_of(manifest: Manifest) -> str:
    return manifest.get("metadata", {}).get("name", "without a name")
