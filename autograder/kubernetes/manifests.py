"""A learner's YAML as manifests, each of its kind by Kubernetes' own schema."""

from pathlib import Path
from typing import Any

import kubernetes_validate as schema
import yaml

from autograder.errors import LearnerError

VERSION = "1.37"
LIMIT = 64 << 10  # bytes
MOST = 20  # manifests

Manifest = dict[str, Any]


def read(path: Path) -> list[Manifest]:
    """Every manifest in a file. Raises LearnerError for what a cluster would not take."""
    try:
        source = path.read_bytes()
        if len(source) > LIMIT:
            raise LearnerError(
                f"{path.name} has {len(source) >> 10} KiB; {LIMIT >> 10} are allowed.",
                "Leave out what the contract does not ask for.",
            )
        text = source.decode()
        # A few aliases of aliases make gigabytes.
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text)):
            raise LearnerError(
                f"{path.name} uses YAML aliases (*name).", "Write the values out."
            )
        documents = [each for each in yaml.safe_load_all(text) if each is not None]
    except (OSError, UnicodeDecodeError) as error:
        raise LearnerError(
            f"{path.name} cannot be read as text in UTF-8.", "Save it as plain text."
        ) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}" if mark else ""
        raise LearnerError(
            f"{path.name} is not YAML{where}.",
            "Look at indentation and quotes there.",
        ) from error
    if not 0 < len(documents) <= MOST:
        raise LearnerError(
            f"{path.name} has {len(documents)} manifests.",
            f"Write those of the contract, separated by ---; at most {MOST}.",
        )
    for document in documents:
        check(document)
    return [without_nulls(document) for document in documents]


def without_nulls(value: Any) -> Any:
    """A field without a value is not there: `resources:` with nothing after it, for Kubernetes as well."""
    if isinstance(value, dict):
        return {k: without_nulls(v) for k, v in value.items() if v is not None}
    if isinstance(value, list):
        return [without_nulls(each) for each in value if each is not None]
    return value


def check(manifest: Any) -> None:
    """Raises LearnerError where a manifest is not of its kind; unknown fields are errors."""
    if not isinstance(manifest, dict) or not isinstance(manifest.get("kind"), str):
        raise LearnerError(
            "A part of the file is no manifest: it has no kind.",
            "Begin each with apiVersion, kind and metadata, and part them by ---.",
        )
    title = f"{manifest['kind']} {name_of(manifest) or 'without a name'}"
    try:
        schema.validate(manifest, VERSION, strict=True)
    except schema.ValidationError as error:
        place = ".".join(str(part) for part in error.path) or "at the top"
        raise LearnerError(
            f"{title}: {place}: {str(error.message)[:200]}",
            f"Look the field up in the reference of Kubernetes {VERSION}; `kubectl explain` has it too.",
        ) from error
    except schema.SchemaNotFoundError as error:
        raise LearnerError(
            f"{title}: Kubernetes {VERSION} has no such kind in {manifest.get('apiVersion')}.",
            "Correct apiVersion or kind.",
        ) from error
    except Exception as error:  # values that a schema's pattern cannot take
        raise LearnerError(
            f"{title} cannot be checked: {type(error).__name__}.",
            "Look for values of an unusual type.",
        ) from error


def name_of(manifest: Manifest) -> str:
    metadata = manifest.get("metadata")
    name = metadata.get("name") if isinstance(metadata, dict) else ""
    return name if isinstance(name, str) else ""


def only(manifests: list[Manifest], kind: str) -> Manifest:
    """The one manifest of a kind, with a name. Raises LearnerError if there is none, or are several."""
    found = [each for each in manifests if each["kind"] == kind]
    if len(found) != 1:
        raise LearnerError(
            f"There {'is no' if not found else f'are {len(found)} manifests of kind'} {kind}.",
            f"The contract asks for one {kind}.",
        )
    if not name_of(found[0]):
        raise LearnerError(f"The {kind} has no name.", "Give it a metadata.name.")
    return found[0]


def spec_of(manifest: Manifest) -> dict[str, Any]:
    """What is wanted. Raises LearnerError where nothing is: the schema would let that pass."""
    if not manifest.get("spec"):
        raise LearnerError(
            f"{manifest.get('kind', 'The template')} {name_of(manifest)} has no spec.".replace(
                "  ", " "
            ),
            "Say under spec what it is to be.",
        )
    spec: dict[str, Any] = manifest["spec"]
    return spec
