"""Settings from the environment, so that a laptop, a container and CI differ only there."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """`TRIAGE_` and a field's name in capitals, and `MLFLOW_TRACKING_URI`; each has a working default."""

    model_config = SettingsConfigDict(env_prefix="TRIAGE_", env_ignore_empty=True)

    home: Path = Path(".triage")
    """Where this machine's model, evaluation and MLflow store live."""

    data: str | None = None
    """A folder with train.csv and test.csv, or `banking77`; unset means the embedded tickets."""

    encoder: Path | None = None
    """A folder with the encoder; unset means the nearest copy (see `triage.encoder.find_weights`)."""

    image: str = "registry.larch.example/triage:python3.11"
    """What a cluster runs a retraining's steps in: it has this package, and TRIAGE_HOME on a volume."""

    trust: Path | None = None
    """A public key (PEM). If it is set, only models that its holder has signed are fetched and promoted."""

    tracking_uri: str = Field(
        default="http://127.0.0.1:5000", validation_alias="MLFLOW_TRACKING_URI"
    )

    @property
    def model(self) -> Path:
        return self.home / "model.safetensors"
