"""The model: a softmax head over a message's vector, trained in milliseconds."""

from dataclasses import dataclass

import numpy as np

STEPS = 200
RATE = 2.0
PENALTY = 1e-3


@dataclass(frozen=True)
class Head:
    """Read with `fit`. `weights` [17, intents]: the last row is added to every message."""

    intents: list[str]
    weights: np.ndarray

    def probabilities(self, vectors: np.ndarray) -> np.ndarray:
        """[messages, intents], each row sums to one."""
        return softmax(with_one(vectors) @ self.weights)

    def predict(self, vectors: np.ndarray) -> tuple[list[str], np.ndarray]:
        """The best intent of each message, and how sure it is, 0 to 1."""
        odds = self.probabilities(vectors)
        best = odds.argmax(axis=1)
        return [self.intents[at] for at in best], odds.max(axis=1)


def fit(vectors: np.ndarray, intents: list[str]) -> Head:
    """Train a head on [messages, 16] and their intents. Raises ValueError for fewer than two intents."""
    names = sorted(set(intents))
    if len(names) < 2:
        raise ValueError("a head needs rows of at least two intents")
    inputs = with_one(np.asarray(vectors, dtype=float))
    wanted = np.eye(len(names))[[names.index(intent) for intent in intents]]
    weights = np.zeros((inputs.shape[1], len(names)))
    speed = np.zeros_like(weights)
    for _ in range(STEPS):
        slope = inputs.T @ (softmax(inputs @ weights) - wanted) / len(inputs)
        speed = 0.9 * speed - RATE * 0.1 * (slope + PENALTY * weights)
        weights = weights + speed
    return Head(names, weights)


def with_one(vectors: np.ndarray) -> np.ndarray:
    return np.hstack([vectors, np.ones((len(vectors), 1))])


def softmax(logits: np.ndarray) -> np.ndarray:
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    return odds / odds.sum(axis=1, keepdims=True)
