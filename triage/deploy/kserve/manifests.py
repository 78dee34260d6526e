"""An InferenceService as KServe's API would read it, and what of it is not KServe's.

A cluster without KServe knows no InferenceService, and `kubernetes-validate` has no schema for it. The file
beside this one is made from KServe 0.21.0's Python SDK (Apache License 2.0); where a field holds one of
Kubernetes' own types, it points into the schema that the other manifests are held against.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match
from referencing import Registry, Resource

from triage.deploy.kubernetes.manifests import VERSION, Manifest

FOLDER = Path(__file__).parent
KUBERNETES = Path(kubernetes_validate.__file__).parent / "kubernetes-json-schema"


# region schema
def misspelt(service: Manifest) -> Iterator[str]:
    """A sentence for everything that is not an InferenceService's; strict, as above."""
    schema = json.loads((FOLDER / "inferenceservice.json").read_text("utf-8"))
    kubernetes = json.loads(
        (KUBERNETES / f"v{VERSION}.0-local-strict/_definitions.json").read_text("utf-8")
    )
    registry: Registry[Any] = Resource.from_contents(kubernetes) @ Registry()
    for error in Draft202012Validator(schema, registry=registry).iter_errors(service):
        place = ".".join(str(part) for part in error.path)
        yield f"{place or 'at the top'}: {best_match([error]).message}"


# endregion schema
