"""A trained model: messages of a support desk in, intents out. Needs numpy and safetensors, nothing else.

    model = load("model.safetensors")
    model.predict(["where is my parcel?"])   # [Prediction(intent="order_status", confidence=0.71)]

It is real and small: words, pairs of words and pieces of words are hashed into buckets, and a softmax
regression weighs them. What it lacks is the size that makes serving a model hard. Two environment
variables stand for it, read at every call:

LOAD_SECONDS     `load` takes that long, as reading gigabytes into memory does.
PREDICT_SECONDS  every `predict` call, whatever the number of messages, blocks its thread that long, as an
                 encoder's forward pass does.
"""

import itertools
import json
import os
import re
import time
import zlib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open


@dataclass(frozen=True)
class Prediction:
    """The most probable intent and its probability, 0 to 1."""

    intent: str
    confidence: float


@dataclass(frozen=True)
class Model:
    """Read one with `load`. Nothing in it changes, so threads may share it."""

    weights: np.ndarray  # float32 [buckets, intents]
    bias: np.ndarray  # float32 [intents]
    rarity: np.ndarray  # float32 [buckets]: what is rare in the training data says more
    card: dict  # intents, where the data came from, how good the model is

    def predict(self, messages: list[str]) -> list[Prediction]:
        """One prediction a message, in order; the same whatever else is in the list."""
        time.sleep(float(os.environ.get("PREDICT_SECONDS", 0)))
        return [self._predict(message) for message in messages]

    def _predict(self, message: str) -> Prediction:
        buckets, values = features(message, self.rarity)
        logits = values @ self.weights[buckets] + self.bias
        odds = np.exp(logits - logits.max())
        best = int(odds.argmax())
        return Prediction(self.card["intents"][best], float(odds[best] / odds.sum()))


def features(message: str, rarity: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The buckets a message falls into and its value in each, a float32 vector of length one."""
    words = re.findall(r"[a-z0-9']+|[?!]", message.lower())
    grams = words + [" ".join(pair) for pair in itertools.pairwise(words)]
    for word in words:
        marked = f"<{word}>"
        for size in (3, 4):
            starts = range(len(marked) - size + 1)
            grams += [f"#{marked[at : at + size]}" for at in starts]
    # Not hash(): Python salts it, so every process would see other buckets.
    counts = Counter(zlib.crc32(gram.encode()) % len(rarity) for gram in grams)
    buckets = np.array(sorted(counts), dtype=np.int64)
    often = np.array([counts[bucket] for bucket in sorted(counts)], dtype=np.float32)
    values = (1 + np.log(often)) * rarity[buckets]
    return buckets, values / max(float(np.linalg.norm(values)), 1e-9)  # maybe no word


def load(path: str | Path) -> Model:
    """Read a model file. Raises OSError if it cannot be read, ValueError if it is not a model."""
    time.sleep(float(os.environ.get("LOAD_SECONDS", 0)))
    try:
        with safe_open(path, framework="numpy") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            card = json.loads((file.metadata() or {})["card"])
        weights, bias, rarity = (
            tensors[name].astype(np.float32) for name in ("weights", "bias", "rarity")
        )
    except (SafetensorError, KeyError, ValueError) as error:
        raise ValueError(f"{path} is not a model file: {error}") from error
    return Model(weights, bias, rarity, card)
