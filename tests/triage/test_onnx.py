"""The exported model says what the trained one says, whoever shares the row with a message."""

import copy
import json
import logging
import os
import subprocess
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from triage import export as exporting
from triage import onnx as runtime
from triage.data import Dataset
from triage.encoder import MAX_TOKENS
from triage.errors import TriageError
from triage.export import export, export_path, exported
from triage.model import TriageModel
from triage.onnx import GAP, WIDTH, OnnxModel, packed

SOURCE = "5" * 64
TEXTS = [
    "?",
    "Where is my parcel?",
    "قهوة 🙂",
    "I cannot get into my account since I changed the phone, please help me soon.",
    "The tent arrived with a broken pole. " * 60,
]


@pytest.fixture(scope="module", autouse=True)
def one_graph(model: TriageModel) -> Iterator[None]:
    """Tracing takes seconds, so it is done once for all the exports here."""
    graph = exporting.graph_of(model)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exporting, "graph_of", lambda _: copy.deepcopy(graph))
        yield


@pytest.fixture(scope="module")
def floats(model: TriageModel, tmp_path_factory: pytest.TempPathFactory) -> OnnxModel:
    path = tmp_path_factory.mktemp("onnx") / "floats.onnx"
    export(model, SOURCE, path, eight_bit=False)
    return OnnxModel.read(path)


@pytest.fixture(scope="module")
def file(model: TriageModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("onnx") / "model.onnx"
    export(model, SOURCE, path)
    return path


@pytest.fixture(scope="module")
def eight_bit(file: Path) -> OnnxModel:
    return OnnxModel.read(file)


def test_the_graph_computes_what_the_model_computes(
    floats: OnnxModel, model: TriageModel
) -> None:
    np.testing.assert_allclose(
        floats.probabilities(TEXTS), model.probabilities(TEXTS), atol=1e-5
    )


def test_in_floats_company_does_not_matter(floats: OnnxModel) -> None:
    alone = np.concatenate([floats.probabilities([text]) for text in TEXTS])
    tokens = floats.tokens(TEXTS)
    for width in (0, 48, 1_000):
        np.testing.assert_allclose(floats.compute(tokens, width), alone, atol=1e-5)


def test_a_mask_that_lets_neighbours_in_would_be_seen(
    floats: OnnxModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The planted defect: two messages in a row that read each other."""

    def careless(messages: list[list[int]], width: int) -> dict[str, np.ndarray]:
        inputs = packed(messages, width)
        return inputs | {"owners": np.zeros_like(inputs["owners"])}

    texts = ["Where is my parcel?", "The tent is broken."]
    right = floats.probabilities(texts)
    monkeypatch.setattr(runtime, "packed", careless)
    assert np.abs(floats.probabilities(texts)[0] - right[0]).max() > 1e-3


def test_eight_bits_keep_the_answers(
    eight_bit: OnnxModel, model: TriageModel, small: Dataset
) -> None:
    texts = small.test["text"].tolist()
    mine, theirs = eight_bit.predict(texts), model.predict(texts)
    same = [a.intent == b.intent for a, b in zip(mine, theirs, strict=True)]
    assert np.mean(same) >= 0.95
    apart = np.abs(eight_bit.probabilities(texts) - model.probabilities(texts))
    assert apart.mean() < 0.02


@pytest.mark.slow
def test_one_scale_for_a_whole_layer_would_be_seen(
    eight_bit: OnnxModel, model: TriageModel, small: Dataset, tmp_path, monkeypatch
) -> None:
    """Why the weights are quantised column by column."""
    quantise = exporting.quantize_dynamic
    monkeypatch.setattr(
        exporting,
        "quantize_dynamic",
        lambda *args, **options: quantise(*args, **options | {"per_channel": False}),
    )
    export(model, SOURCE, tmp_path / "coarse.onnx")
    coarse = OnnxModel.read(tmp_path / "coarse.onnx")
    texts = small.test["text"].tolist()
    truth = model.probabilities(texts)
    fine_error = np.abs(eight_bit.probabilities(texts) - truth).mean()
    assert np.abs(coarse.probabilities(texts) - truth).mean() > 1.2 * fine_error


def test_one_file_is_all_that_is_read(file: Path, eight_bit: OnnxModel, model) -> None:
    assert eight_bit.card == model.card
    assert eight_bit.source == SOURCE
    assert file.stat().st_size < 30_000_000
    assert [each.name for each in file.parent.iterdir()] == [file.name]


def test_serving_an_export_needs_no_pytorch(file: Path) -> None:
    """What a slim image relies on: `serve --model FILE.onnx` where only the runtime is installed."""
    missing = ["torch", "transformers", "onnx", "pandas", "sklearn", "mlflow"]
    code = f"""
import sys
sys.modules.update(dict.fromkeys({missing}))  # importing any of them raises ImportError
from pathlib import Path
from triage.cli import Runtime, read_model
from triage.service.app import create_app
import triage.service.server
model, digest = read_model(Path({str(file)!r}), Runtime.TORCH)
create_app(model, digest)
print(digest, model.predict(["please send the invoice"])[0].intent)
"""
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert answer.stdout.split() == [SOURCE, "invoice_request"], answer.stderr


def test_the_rest_of_a_long_message_is_ignored(eight_bit: OnnxModel) -> None:
    assert max(map(len, eight_bit.tokens(TEXTS))) == MAX_TOKENS


def test_no_messages_no_answers(eight_bit: OnnxModel) -> None:
    assert eight_bit.predict([]) == []


@given(
    st.lists(st.integers(1, 30).map(lambda size: list(range(1, size + 1))), min_size=1),
    st.integers(0, 64),
)
def test_packing_loses_nothing(messages: list[list[int]], width: int) -> None:
    inputs = packed(messages, width)
    tokens, positions, owners, places, grid, numbers = inputs.values()
    assert grid.shape[1] <= max(width, *map(len, messages))
    assert numbers.tolist() == list(range(len(messages)))
    assert grid.flatten()[places].tolist() == list(range(len(tokens)))
    assert (grid == GAP).sum() == grid.size - len(tokens)
    for number, message in enumerate(messages):
        mine = owners == number
        assert tokens[mine].tolist() == message
        assert positions[mine].tolist() == list(range(len(message)))
        rows = places[mine] // grid.shape[1]
        assert len(set(rows)) == 1


def test_packing_leaves_little_empty() -> None:
    """Sixteen messages of usual lengths; in rows of their own, half the places would be padding."""
    sizes = np.random.default_rng(0).choice(
        [8, 9, 11, 12, 13, 14, 16, 20, 31, 47], (20, 16)
    )
    share = Counter[str]()
    for row in sizes:
        grid = packed([[1] * size for size in row], WIDTH)["grid"]
        share["empty"] += (grid == GAP).sum()
        share["all"] += grid.size
        share["padded"] += 16 * row.max()
    assert share["empty"] / share["all"] < 0.15
    assert sizes.sum() / share["padded"] < 0.6


def test_an_export_is_made_once(
    model_file: Path, model: TriageModel, file: Path, monkeypatch
) -> None:
    made: list[Path] = []

    def quick(_: TriageModel, source: str, path: Path) -> None:
        made.append(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file.read_bytes())

    monkeypatch.setattr(exporting, "export", quick)
    monkeypatch.setattr(TriageModel, "load", lambda path: model)
    first, second = exported(model_file), exported(model_file)
    assert first.card == second.card == model.card
    assert len(made) == 1


def test_another_model_or_runtime_is_another_file(monkeypatch) -> None:
    paths = {export_path("a" * 64), export_path("b" * 64)}
    monkeypatch.setattr(exporting, "__version__", "0")
    paths.add(export_path("a" * 64))
    assert len(paths) == 3


def nothing(path: Path, _: Path) -> None:
    path.write_bytes(b"")


def half(path: Path, file: Path) -> None:
    path.write_bytes(file.read_bytes()[:1_000])


def anonymous(path: Path, file: Path) -> None:
    graph = onnx.load(file)
    del graph.metadata_props[:]
    path.write_bytes(graph.SerializeToString())


def altered(path: Path, file: Path) -> None:
    graph = onnx.load(file)
    for kept in graph.metadata_props:
        if kept.key == "card":
            kept.value = json.dumps({"intents": []})
    path.write_bytes(graph.SerializeToString())


@pytest.mark.parametrize("spoil", [nothing, half, anonymous, altered])
def test_a_file_that_is_no_export_is_refused(
    spoil: Callable[[Path, Path], None], file: Path, tmp_path: Path
) -> None:
    path = tmp_path / "spoilt.onnx"
    spoil(path, file)
    with pytest.raises(TriageError, match=r"spoilt.onnx is not a model that .* Delete"):
        OnnxModel.read(path)


def test_a_missing_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(TriageError, match=r"No model at .*absent"):
        exported(tmp_path / "absent")


def test_warnings_come_back() -> None:
    log = logging.getLogger("somebody")
    with exporting.quiet():
        assert not log.isEnabledFor(logging.WARNING)
        with warnings.catch_warnings(record=True) as seen:
            warnings.warn("inside", stacklevel=1)
    assert not seen
    assert log.isEnabledFor(logging.WARNING)


@pytest.mark.slow
def test_nobody_is_told_that_a_model_runs(tmp_path: Path) -> None:
    """ONNX Runtime keeps a device id and a queue of reports in the home folder if it means to send them."""
    # Without the variables of CI, for which it stays quiet by itself.
    own = {"HOME": str(tmp_path), "PATH": os.environ["PATH"]}
    subprocess.run([sys.executable, "-c", "import triage.onnx"], env=own, check=True)
    assert [path for path in tmp_path.rglob("*") if "onnxruntime" in path.name] == []
