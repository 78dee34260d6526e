"""What a first tutorial gives. It answers; of the contract in the notebook it keeps little else."""

from fastapi import FastAPI
from model import load
from pydantic import BaseModel

app = FastAPI()
# The contract, "Without a model": what does this line do to a service whose model is large, or missing?
model = load("model.safetensors")


# The contract, "Messages": which of them does this accept that it should not?
class Request(BaseModel):
    message: str


# The contract, "At the same time": who waits while this computes?
@app.post("/predict")
async def predict(request: Request):
    return model.predict([request.message])[0]


@app.get("/healthz")
async def healthz():
    return {"status": "alive"}
