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

INPUTS = ["tokens", "positions", "owners", "places", "grid", "messages"]
OUTPUT = "probabilities"
GAP = -1
"""What stands in a place of the grid that no token fills."""
BATCH = 12
"""Messages computed together, here as in the service: in eight bits the company has a say in the answer."""
WIDTH = 48
"""Places in a row of the grid: more of them make attention dearer, fewer leave more gaps."""
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
        # Planning memory for a shape pays when it comes again, and here none does.
        options.enable_mem_pattern = False
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
        """Float32 [n, intents]; each row sums to one. Twelve texts share a call."""
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
        """Probabilities [n, intents]; attention in rows of `width` places."""
        return self.session.run([OUTPUT], packed(messages, width))[0]

    # endregion session


# region packing
def packed(messages: list[list[int]], width: int) -> dict[str, np.ndarray]:
    """The graph's inputs: the tokens end to end, and a grid [rows, places] of them.

    Several messages share a row: the longest first, each into the first row that has
    room; a row is longer than `width` only for a message that is.
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
    order = [number for row in rows for number in row]
    sizes = [len(messages[number]) for number in order]
    count = np.arange(sum(sizes))
    starts = np.repeat(np.cumsum(sizes) - sizes, sizes)  # of each token's message
    first = np.repeat(np.cumsum(used) - used, used)  # of each token's row
    places = np.repeat(np.arange(len(rows)) * max(used), used) + count - first
    grid = np.full(len(rows) * max(used), GAP)
    grid[places] = count
    return {
        "tokens": np.concatenate([messages[number] for number in order]),
        "positions": count - starts,
        "owners": np.repeat(order, sizes),
        "places": places,
        "grid": grid.reshape(len(rows), -1),
        "messages": np.arange(len(messages)),
    }


# endregion packing
