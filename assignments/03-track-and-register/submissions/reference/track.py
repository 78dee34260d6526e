"""Makes mlflow.db and MLmodel: cleans the data, trains, records, registers and promotes."""

import hashlib
import os
import shutil
from pathlib import Path

os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"

import evidence
import mlflow
import pandas as pd
import trainer
from mlflow.models import infer_signature

NAME = "triage"
PRESENT = {"C": 0.01, "ngrams": 1, "min_df": 2, "columns": ()}
USUAL = {"C": 1.0, "ngrams": 1, "min_df": 1, "columns": ()}
OTHERS = [
    {"C": 0.1, "min_df": 2},
    {},
    {"ngrams": 2},
    {"columns": ("topic",)},
    {"columns": ("channel", "topic")},
]
REQUIREMENTS = ["mlflow", "pandas", "scikit-learn"]


def main():
    mlflow.set_tracking_uri("sqlite:///mlflow.db")
    mlflow.set_experiment(NAME)
    data = cleaned()
    digest = trainer.digest(*data)
    trained = {}
    for parameters in (PRESENT, *OTHERS):
        run, result = record(USUAL | parameters, digest, data)
        trained[run] = result
    present = next(iter(trained))
    best = evidence.choose(finished(), digest)
    client = mlflow.MlflowClient()
    former = register(present, trained[present], data)
    client.set_registered_model_alias(NAME, "champion", former)
    version = register(best, trained[best], data)
    client.set_registered_model_alias(NAME, "candidate", version)
    promote(client, version, former, trained[present], trained[best])


def cleaned():
    """Both splits without the copies in train, and without the columns that give the answer away."""
    train, test = trainer.read("train.csv"), trainer.read("test.csv")
    texts = ([row["text"] for row in rows] for rows in (train, test))
    copies = set(evidence.copies(*texts))
    train = [row for place, row in enumerate(train) if place not in copies]
    leaks = set(evidence.telling(train, test))
    return tuple(
        [{key: row[key] for key in row if key not in leaks} for row in rows]
        for rows in (train, test)
    )


def record(parameters, digest, data):
    """Train and record one run; its id and the result."""
    with mlflow.start_run() as run:
        mlflow.log_params(
            parameters
            | {
                "columns": ",".join(parameters["columns"]),
                "data_digest": digest,
                "code_digest": hashlib.sha256(
                    Path("trainer.py").read_bytes()
                ).hexdigest(),
            }
        )
        result = trainer.fit(*data, **parameters)
        mlflow.log_metric("held_out_accuracy", result.held_out_accuracy)
        mlflow.log_metric("accuracy", result.accuracy)
    return run.info.run_id, result


def finished():
    """The runs as `evidence.choose` wants them."""
    return [
        {
            "id": run.info.run_id,
            "status": run.info.status,
            "params": run.data.params,
            "metrics": run.data.metrics,
        }
        for run in mlflow.search_runs(experiment_names=[NAME], output_format="list")
    ]


def register(run, result, data):
    """Package the model of a run and register it; the version. MLmodel is that of the last call."""
    columns = filter(None, mlflow.get_run(run).data.params["columns"].split(","))
    example = pd.DataFrame(data[1])[["text", *columns]].head(2)
    with mlflow.start_run(run_id=run):
        logged = mlflow.sklearn.log_model(
            result.model,
            name="model",
            pip_requirements=REQUIREMENTS,
            signature=infer_signature(example, result.model.predict(example)),
        )
    package = Path(mlflow.artifacts.download_artifacts(logged.model_uri))
    shutil.copy(package / "MLmodel", "MLmodel")
    return mlflow.register_model(logged.model_uri, NAME).version


def promote(client, version, former, before, after):
    """Make a version champion if it is proved to be better, and note why."""
    gap, error = evidence.difference(before.right, after.right)
    if gap <= 2 * error:
        raise SystemExit(
            f"A gap of {gap:.3f} with an error of {error:.3f} is no proof."
        )
    reason = (
        f"Accuracy on the test split {after.accuracy:.1%} instead of {before.accuracy:.1%}, "
        f"{gap / error:.1f} standard errors, message by message"
    )
    tags = {
        "promoted_from": former,
        "promoted_reason": reason,
        "gap": gap,
        "gap_error": error,
    }
    for key, value in tags.items():
        client.set_model_version_tag(NAME, version, key, str(value))
    client.set_registered_model_alias(NAME, "champion", version)


if __name__ == "__main__":
    main()
