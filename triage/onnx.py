"""The same model as one ONNX graph in 8-bit integers, computed by ONNX Runtime.

The graph goes from tokens to probabilities: encoder, pooling, head and temperature. Its file also holds the
card and the tokenizer, so that nothing else is read to serve it.
"""

import contextlib
import hashlib
import json
import logging
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import onnx
import torch
from onnxruntime import InferenceSession, SessionOptions, __version__
from onnxruntime.capi.onnxruntime_pybind11_state import (
    Fail,
    InvalidArgument,
    InvalidProtobuf,
)
from onnxruntime.quantization import QuantType, quantize_dynamic
from tokenizers import Tokenizer

from triage.encoder import MAX_TOKENS
from triage.errors import TriageError
from triage.files import sha256, write_atomically
from triage.model import Card, TriageModel
from triage.settings import Settings

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


class OnnxModel(TriageModel):
    """A `TriageModel` whose probabilities ONNX Runtime computes. Get one with `exported` or `read`."""

    def __init__(self, session: InferenceSession, tokenizer: Tokenizer, card: Card):
        self.session = session
        self.tokenizer = tokenizer
        self.card = card

    # region session
    @classmethod
    def read(cls, path: Path, threads: int = 1) -> "OnnxModel":
        """Read a file written by `export`. `threads` share one call.

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
        except MALFORMED as error:
            raise TriageError(
                f"{path} is not a model that `triage export` wrote. Delete it."
            ) from error
        tokenizer.no_padding()
        tokenizer.enable_truncation(MAX_TOKENS)
        return cls(session, tokenizer, card)

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


# region graph
class Packed(torch.nn.Module):
    """Tokens to probabilities, for rows that hold several messages each.

    A token attends only to tokens with the same owner, so a message has the same
    neighbours as in a row of its own. Its vector is the mean over the tokens it owns.
    """

    def __init__(self, model: TriageModel):
        super().__init__()
        self.transformer = model.encoder.transformer
        self.head = model.head
        self.temperature = model.card.temperature

    def forward(
        self,
        tokens: torch.Tensor,
        positions: torch.Tensor,
        owners: torch.Tensor,
        messages: torch.Tensor,
    ) -> torch.Tensor:
        together = owners[:, None, :, None] == owners[:, None, None, :]
        hidden = self.transformer(
            input_ids=tokens, position_ids=positions, attention_mask=together
        ).last_hidden_state  # [rows, width, 384]
        owned = (messages[:, None] == owners.reshape(1, -1)).to(hidden.dtype)
        mean = owned @ hidden.flatten(0, 1) / owned.sum(dim=1, keepdim=True)
        vectors = torch.nn.functional.normalize(mean, dim=1)
        return torch.softmax(self.head(vectors) / self.temperature, dim=1)


def graph_of(model: TriageModel) -> onnx.ModelProto:
    """The model as an ONNX graph in 32-bit floats, for any number of messages."""
    example = packed([[101, 2048, 102], [101, 7099, 2814, 102], [101, 102]], width=6)
    row, width = torch.export.Dim("rows"), torch.export.Dim("width")
    places = {0: row, 1: width}
    with quiet(), torch.inference_mode():
        program = torch.onnx.export(
            Packed(model).eval(),
            tuple(torch.from_numpy(example[name]) for name in INPUTS),
            dynamo=True,
            dynamic_shapes=(
                places,
                places,
                places,
                {0: torch.export.Dim("messages")},
            ),
            input_names=INPUTS,
            output_names=[OUTPUT],
            verbose=False,
        )
    assert program is not None  # only the old exporter returns None
    return program.model_proto


# endregion graph


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silences the exporter's warnings, which are about libraries it could use and its own insides."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


# region export
def export(model: TriageModel, path: Path, eight_bit: bool = True) -> None:
    """Write the model as one ONNX file, whole or not at all."""
    graph = graph_of(model)
    with tempfile.TemporaryDirectory(prefix="triage-") as folder:
        if eight_bit:
            file = Path(folder) / "model.onnx"
            # A scale for each column of weights: as fast as one for all, and nearer.
            with quiet():
                quantize_dynamic(
                    graph, file, per_channel=True, weight_type=QuantType.QInt8
                )
            graph = onnx.load(file)
    onnx.helper.set_model_props(
        graph,
        {
            "card": json.dumps(asdict(model.card), sort_keys=True),
            "tokenizer": model.encoder.tokenizer.backend_tokenizer.to_str(),
        },
    )
    write_atomically(path, graph.SerializeToString())


# endregion export


def export_path(digest: str) -> Path:
    """Where the export of the model with this checksum is kept. Another exporter writes another file."""
    maker = hashlib.sha256(Path(__file__).read_bytes() + __version__.encode())
    return Settings().home / "onnx" / f"{digest}-{maker.hexdigest()[:8]}.onnx"


def exported(model_file: Path) -> OnnxModel:
    """The export of this model; made now, in about ten seconds, if it is not kept yet."""
    if not model_file.is_file():
        TriageModel.load(model_file)  # says what is missing
    path = export_path(sha256(model_file))
    if not path.exists():
        export(TriageModel.load(model_file), path)
    return OnnxModel.read(path)
