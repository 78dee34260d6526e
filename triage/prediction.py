"""What every model is to its callers, whichever library computes it. Imports no such library."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

ALTERNATIVES = 3


@dataclass(frozen=True)
class Prediction:
    """The best intent, the probability that it is right, and the runners-up with theirs."""

    intent: str
    confidence: float
    alternatives: list[tuple[str, float]]


@dataclass(frozen=True)
class Card:
    """What the model is and where it comes from; stored inside the model's file."""

    intents: list[str]
    temperature: float
    data: str
    data_digest: str
    encoder_sha256: str
    penalty: float
    held_out_accuracy: float
    """Share of training messages that a head trained on the other four fifths gets right, 0 to 1."""


class Classifier:
    """Messages in, predictions out. `TriageModel` and `OnnxModel` say how the probabilities come about."""

    card: Card
    workers = 1
    """Batches to compute at once. PyTorch spreads one over the cores by itself."""

    def probabilities(self, texts: Sequence[str]) -> np.ndarray:
        """Float32 [n, intents]; each row sums to one."""
        raise NotImplementedError

    def predict(self, texts: Sequence[str]) -> list[Prediction]:
        """One prediction a message, in order."""
        return [self._best(row) for row in self.probabilities(texts)]

    def _best(self, row: np.ndarray) -> Prediction:
        order = np.argsort(-row, kind="stable")[: ALTERNATIVES + 1]
        ranked = [(self.card.intents[index], float(row[index])) for index in order]
        return Prediction(*ranked[0], alternatives=ranked[1:])
