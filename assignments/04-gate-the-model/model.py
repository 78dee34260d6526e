"""A model of a support desk: messages in, intents out. Needs numpy and safetensors, nothing else.

    model = load("candidate/model.safetensors")
    model.predict(["where is my parcel?"])   # [Prediction(intent="order_status", confidence=0.71)]

Words, pairs of words and pieces of words are hashed into buckets, and a linear layer with a softmax weighs
them. Everything else comes with the file: the weights, the names of the intents, and the regular expression
that says what a word is. So everything else can be wrong in a file.
"""

import itertools
import json
import re
import zlib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save


@dataclass(frozen=True)
class Prediction:
    """The most probable intent and its probability, 0 to 1."""

    intent: str
    confidence: float


@dataclass(frozen=True)
class Model:
    """Read one with `load`. `card`: the intents, the word pattern, and what whoever trained it claims."""

    weights: np.ndarray  # float32 [buckets, intents]
    bias: np.ndarray  # float32 [intents]
    card: dict

    def predict(self, messages: list[str]) -> list[Prediction]:
        """One prediction a message, in order; the same whatever else is in the list."""
        return [self._predict(message) for message in messages]

    def _predict(self, message: str) -> Prediction:
        buckets, values = features(message, self.card["word"], len(self.weights))
        logits = values @ self.weights[buckets] + self.bias
        odds = np.exp(logits - logits.max())
        best = int(odds.argmax())
        return Prediction(self.card["intents"][best], float(odds[best] / odds.sum()))

    def to_bytes(self) -> bytes:
        """A safetensors file: two float16 tensors, and the card as JSON in the metadata."""
        # safetensors writes memory as it lies: a transposed array would come back wrong.
        halves = {
            name: np.ascontiguousarray(array, np.float16)
            for name, array in (("weights", self.weights), ("bias", self.bias))
        }
        return save(halves, {"card": json.dumps(self.card, sort_keys=True)})


def features(message: str, word: str, buckets: int) -> tuple[np.ndarray, np.ndarray]:
    """The buckets a message falls into and its value in each, a float32 vector of length one."""
    words = re.findall(word, message.lower())
    grams = words + [" ".join(pair) for pair in itertools.pairwise(words)]
    for one in words:
        marked = f"<{one}>"
        grams += [f"#{marked[at : at + 4]}" for at in range(len(marked) - 3)]
    # Not hash(): Python salts it, so every process would see other buckets.
    counts = Counter(zlib.crc32(gram.encode()) % buckets for gram in grams)
    found = np.array(sorted(counts), dtype=np.int64)
    often = np.array([counts[bucket] for bucket in sorted(counts)], dtype=np.float32)
    values = 1 + np.log(often)
    return found, values / max(float(np.linalg.norm(values)), 1e-9)  # maybe no word


def load(path: str | Path) -> Model:
    """Read a model file. Raises OSError if it cannot be read, ValueError if it is not a model."""
    try:
        with safe_open(path, framework="numpy") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            card = json.loads((file.metadata() or {})["card"])
        weights, bias = (
            tensors[name].astype(np.float32) for name in ("weights", "bias")
        )
    except (SafetensorError, KeyError, ValueError) as error:
        raise ValueError(f"{path} is not a model file: {error}") from error
    return Model(weights, bias, card)
