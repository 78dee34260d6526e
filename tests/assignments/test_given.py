"""The model that learners are given: as good as its card says, the same everywhere, made by its script."""

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from triage import data

GIVEN = Path(__file__).parents[2] / "assignments" / "given"
FILE = GIVEN / "model.safetensors"
MESSAGES = ["where is my parcel?", "I want my money back", "ﬁne ☃", "", "?!"]


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """model.py, imported by its bare name as learners do."""
    monkeypatch.syspath_prepend(str(GIVEN))
    for name in ("LOAD_SECONDS", "PREDICT_SECONDS"):
        monkeypatch.delenv(name, raising=False)
    yield importlib.import_module("model")
    for name in ("model", "train"):
        sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def dataset() -> data.Dataset:
    return data.read_folder(data.TICKETS, name="tickets")


def in_another_process(code: str, **env: str) -> str:
    return subprocess.run(
        [sys.executable, "-B", "-c", code],
        cwd=GIVEN,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def test_file_is_small_enough_to_hand_out_and_to_keep_in_git() -> None:
    assert FILE.stat().st_size <= 300_000


def test_card_says_how_good_it_is_and_what_it_learned_from(
    given: ModuleType, dataset: data.Dataset
) -> None:
    model = given.load(FILE)
    answers = [one.intent for one in model.predict(dataset.test["text"].tolist())]
    accuracy = float((answers == dataset.test["category"]).mean())
    assert model.card == {
        "intents": dataset.intents,
        "data": "tickets",
        "data_digest": dataset.digest,
        "test_accuracy": round(accuracy, 4),
    }
    assert accuracy > 0.8


def test_confidences_are_probabilities(
    given: ModuleType, dataset: data.Dataset
) -> None:
    predictions = given.load(FILE).predict(dataset.test["text"].tolist())
    assert all(type(one.confidence) is float for one in predictions)
    floor = 1 / len(dataset.intents)
    assert all(floor <= one.confidence <= 1 for one in predictions)


def test_prediction_does_not_depend_on_what_else_is_in_the_list(
    given: ModuleType,
) -> None:
    model = given.load(FILE)
    assert model.predict(MESSAGES) == [model.predict([one])[0] for one in MESSAGES]
    assert model.predict([]) == []


def test_every_process_predicts_the_same_whatever_its_hash_seed() -> None:
    code = f"import model; print(model.load('{FILE.name}').predict({MESSAGES!r}))"
    said = {in_another_process(code, PYTHONHASHSEED=seed) for seed in ("1", "2")}
    assert len(said) == 1
    assert "order_status" in said.pop()


def test_inference_needs_numpy_and_safetensors_only() -> None:
    code = (
        "import sys; before = set(sys.modules)\n"
        f"import model; model.load('{FILE.name}').predict(['hello'])\n"
        "new = {name.split('.')[0] for name in set(sys.modules) - before}\n"
        "import json; print(json.dumps(sorted(new - sys.stdlib_module_names)))"
    )
    assert set(json.loads(in_another_process(code))) <= {
        "model",
        "numpy",
        "safetensors",
    }


def test_loads_and_predicts_as_slowly_as_it_is_told(
    given: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []
    monkeypatch.setattr(given.time, "sleep", slept.append)
    monkeypatch.setenv("LOAD_SECONDS", "90")
    monkeypatch.setenv("PREDICT_SECONDS", "0.5")
    given.load(FILE).predict(MESSAGES)
    assert slept == [90, 0.5]


def test_missing_file_is_an_os_error(given: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(OSError, match="nowhere"):
        given.load(tmp_path / "nowhere.safetensors")


@pytest.mark.parametrize("size", [0, 7, 1000, 100_000])
def test_damaged_file_is_a_value_error(
    given: ModuleType, tmp_path: Path, size: int
) -> None:
    path = tmp_path / "damaged.safetensors"
    path.write_bytes(FILE.read_bytes()[:size])
    with pytest.raises(ValueError, match="not a model file"):
        given.load(path)


@pytest.mark.slow
def test_training_again_gives_the_committed_model(
    given: ModuleType, dataset: data.Dataset, tmp_path: Path
) -> None:
    train = importlib.import_module("train")
    path = tmp_path / "again.safetensors"
    path.write_bytes(train.to_bytes(train.train(dataset)))
    again, committed = given.load(path), given.load(FILE)
    assert again.card == committed.card
    # Another processor may add in another order: equal to float16's precision, not to the last bit.
    for name in ("weights", "bias", "rarity"):
        np.testing.assert_allclose(
            getattr(again, name), getattr(committed, name), atol=0.02
        )
    messages = dataset.test["text"].tolist()
    for one, other in zip(
        again.predict(messages), committed.predict(messages), strict=True
    ):
        assert one.intent == other.intent
        assert one.confidence == pytest.approx(other.confidence, abs=0.005)
