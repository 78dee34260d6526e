"""The service most of us would write first: FastAPI, transformers, one message at a time."""

from fastapi import FastAPI
from pydantic import BaseModel

from triage.model import TriageModel
from triage.settings import Settings

app = FastAPI()
model = TriageModel.load(Settings().model)


class Request(BaseModel):
    message: str


@app.post("/predict")
def predict(request: Request) -> dict[str, float | str]:
    prediction = model.predict([request.message])[0]
    return {"intent": prediction.intent, "confidence": prediction.confidence}
