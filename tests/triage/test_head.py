"""The trained half, on numbers small enough to check by hand."""

import pytest
import torch

from triage import head
from triage.head import fit_head, fit_temperature, held_out_logits, logits_of


def two_clouds(messages: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(messages) % 2
    vectors = torch.randn(messages, 4, generator=generator) + 3 * labels.unsqueeze(1)
    return vectors, labels


def test_a_head_learns_and_is_the_same_every_time() -> None:
    vectors, labels = two_clouds(60)
    first, second = (fit_head(vectors, labels, 2) for _ in range(2))
    assert (logits_of(first, vectors).argmax(dim=1) == labels).float().mean() > 0.95
    assert torch.equal(first.linear.weight, second.linear.weight)


def test_the_penalty_keeps_weights_small(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, labels = two_clouds(60)
    usual = fit_head(vectors, labels, 2).linear.weight.norm()
    monkeypatch.setattr(head, "PENALTY", 100 * head.PENALTY)
    assert fit_head(vectors, labels, 2).linear.weight.norm() < usual / 2


def test_held_out_logits_come_from_heads_that_never_saw_the_message() -> None:
    vectors, labels = two_clouds(60)
    labels[7] = (
        1 - labels[7]
    )  # one wrong label: whoever trains on it can learn it, whoever doesn't cannot
    unseen = held_out_logits(vectors, labels, 2, folds=5)
    assert unseen.argmax(dim=1)[7] != labels[7]


def test_temperature_undoes_overconfidence() -> None:
    generator = torch.Generator().manual_seed(0)
    honest = torch.randn(5_000, 3, generator=generator)
    labels = torch.multinomial(
        torch.softmax(honest, dim=1), 1, generator=generator
    ).squeeze(1)
    assert 3.6 < fit_temperature(4 * honest, labels) < 4.4
    assert 0.9 < fit_temperature(honest, labels) < 1.1
