"""What goes over the wire. Clients may rely on every name here."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

from triage.prediction import Classifier, Prediction

MESSAGE_LIMIT = 4_000
"""Characters. The encoder reads 256 tokens, about 1,200 characters of English; the rest is signatures."""


def has_text(message: str) -> str:
    if not any(
        character.isprintable() and not character.isspace() for character in message
    ):
        raise PydanticCustomError("empty", "The message is empty")
    return message


# region contract
class Request(BaseModel):
    """A customer's message."""

    model_config = ConfigDict(extra="forbid", strict=True)

    message: Annotated[str, Field(max_length=MESSAGE_LIMIT), AfterValidator(has_text)]


class Choice(BaseModel):
    intent: str
    confidence: Annotated[float, Field(ge=0, le=1)]


class Model(BaseModel):
    """Which model answered: enough to find its run, data and evaluation again."""

    sha256: str
    data: str
    data_digest: str


class Answer(Choice):
    alternatives: list[Choice]
    model: Model


# endregion contract


def describe(model: Classifier, sha256: str) -> Model:
    return Model(
        sha256=sha256, data=model.card.data, data_digest=model.card.data_digest
    )


def answer(prediction: Prediction, model: Model) -> Answer:
    return Answer(
        intent=prediction.intent,
        confidence=prediction.confidence,
        alternatives=[
            Choice(intent=intent, confidence=confidence)
            for intent, confidence in prediction.alternatives
        ],
        model=model,
    )
