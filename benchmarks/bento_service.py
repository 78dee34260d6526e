"""The model in BentoML, with the batching it offers."""

import bentoml

from triage.model import TriageModel
from triage.settings import Settings


@bentoml.service(workers=1, traffic={"timeout": 60, "max_concurrency": 1_000})
class Triage:
    def __init__(self) -> None:
        self.model = TriageModel.load(Settings().model)

    @bentoml.api(batchable=True, max_batch_size=32, max_latency_ms=10_000)
    def predict(self, messages: list[str]) -> list[dict]:
        return [
            {"intent": prediction.intent, "confidence": prediction.confidence}
            for prediction in self.model.predict(messages)
        ]
