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
from typing import Any

import onnx
import torch
from onnxruntime import __version__
from onnxruntime.quantization import QuantType, quantize_dynamic
from tokenizers import Tokenizer

from triage.encoder import MAX_TOKENS, WIDTH
from triage.files import sha256, write_atomically
from triage.model import TriageModel
from triage.onnx import GAP, INPUTS, OUTPUT, OnnxModel, packed
from triage.settings import Settings

HEADS = 12
"""Attention heads of the encoder's layers."""


# region graph
class Packed(torch.nn.Module):
    """Tokens to probabilities without padding.

    Every layer but attention looks at one token at a time, so these see the tokens of
    all messages end to end. Attention sees a grid whose rows hold several messages
    each, and lets a token look only at those with the same owner.
    """

    def __init__(self, model: TriageModel):
        super().__init__()
        bert: Any = model.encoder.transformer
        self.embeddings = bert.embeddings
        self.layers = bert.encoder.layer
        self.joint = torch.nn.ModuleList(
            joint(layer.attention.self) for layer in self.layers
        )
        self.head = model.head
        self.temperature = model.card.temperature

    def forward(
        self,
        tokens: torch.Tensor,
        positions: torch.Tensor,
        owners: torch.Tensor,
        places: torch.Tensor,
        grid: torch.Tensor,
        messages: torch.Tensor,
    ) -> torch.Tensor:
        hidden = self.embeddings.LayerNorm(
            self.embeddings.word_embeddings(tokens)
            + self.embeddings.position_embeddings(positions)
            + self.embeddings.token_type_embeddings.weight[0]
        )  # [tokens, 384]
        filled = grid.clamp(min=0)
        owner = torch.where(grid == GAP, GAP, owners[filled])
        same = owner[:, None, :, None] == owner[:, None, None, :]
        mask = torch.where(same, 0.0, -1e9)
        for layer, joint in zip(self.layers, self.joint, strict=True):
            rows = joint(hidden).index_select(0, filled.view(-1))
            attended = attention(rows.view(*grid.shape, 3, HEADS, -1), mask)
            seen = attended.reshape(-1, WIDTH).index_select(0, places)
            hidden = layer.attention.output(seen, hidden)
            hidden = layer.output(layer.intermediate(hidden), hidden)
        owned = (messages[:, None] == owners).to(hidden.dtype)
        mean = owned @ hidden / owned.sum(dim=1, keepdim=True)
        vectors = torch.nn.functional.normalize(mean, dim=1)
        return torch.softmax(self.head(vectors) / self.temperature, dim=1)


def joint(attention: Any) -> torch.nn.Linear:
    """Queries, keys and values as one multiplication; the queries come out scaled."""
    scale = (WIDTH // HEADS) ** -0.5
    query, others = attention.query, (attention.key, attention.value)
    made = torch.nn.Linear(WIDTH, 3 * WIDTH).requires_grad_(False)
    made.weight.copy_(torch.cat([query.weight * scale, *(o.weight for o in others)]))
    made.bias.copy_(torch.cat([query.bias * scale, *(o.bias for o in others)]))
    return made


def attention(rows: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """[rows, places, heads, 32] from queries, keys, values [.., .., 3, heads, 32]."""
    queries, keys, values = rows.permute(2, 0, 3, 1, 4)
    weights = torch.softmax(queries @ keys.transpose(-1, -2) + mask, dim=-1)
    return (weights @ values).transpose(1, 2)


def graph_of(model: TriageModel) -> onnx.ModelProto:
    """The model as an ONNX graph in 32-bit floats, for any number of messages."""
    example = packed([[101, 2048, 102], [101, 7099, 2814, 102], [101, 102]], width=6)
    token = {0: torch.export.Dim("tokens")}
    with quiet(), torch.inference_mode():
        program = torch.onnx.export(
            Packed(model).eval(),
            tuple(torch.from_numpy(example[name]) for name in INPUTS),
            dynamo=True,
            dynamic_shapes={
                **dict.fromkeys(["tokens", "positions", "owners", "places"], token),
                "grid": {0: torch.export.Dim("rows"), 1: torch.export.Dim("width")},
                "messages": {0: torch.export.Dim("messages")},
            },
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
