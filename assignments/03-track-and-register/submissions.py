"""Makes the submissions that the folder `submissions` describes: `python submissions.py FOLDER [NAME...]`.

A store of MLflow is a megabyte that nobody can review. So a submission holds the files in which it differs
from the reference, and in `store.json` how its store differs (a JSON merge patch, RFC 7396). MLflow itself
writes the store; figures that are not stated are those that training gives.
"""

import json
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ["MLFLOW_LOGGING_LEVEL"] = "ERROR"

import mlflow
from mlflow.entities import Metric, Param, Run
from mlflow.models import Model, ModelSignature
from mlflow.types import ColSpec, Schema
from sqlalchemy import event
from sqlalchemy.engine import Engine

from autograder import assignments

HERE = Path(__file__).resolve().parent
SUBMISSIONS = HERE / "submissions"
REFERENCE = SUBMISSIONS / "reference"
PACKAGE = assignments.load(HERE).checks["track-and-register/store"].function.__module__
desk = sys.modules[f"{PACKAGE.rpartition('.')[0]}.desk"]
CODE = sys.modules[PACKAGE].CODE
NAME = "triage"


def main(folder: Path, names: list[str]) -> None:
    folder.mkdir()
    with hurried():
        empty = empty_store(folder)
        for name in names or sorted(path.name for path in SUBMISSIONS.iterdir()):
            make(SUBMISSIONS / name, folder / name, empty)
    empty.unlink()


@contextmanager
def hurried() -> Iterator[None]:
    """sqlite does not wait for the disk: that takes most of the time, and these files are soon gone."""

    def hurry(connection: Any, _: Any) -> None:
        connection.execute("PRAGMA synchronous = OFF")

    event.listen(Engine, "connect", hurry)
    try:
        yield
    finally:
        event.remove(Engine, "connect", hurry)


def empty_store(folder: Path) -> Path:
    """A store without runs: to make its tables takes MLflow seconds, so it does that once."""
    path = folder / "mlflow.db"
    mlflow.MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


def make(described: Path, folder: Path, empty: Path) -> None:
    """One submission as a learner hands it in."""
    shutil.copytree(REFERENCE, folder)
    shutil.copytree(described, folder, dirs_exist_ok=True)
    story = json.loads((REFERENCE / "store.json").read_bytes())
    if (described / "store.json").exists():
        patch = json.loads((described / "store.json").read_bytes())
        story = patched(story, patch)
    (folder / "store.json").unlink()
    shutil.copyfile(empty, folder / "mlflow.db")
    runs = write(story, mlflow.MlflowClient(f"sqlite:///{folder}/mlflow.db"))
    if "champion" in story["aliases"] and not (described / "MLmodel").exists():
        (folder / "MLmodel").write_text(package(story, runs))


def patched(target: Any, patch: Any) -> Any:
    """The target after a JSON merge patch."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = patched(result.get(key), value)
    return result


def write(story: dict, client: mlflow.MlflowClient) -> dict[str, Run]:
    """Record the runs, register the versions, set aliases and tags, as a script of the learner's would."""
    experiment = client.create_experiment(story["experiment"])
    runs = {
        name: record(client, experiment, story["data"], run)
        for name, run in story["runs"].items()
    }
    client.create_registered_model(NAME)
    for name in story["versions"]:
        if name is None:  # a file from somewhere
            client.create_model_version(NAME, "file:///tmp/model")
            continue
        run = runs[name].info.run_id
        client.create_model_version(NAME, f"{runs[name].info.artifact_uri}/model", run)
    for alias, version in story["aliases"].items():
        client.set_registered_model_alias(NAME, alias, str(version))
    if "champion" in story["aliases"]:
        for key, value in tags(story, runs).items():
            client.set_model_version_tag(
                NAME, str(story["aliases"]["champion"]), key, value
            )
    return runs


def record(client: mlflow.MlflowClient, experiment: str, data: dict, run: dict) -> Run:
    asked, digest = parameters(run), digest_of(data | run.get("data", {}))
    params = {
        "C": str(asked.C),
        "ngrams": str(asked.ngrams),
        "min_df": str(asked.min_df),
        "columns": ",".join(asked.columns),
        "data_digest": digest,
        "code_digest": CODE,
    } | run.get("params", {})
    figures = desk.trained(digest, asked)
    metrics = {name: getattr(figures, name) for name in desk.METRICS}
    metrics |= run.get("metrics", {})
    id = client.create_run(experiment).info.run_id
    client.log_batch(
        id,
        metrics=[Metric(key, value, 0, 0) for key, value in kept(metrics)],
        params=[Param(key, value) for key, value in kept(params)],
    )
    client.set_terminated(id, run.get("status", "FINISHED"))
    return client.get_run(id)


def kept(recorded: dict) -> list[tuple[str, Any]]:
    """What is recorded; a submission leaves something out by calling it false."""
    return [(key, value) for key, value in recorded.items() if value is not False]


def parameters(run: dict) -> Any:
    columns = run.get("columns", "").split(",")
    return desk.Parameters(
        C=run.get("C", 1.0),
        ngrams=run.get("ngrams", 1),
        min_df=run.get("min_df", 1),
        columns=tuple(filter(None, columns)),
    )


def digest_of(data: dict) -> str:
    made = desk.cleanings()[data["copies"]]
    made = made if data["reply"] else desk.without_leak(made)
    return desk.trainer().digest(made.train, made.test)


def package(story: dict, runs: dict[str, Run]) -> str:
    """The champion's MLmodel, without the model."""
    name = story["versions"][story["aliases"]["champion"] - 1]
    seen = ["text", *parameters(story["runs"][name]).columns]
    inputs = story.get("signature", seen)
    signature = ModelSignature(
        inputs=Schema([ColSpec("string", column) for column in inputs]),
        outputs=Schema([ColSpec("string")]),
    )
    packaged = runs[story.get("packaged", name)].info.run_id
    return Model(run_id=packaged, signature=signature).to_yaml()


def tags(story: dict, runs: dict[str, Run]) -> dict[str, str]:
    """The champion's tags, with the figures of both runs put into their braces."""
    number = story["aliases"]["champion"]
    former = story["tags"].get("promoted_from", "1")
    names = [story["versions"][int(version) - 1] for version in (former, number)]
    before, after = (
        desk.trained(
            digest_of(story["data"] | story["runs"][name].get("data", {})),
            parameters(story["runs"][name]),
        )
        for name in names
    )
    gap, error = desk.difference(before.right, after.right)
    figures = {
        "before": runs[names[0]].data.metrics["accuracy"],
        "after": runs[names[1]].data.metrics["accuracy"],
        "gap": gap,
        "error": error,
    }
    return {key: text.format(**figures) for key, text in story["tags"].items()}


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
