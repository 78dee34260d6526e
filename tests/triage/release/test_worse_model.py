"""Two real services behind the router: a worse model is caught and rolled back, an equal one promoted."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from dataclasses import replace

import httpx
import pytest

from triage.data import Dataset
from triage.encoder import Encoder
from triage.model import TriageModel
from triage.release.canary import usual
from triage.release.router import Release
from triage.service.app import create_app

pytestmark = pytest.mark.slow

SWAPPED = {
    "delivery_late": "invoice_request",
    "invoice_request": "delivery_late",
    "account_access": "item_damaged",
    "item_damaged": "account_access",
}


@pytest.fixture(scope="module")
def worse(small: Dataset, encoder: Encoder) -> TriageModel:
    """Learnt from an export in which labels were mixed up."""
    train = small.train.assign(category=small.train["category"].map(SWAPPED))
    return TriageModel.fit(replace(small, train=train), encoder)


@contextlib.asynccontextmanager
async def served(model: TriageModel) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(model, "0" * 64)
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://service") as client,
    ):
        yield client


async def released(
    champion: TriageModel, candidate: TriageModel, small: Dataset, most: int
) -> tuple[Release, int]:
    """Tickets until the canary's fate is decided; how many customers the candidate has answered."""
    draw = random.Random(3)
    messages = list(zip(small.test["text"], small.test["category"], strict=True))
    seen = 0
    async with served(champion) as old, served(candidate) as new:
        canary = usual(corrections=0.05)
        canary.shares, canary.patience = (0.2, 0.5, 1.0), 20
        release = Release(old, new, canary, salt="test")
        for number in range(most):
            if canary.status != "running":
                break
            text, truth = draw.choice(messages)
            body = httpx.Request("POST", "http://x", json={"message": text}).content
            answer, whose = await release.answer(f"LR-{number}", body)
            seen += whose == "canary"
            release.feedback(f"LR-{number}", answer.json()["intent"] != truth)
    return release, seen


def test_a_worse_model_is_rolled_back_early(
    model: TriageModel, worse: TriageModel, small: Dataset
) -> None:
    release, seen = asyncio.run(released(model, worse, small, most=400))
    assert release.canary.status == "rolled back"
    assert release.canary.reason.startswith("corrections: ")
    assert seen <= 10


def test_an_equal_model_is_promoted(model: TriageModel, small: Dataset) -> None:
    release, _ = asyncio.run(released(model, model, small, most=1_500))
    assert release.canary.status == "promoted", release.canary
