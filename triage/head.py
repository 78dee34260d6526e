"""The trained half of the model: one linear layer from the encoder's 384 numbers to the intents."""

import torch
from torch import nn
from torch.nn.functional import cross_entropy

PENALTY = 0.02
"""Weight of the squared-norm penalty, chosen by 5-fold cross-validation on BANKING77's training split."""


# region head
class Head(nn.Module):
    """Logits [n, intents] from vectors [n, width]."""

    def __init__(self, width: int, intents: int):
        super().__init__()
        self.linear = nn.Linear(width, intents)
        nn.init.zeros_(
            self.linear.weight
        )  # the loss is convex: any start ends in the same place
        nn.init.zeros_(self.linear.bias)

    def forward(self, vectors: torch.Tensor) -> torch.Tensor:
        return self.linear(vectors)


# endregion head


# region fit
def fit_head(vectors: torch.Tensor, labels: torch.Tensor, intents: int) -> Head:
    """Train a head on vectors [n, width] and labels [n]; the same every time."""
    head = Head(vectors.shape[1], intents)
    optimiser = torch.optim.LBFGS(
        head.parameters(), max_iter=300, line_search_fn="strong_wolfe"
    )

    def loss() -> torch.Tensor:
        optimiser.zero_grad()
        penalty = PENALTY * head.linear.weight.pow(2).sum() / len(vectors)
        value = cross_entropy(head(vectors), labels) + penalty
        value.backward()
        return value

    optimiser.step(loss)
    return head.eval()


# endregion fit


@torch.no_grad()
def logits_of(head: Head, vectors: torch.Tensor) -> torch.Tensor:
    return head(vectors)


def held_out_logits(
    vectors: torch.Tensor, labels: torch.Tensor, intents: int, folds: int
) -> torch.Tensor:
    """Logits [n, intents] for every training message from a head that never saw it."""
    from sklearn.model_selection import (
        StratifiedKFold,
    )  # a second to import, and only training needs it

    logits = torch.empty(len(vectors), intents)
    splitter = StratifiedKFold(folds, shuffle=True, random_state=0)
    for seen, unseen in splitter.split(vectors, labels):
        logits[unseen] = logits_of(
            fit_head(vectors[seen], labels[seen], intents), vectors[unseen]
        )
    return logits


def fit_temperature(logits: torch.Tensor, labels: torch.Tensor) -> float:
    """The divisor of the logits that makes confidences most honest on messages the head never saw.

    Temperature scaling: Guo et al. 2017, "On Calibration of Modern Neural Networks", arXiv:1706.04599.
    """
    log_temperature = torch.zeros(1, requires_grad=True)
    optimiser = torch.optim.LBFGS(
        [log_temperature], max_iter=100, line_search_fn="strong_wolfe"
    )

    def loss() -> torch.Tensor:
        optimiser.zero_grad()
        value = cross_entropy(logits / log_temperature.exp(), labels)
        value.backward()
        return value

    optimiser.step(loss)
    return log_temperature.exp().item()
