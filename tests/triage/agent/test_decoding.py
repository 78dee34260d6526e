"""Batches that come and go: company never changes an answer, and no slot is left empty."""

import random

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from triage.agent.decoding import Batch, Request, serve, stream


@pytest.fixture(scope="module")
def model() -> LlamaForCausalLM:
    """Never trained: what it says is nonsense, and differs with everything it reads."""
    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=97,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        initializer_range=0.3,
    )
    return LlamaForCausalLM(config).eval()


def requests(count: int, seed: int = 1) -> list[Request]:
    draws = random.Random(seed)
    return [
        Request(
            [draws.randrange(97) for _ in range(draws.randrange(1, 30))],
            draws.randrange(1, 20),
        )
        for _ in range(count)
    ]


def test_a_cache_changes_nothing_but_the_time(model) -> None:
    for each in requests(5):
        kept = list(stream(model, each.prompt, each.most))
        assert kept == list(stream(model, each.prompt, each.most, cached=False))


@pytest.mark.parametrize("continuous", [True, False])
@pytest.mark.parametrize("slots", [1, 3, 8])
def test_company_never_changes_an_answer(model, slots: int, continuous: bool) -> None:
    asked = requests(12)
    serve(model, asked, slots, continuous)
    for each in asked:
        assert each.answer == list(stream(model, each.prompt, each.most))
        assert 0 < each.first <= each.done


def test_it_would_be_seen_if_positions_counted_the_padding(model, monkeypatch) -> None:
    def from_the_left(self) -> None:
        self.seen = torch.nn.functional.pad(self.seen, (0, 1), value=1)
        output = self.model(
            torch.tensor([[each.answer[-1]] for each in self.running]),
            attention_mask=self.seen,
            past_key_values=self.cache,
            use_cache=True,
            position_ids=torch.full((len(self.running), 1), self.seen.shape[1] - 1),
        )
        self._say(self.running, output.logits)

    monkeypatch.setattr(Batch, "step", from_the_left)
    asked = requests(12)
    serve(model, asked, slots=8)
    alone = [list(stream(model, each.prompt, each.most)) for each in asked]
    assert [each.answer for each in asked] != alone


def test_a_continuous_batch_takes_fewer_steps(model) -> None:
    def steps(continuous: bool) -> int:
        asked = [Request([1, 2, 3], most) for most in (2, 20, 2, 20, 2, 20)]
        return len(serve(model, asked, slots=2, continuous=continuous))

    assert steps(continuous=True) < steps(continuous=False)


def test_nobody_is_answered_before_asking(model) -> None:
    asked = [Request([5, 6], 3, came=0.0), Request([7, 8], 3, came=0.15)]
    moments = serve(model, asked, slots=4)
    assert asked[0].done < 0.15 <= asked[1].first
    assert max(moment.running for moment in moments) == 1


def test_a_stop_ends_an_answer(model) -> None:
    (free,) = (request := [Request([9, 10, 11], 15)])
    serve(model, request, slots=1)
    stop = free.answer[4]
    ended = Request([9, 10, 11], 15, stop)
    serve(model, [ended], slots=1)
    assert ended.answer == free.answer[: free.answer.index(stop) + 1]


def test_places_are_given_back(model) -> None:
    batch = Batch(model)
    short, long = Request([1] * 20, 2), Request([2] * 3, 9)
    batch.admit([short, long])
    batch.step()
    assert batch.leave() == [short]
    assert batch.seen.shape == (1, 4)  # not the places of the prompt that has gone
    assert batch.cache.layers[0].keys.shape[2] == 4
