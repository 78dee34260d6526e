"""Sums from configurations, held against models that exist."""

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from triage.agent.arithmetic import Accelerator, Shape, most_a_second, places, shape_of


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize(("heads", "shared"), [(4, 4), (4, 2), (4, 1)])
def test_sums_are_what_the_model_has(tied: bool, heads: int, shared: int) -> None:
    config = LlamaConfig(
        vocab_size=101,
        hidden_size=48,
        intermediate_size=80,
        num_hidden_layers=3,
        num_attention_heads=heads,
        num_key_value_heads=shared,
        tie_word_embeddings=tied,
    )
    model, shape = LlamaForCausalLM(config), shape_of(config.to_dict())
    assert shape.parameters == model.num_parameters()
    cache = model(torch.tensor([[1, 2, 3, 4, 5]])).past_key_values
    held = sum(layer.keys.nbytes + layer.values.nbytes for layer in cache.layers)
    assert held == 5 * shape.cache(4)


def test_known_models() -> None:
    mistral = Shape(32, 4096, 14336, heads=32, kv_heads=8, vocabulary=32_768)
    assert mistral.parameters == 7_248_023_552  # as on its model card
    assert mistral.cache() == 128 * 1024
    llama = Shape(80, 8192, 28672, heads=64, kv_heads=8, vocabulary=128_256)
    assert llama.parameters == 70_553_706_496
    assert llama.cache() == 320 * 1024


def test_bounds() -> None:
    shape = Shape(1, 8, 16, heads=2, kv_heads=2, vocabulary=10)
    weights, token = 2 * shape.parameters, shape.cache()
    card = Accelerator("card", memory=(weights + 10 * token) / 0.9, bandwidth=1000)
    assert places(shape, card) == pytest.approx(10, abs=1)
    assert places(shape, Accelerator("small", weights, 1000)) == 0
    alone = most_a_second(shape, card, requests=1, context=0)
    assert alone == pytest.approx(1000 / weights)
    assert most_a_second(shape, card, 8, 0) == pytest.approx(8 * alone)
    assert most_a_second(shape, card, 8, 5) < 8 * alone
