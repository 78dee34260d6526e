"""The same model computed by ONNX Runtime, from a file that `triage.export` wrote. Needs no PyTorch."""

import json
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from onnxruntime import InferenceSession, SessionOptions
from onnxruntime.capi.onnxruntime_pybind11_state import (
    Fail,
    InvalidArgument,
    InvalidProtobuf,
)
from tokenizers import Tokenizer

from triage.errors import TriageError
from triage.prediction import Card, Classifier

INPUTS = ["tokens", "positions", "owners", "messages"]
OUTPUT = "probabilities"
PADDING = -1
"""The owner of a place that no message fills."""
BATCH = 16
"""Messages computed together, here as in the service: in eight bits the company has a say in the answer."""
WIDTH = 48
"""Tokens in a row: more of them make attention dearer, fewer leave more places empty."""
MALFORMED = (Fail, InvalidArgument, InvalidProtobuf, KeyError, TypeError, ValueError)
"""What reading a file that is not an export can raise."""


class OnnxModel(Classifier):
    """A model computed by ONNX Runtime, a batch on each core. Get one with `read`."""

    workers = os.cpu_count() or 1

    def __init__(
        self, session: InferenceSession, tokenizer: Tokenizer, card: Card, source: str
    ):
        self.session = session
        self.tokenizer = tokenizer
        self.card = card
        self.source = source
        """SHA-256 of the model's file that the export was made from."""

    # region session
    @classmethod
    def read(cls, path: Path, threads: int = 1) -> "OnnxModel":
        """Read a file that `triage.export` wrote. `threads` share one call.

        Calls may come from many threads at once. TriageError if it is no such file.
        """
        options = SessionOptions()
        # Callers bring threads: two calls on a core each beat one spread over two.
        options.intra_op_num_threads = threads
        try:
            session = InferenceSession(path, options, ["CPUExecutionProvider"])
            kept = session.get_modelmeta().custom_metadata_map
            card = Card(**json.loads(kept["card"]))
            tokenizer = Tokenizer.from_str(kept["tokenizer"])
            source = kept["source"]
        except MALFORMED as error:
            raise TriageError(
                f"{path} is not a model that `triage export` wrote. Delete it."
            ) from error
        return cls(session, tokenizer, card, source)

    def probabilities(self, texts: Sequence[str]) -> np.ndarray:
        """Float32 [n, intents]; each row sums to one. Sixteen texts share a call."""
        tokens = self.tokens(texts)
        batches = [
            self.compute(tokens[start : start + BATCH])
            for start in range(0, len(tokens), BATCH)
        ]
        return np.concatenate(
            batches or [np.empty((0, len(self.card.intents)), np.float32)]
        )

    def tokens(self, texts: Sequence[str]) -> list[list[int]]:
        """The numbers of each text's tokens, at most 256 a text."""
        return [text.ids for text in self.tokenizer.encode_batch_fast(list(texts))]

    def compute(self, messages: list[list[int]], width: int = WIDTH) -> np.ndarray:
        """Probabilities [n, intents] of n messages, in rows of about `width` tokens."""
        return self.session.run([OUTPUT], packed(messages, width))[0]

    # endregion session


# region packing
def packed(messages: list[list[int]], width: int) -> dict[str, np.ndarray]:
    """The graph's inputs for these messages: several in a row, hardly any padding.

    The longest first, each into the first row that has room; a row is longer than
    `width` only for a message that is.
    """
    rows: list[list[int]] = []
    used: list[int] = []
    for number in sorted(range(len(messages)), key=lambda n: -len(messages[n])):
        size = len(messages[number])
        row = next((r for r, u in enumerate(used) if u + size <= width), len(rows))
        if row == len(rows):
            rows.append([])
            used.append(0)
        rows[row].append(number)
        used[row] += size
    shape = len(rows), max(used)
    tokens, positions = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    owners = np.full(shape, PADDING)
    for row, numbers in enumerate(rows):
        start = 0
        for number in numbers:
            place = slice(start, start := start + len(messages[number]))
            tokens[row, place] = messages[number]
            positions[row, place] = range(len(messages[number]))
            owners[row, place] = number
    return dict(
        zip(INPUTS, (tokens, positions, owners, np.arange(len(messages))), strict=True)
    )


# endregion packing
