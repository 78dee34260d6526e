"""Writes a trained model as one ONNX graph in 8-bit integers, which `triage.onnx` computes.

The graph goes from tokens to probabilities: encoder, pooling, head and temperature. Its file also holds the
card, the tokenizer and the checksum of the model it was made from, so that nothing else is read to serve it.
"""

import contextlib
import hashlib
import json
import logging
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import onnx
import torch
from onnxruntime import __version__
from onnxruntime.quantization import QuantType, quantize_dynamic
from tokenizers import Tokenizer

from triage.encoder import MAX_TOKENS
from triage.files import sha256, write_atomically
from triage.model import TriageModel
from triage.onnx import INPUTS, OUTPUT, OnnxModel, packed
from triage.settings import Settings


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
def export(model: TriageModel, source: str, path: Path, eight_bit: bool = True) -> None:
    """Write the model as one ONNX file, whole or not at all.

    `source` is the SHA-256 of the model's own file: the name it goes on answering by.
    """
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
            "tokenizer": tokenizer_of(model).to_str(),
            "source": source,
        },
    )
    write_atomically(path, graph.SerializeToString())


# endregion export


def tokenizer_of(model: TriageModel) -> Tokenizer:
    """The encoder's tokenizer, cutting at as many tokens as the encoder does and never padding."""
    tokenizer = Tokenizer.from_str(model.encoder.tokenizer.backend_tokenizer.to_str())
    tokenizer.no_padding()
    tokenizer.enable_truncation(MAX_TOKENS)
    return tokenizer


def export_path(digest: str) -> Path:
    """Where the export of the model with this checksum is kept. Another exporter writes another file."""
    maker = hashlib.sha256(Path(__file__).read_bytes() + __version__.encode())
    return Settings().home / "onnx" / f"{digest}-{maker.hexdigest()[:8]}.onnx"


def exported(model_file: Path) -> OnnxModel:
    """The export of this model; made now, in about ten seconds, if it is not kept yet."""
    if not model_file.is_file():
        TriageModel.load(model_file)  # says what is missing
    digest = sha256(model_file)
    path = export_path(digest)
    if not path.exists():
        export(TriageModel.load(model_file), digest, path)
    return OnnxModel.read(path)
