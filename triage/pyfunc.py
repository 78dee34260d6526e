"""The model in MLflow's packaging: MLflow stores this file as source, so nothing is pickled."""

import mlflow
import pandas as pd
from mlflow.pyfunc import PythonModel, PythonModelContext

from triage.model import TriageModel


# region pyfunc
class Triage(PythonModel):
    """A table with a column `message` in, a table with `intent` and `confidence` out."""

    def load_context(self, context: PythonModelContext) -> None:
        self.model = TriageModel.load(context.artifacts["model"])

    def predict(self, context, model_input: pd.DataFrame, params=None) -> pd.DataFrame:
        predictions = self.model.predict(model_input["message"].tolist())
        return pd.DataFrame(
            {"intent": prediction.intent, "confidence": prediction.confidence}
            for prediction in predictions
        )


mlflow.models.set_model(Triage())
# endregion pyfunc
