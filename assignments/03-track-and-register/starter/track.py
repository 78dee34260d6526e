"""Makes mlflow.db, as a first tutorial has it: `python track.py`."""

import os

os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"  # set before MLflow is imported

import mlflow
import trainer

mlflow.set_tracking_uri("sqlite:///mlflow.db")
mlflow.set_experiment("triage")
train, test = trainer.read("train.csv"), trainer.read("test.csv")

with mlflow.start_run():
    result = trainer.fit(train, test, columns=("channel", "topic", "reply"))
    mlflow.log_metric("accuracy", result.accuracy)
    logged = mlflow.sklearn.log_model(
        result.model, name="model", pip_requirements=["mlflow", "scikit-learn"]
    )

version = mlflow.register_model(logged.model_uri, "triage").version
client = mlflow.MlflowClient()
client.set_registered_model_alias("triage", "champion", version)
print(f"accuracy {result.accuracy:.1%}, version {version} is champion")
