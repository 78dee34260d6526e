"""From an answer back to what made it: the version, the run, the data, the code and the encoder.

Every answer of the service carries the SHA-256 of the model that gave it. `register` wrote the same digest
into the run, beside those of everything that went in.
"""

import re
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import mlflow
from mlflow.entities import Run
from mlflow.entities.model_registry import ModelVersion

from triage import registry, snapshots
from triage.errors import TriageError
from triage.revision import UNKNOWN


# region lineage
@dataclass(frozen=True)
class Lineage:
    """What one model was made of. Digests are 64 hex digits, times UTC."""

    version: int
    aliases: list[str]
    run: str
    """The MLflow run's id."""
    registered: str
    model_sha256: str
    accuracy: float
    """Share of the test split answered correctly when it was registered, 0 to 1."""
    data: str
    data_digest: str
    snapshot: Path | None
    """Where the data can be read again, or None if this store never kept it."""
    git_commit: str
    """40 hex digits, with `-dirty` if the code differed from the commit, or `unknown`."""
    code_digest: str
    encoder_sha256: str

    def as_dict(self) -> dict:
        """As plain JSON types."""
        return asdict(self) | {
            "snapshot": str(self.snapshot) if self.snapshot else None
        }


# endregion lineage


def trace(which: str | int, uri: str | None = None) -> Lineage:
    """The lineage of a model: its SHA-256 (8 digits or more), version number or alias.

    Raises TriageError if the registry knows no such model, or more than one.
    """
    client = registry.connect(uri)
    if re.fullmatch(r"[0-9a-f]{8,64}", str(which)):
        version = version_of(client, str(which))
    else:
        version = registry.resolve(client, which)
    if not version.run_id:
        raise TriageError(
            f"Version {version.version} was not registered by `python -m triage register`."
        )
    return lineage_of(version, client.get_run(version.run_id))


# region trace
def version_of(client: mlflow.MlflowClient, model_sha256: str) -> ModelVersion:
    """The newest version whose model file has this digest, or one that begins so."""
    experiment = client.get_experiment_by_name(registry.NAME)
    runs = client.search_runs(
        [experiment.experiment_id] if experiment else [],
        f"params.model_sha256 LIKE '{model_sha256}%'",
    )
    files = {run.data.params["model_sha256"] for run in runs}
    if len(files) > 1:
        raise TriageError(
            f"{len(files)} models begin with {model_sha256}. Write more of the SHA-256."
        )
    ids = {run.info.run_id for run in runs}
    versions = client.search_model_versions(f"name = '{registry.NAME}'")
    made = [version for version in versions if version.run_id in ids]
    if not made:
        raise TriageError(
            f"No version in this registry has the SHA-256 {model_sha256}. "
            "Ask the registry that the service loads from: set MLFLOW_TRACKING_URI."
        )
    newest = max(made, key=lambda version: int(version.version))
    return client.get_model_version(registry.NAME, newest.version)  # with its aliases


# endregion trace


def lineage_of(version: ModelVersion, run: Run) -> Lineage:
    """What `register` wrote down; TriageError if the run is not one of its own."""
    params, seconds = run.data.params, version.creation_timestamp / 1000
    try:
        return Lineage(
            version=int(version.version),
            aliases=sorted(version.aliases),
            run=run.info.run_id,
            registered=datetime.fromtimestamp(seconds, UTC).isoformat(
                timespec="seconds"
            ),
            model_sha256=params["model_sha256"],
            accuracy=run.data.metrics["accuracy"],
            data=params["data"],
            data_digest=params["data_digest"],
            snapshot=kept(params["data_digest"]),
            git_commit=params.get("git_commit", UNKNOWN),  # absent in the oldest runs
            code_digest=params.get("code_digest", UNKNOWN),
            encoder_sha256=params["encoder_sha256"],
        )
    except KeyError as error:
        raise TriageError(
            f"The run of version {version.version} lacks {error}: "
            "it was not made by `python -m triage register`."
        ) from error


def kept(data_digest: str) -> Path | None:
    try:
        return snapshots.find(data_digest)
    except TriageError:
        return None
