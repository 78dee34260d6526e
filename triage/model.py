"""The whole model: encoder, head, intents and temperature, and in its file what is needed to retrace it."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from triage.data import FOLDS, Dataset
from triage.encoder import WEIGHTS_SHA256, WIDTH, Encoder
from triage.errors import TriageError
from triage.files import sha256, write_atomically
from triage.head import (
    PENALTY,
    Head,
    fit_head,
    fit_temperature,
    held_out_logits,
    logits_of,
)
from triage.prediction import Card, Classifier

MALFORMED = (SafetensorError, KeyError, TypeError, ValueError, RuntimeError)
"""What reading a file that is not a model can raise."""


class TriageModel(Classifier):
    """A model computed by PyTorch. Train one with `fit`, read one with `load`."""

    def __init__(self, encoder: Encoder, head: Head, card: Card):
        self.encoder = encoder
        self.head = head
        self.card = card

    @classmethod
    def fit(cls, dataset: Dataset, encoder: Encoder | None = None) -> "TriageModel":
        """Train a head on the training split, calibrate it on held-out folds, leave the test split alone."""
        encoder = encoder or Encoder.load()
        intents = dataset.intents
        vectors = torch.from_numpy(encoder.encode(dataset.train["text"].tolist()))
        labels = torch.tensor(dataset.train["category"].map(intents.index).to_numpy())
        unseen = held_out_logits(vectors, labels, len(intents), FOLDS)
        card = Card(
            intents=intents,
            temperature=fit_temperature(unseen, labels),
            data=dataset.name,
            data_digest=dataset.digest,
            encoder_sha256=WEIGHTS_SHA256,
            penalty=PENALTY,
            held_out_accuracy=(unseen.argmax(dim=1) == labels).float().mean().item(),
        )
        return cls(encoder, fit_head(vectors, labels, len(intents)), card)

    def probabilities(self, texts: Sequence[str]) -> np.ndarray:
        """Float32 [n, intents]; each row sums to one."""
        logits = logits_of(self.head, torch.from_numpy(self.encoder.encode(texts)))
        return torch.softmax(logits / self.card.temperature, dim=1).numpy()

    # region save
    def save(self, path: Path) -> str:
        """Write head and card as one file, whole or not at all; return its SHA-256."""
        metadata = {"card": json.dumps(asdict(self.card), sort_keys=True)}
        write_atomically(path, save(self.head.state_dict(), metadata))
        return sha256(path)

    # endregion save

    @classmethod
    def load(cls, path: Path, encoder: Encoder | None = None) -> "TriageModel":
        """Read a model written by `save`; TriageError if missing, damaged or made for another encoder."""
        path = Path(path)
        if not path.is_file():
            raise TriageError(
                f"No model at {path}. Train one with `python -m triage train`."
            )
        try:
            with safe_open(path, framework="pt") as file:
                card = Card(**json.loads((file.metadata() or {})["card"]))
                head = Head(WIDTH, len(card.intents))
                names = list(file.keys())
                head.load_state_dict({name: file.get_tensor(name) for name in names})
        except MALFORMED as error:
            raise TriageError(
                f"{path} is not a model this program wrote. Train it again."
            ) from error
        if card.encoder_sha256 != WEIGHTS_SHA256:
            raise TriageError(
                f"{path} was trained on another encoder than the pinned one. Train it again."
            )
        return cls(encoder or Encoder.load(), head.eval(), card)
