"""The whole model: what it answers, that its file is itself, and what it refuses to read."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from triage.data import Dataset
from triage.encoder import Encoder
from triage.errors import TriageError
from triage.evaluate import evaluate
from triage.model import TriageModel


def test_it_answers_with_ranked_probabilities(model: TriageModel) -> None:
    prediction = model.predict(
        ["My parcel should have been here on Monday and nothing has come."]
    )[0]
    assert prediction.intent == "delivery_late"
    assert 0.5 < prediction.confidence <= 1
    confidences = [
        prediction.confidence,
        *(confidence for _, confidence in prediction.alternatives),
    ]
    assert confidences == sorted(confidences, reverse=True)
    assert sum(confidences) == pytest.approx(
        1, abs=1e-5
    )  # four intents, so these are all


def test_the_temperature_is_applied(model: TriageModel, encoder: Encoder) -> None:
    cooler = replace(model.card, temperature=10 * model.card.temperature)
    text = ["please send me the invoice"]
    modest = TriageModel(encoder, model.head, cooler).predict(text)[0]
    assert modest.intent == model.predict(text)[0].intent
    assert modest.confidence < model.predict(text)[0].confidence - 0.2


def test_it_is_far_better_than_chance_on_unseen_messages(
    model: TriageModel, small: Dataset
) -> None:
    assert evaluate(model, small.test).accuracy > 0.85


def test_training_twice_gives_the_same_file(
    small: Dataset, encoder: Encoder, model_file: Path, tmp_path: Path
) -> None:
    again = tmp_path / "again.safetensors"
    TriageModel.fit(small, encoder).save(again)
    assert again.read_bytes() == model_file.read_bytes()


def test_a_loaded_model_is_the_saved_one(
    model: TriageModel, model_file: Path, encoder: Encoder
) -> None:
    loaded = TriageModel.load(model_file, encoder)
    assert loaded.card == model.card
    texts = ["late again", "invoice please"]
    np.testing.assert_array_equal(
        loaded.probabilities(texts), model.probabilities(texts)
    )


def test_the_test_split_is_not_touched(
    small: Dataset, encoder: Encoder, model: TriageModel
) -> None:
    scrambled = small.test.assign(category=small.test["category"].to_numpy()[::-1])
    other = TriageModel.fit(
        Dataset(small.name, small.train, scrambled, small.digest), encoder
    )
    assert torch.equal(other.head.linear.weight, model.head.linear.weight)
    assert other.card == model.card


@pytest.mark.parametrize(
    "spoil", [lambda content: content[:-8], lambda content: b"", lambda _: b"{}" * 50]
)
def test_a_damaged_file_is_refused(
    model_file: Path, tmp_path: Path, encoder: Encoder, spoil
) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(spoil(model_file.read_bytes()))
    with pytest.raises(TriageError, match="is not a model this program wrote"):
        TriageModel.load(path, encoder)


def test_somebody_elses_safetensors_file_is_refused(
    tmp_path: Path, encoder: Encoder
) -> None:
    path = tmp_path / "model.safetensors"
    save_file({"weights": torch.zeros(3)}, path)
    with pytest.raises(TriageError, match="is not a model this program wrote"):
        TriageModel.load(path, encoder)


def test_a_missing_model_says_how_to_make_one(tmp_path: Path, encoder: Encoder) -> None:
    with pytest.raises(TriageError, match="python -m triage train"):
        TriageModel.load(tmp_path / "model.safetensors", encoder)


def test_a_head_for_another_encoder_is_refused(
    model: TriageModel, tmp_path: Path, encoder: Encoder
) -> None:
    path = tmp_path / "model.safetensors"
    card = {**asdict(model.card), "encoder_sha256": "0" * 64}
    save_file(model.head.state_dict(), path, {"card": json.dumps(card)})
    with pytest.raises(TriageError, match="another encoder"):
        TriageModel.load(path, encoder)
