"""Batches form by themselves under load, and one message's trouble stays its own."""

import asyncio
import threading
from collections.abc import Sequence

import pytest

from triage.prediction import Prediction
from triage.service.batching import MAX_BATCH, Batcher
from triage.service.problems import Overloaded


class Model:
    """Echoes messages, and computes only while its gate is open."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.gate = threading.Event()
        self.gate.set()

    def predict(self, messages: Sequence[str]) -> list[Prediction]:
        self.batches.append(list(messages))
        assert self.gate.wait(10)
        if "poison" in messages:
            raise ValueError("poison")
        return [Prediction(message, 1.0, []) for message in messages]


async def until(condition) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.001)


def run(scenario, model: Model, **options: int) -> Batcher:
    async def main() -> Batcher:
        batcher = Batcher(model.predict, **options)
        worker = asyncio.create_task(batcher.run())
        try:
            async with asyncio.timeout(20):
                await scenario(batcher)
        finally:
            model.gate.set()
            worker.cancel()
        return batcher

    return asyncio.run(main())


def test_a_lone_message_travels_alone() -> None:
    model = Model()

    async def scenario(batcher: Batcher) -> None:
        assert (await batcher.submit("a")).intent == "a"
        assert (await batcher.submit("b")).intent == "b"

    run(scenario, model)
    assert model.batches == [["a"], ["b"]]


def test_clients_that_were_answered_together_come_back_together(monkeypatch) -> None:
    monkeypatch.setattr("triage.service.batching.PAUSE", 0.4)
    model = Model()
    model.gate.clear()

    async def scenario(batcher: Batcher) -> None:
        first = asyncio.create_task(batcher.submit("first"))
        await until(lambda: model.batches)
        pair = [asyncio.create_task(batcher.submit(text)) for text in "ab"]
        await until(lambda: len(batcher.waiting) == 2)
        model.gate.set()
        await asyncio.gather(first, *pair)
        quick = asyncio.create_task(batcher.submit("quick"))
        await asyncio.sleep(0.02)
        await asyncio.gather(quick, batcher.submit("straggler"))

    run(scenario, model)
    assert model.batches == [["first"], ["a", "b"], ["quick", "straggler"]]


def test_messages_that_arrive_during_a_computation_share_the_next() -> None:
    model = Model()
    model.gate.clear()

    async def scenario(batcher: Batcher) -> None:
        first = asyncio.create_task(batcher.submit("first"))
        await until(lambda: model.batches)
        rest = [
            asyncio.create_task(batcher.submit(str(n))) for n in range(MAX_BATCH + 3)
        ]
        await until(lambda: len(batcher.waiting) == MAX_BATCH + 3)
        model.gate.set()
        answers = await asyncio.gather(first, *rest)
        assert [answer.intent for answer in answers] == [
            "first",
            *map(str, range(MAX_BATCH + 3)),
        ]

    run(scenario, model)
    assert [len(batch) for batch in model.batches] == [1, MAX_BATCH, 3]


def test_too_many_waiting_are_refused_at_once() -> None:
    model = Model()
    model.gate.clear()

    async def scenario(batcher: Batcher) -> None:
        first = asyncio.create_task(batcher.submit("first"))
        await until(lambda: model.batches)
        waiting = [asyncio.create_task(batcher.submit(str(n))) for n in range(2)]
        await until(lambda: len(batcher.waiting) == 2)
        with pytest.raises(Overloaded):
            await batcher.submit("one too many")
        model.gate.set()
        await asyncio.gather(first, *waiting)

    run(scenario, model, max_waiting=2)


def test_nobody_works_for_a_client_that_left() -> None:
    model = Model()
    model.gate.clear()

    async def scenario(batcher: Batcher) -> None:
        first = asyncio.create_task(batcher.submit("first"))
        await until(lambda: model.batches)
        leaving, staying = (
            asyncio.create_task(batcher.submit(name)) for name in ("leaving", "staying")
        )
        await until(lambda: len(batcher.waiting) == 2)
        leaving.cancel()
        await asyncio.sleep(0)
        model.gate.set()
        await asyncio.gather(first, staying)

    run(scenario, model)
    assert model.batches == [["first"], ["staying"]]


def test_a_poisoned_message_fails_alone() -> None:
    model = Model()
    model.gate.clear()

    async def scenario(batcher: Batcher) -> None:
        first = asyncio.create_task(batcher.submit("first"))
        await until(lambda: model.batches)
        tasks = [
            asyncio.create_task(batcher.submit(name))
            for name in ("good", "poison", "fine")
        ]
        await until(lambda: len(batcher.waiting) == 3)
        model.gate.set()
        good, poison, fine = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(poison, ValueError)
        assert (good.intent, fine.intent) == ("good", "fine")
        await first
        assert (
            await batcher.submit("after")
        ).intent == "after"  # and the batcher goes on

    run(scenario, model)


def test_workers_compute_at_the_same_time() -> None:
    model = Model()
    model.gate.clear()

    async def scenario(batcher: Batcher) -> None:
        first = asyncio.create_task(batcher.submit("first"))
        await until(lambda: model.batches)
        second = asyncio.create_task(batcher.submit("second"))
        await until(lambda: len(model.batches) == 2)  # while the first is computed
        third = asyncio.create_task(batcher.submit("third"))
        await until(lambda: batcher.waiting)
        model.gate.set()
        await asyncio.gather(first, second, third)

    run(scenario, model, workers=2)
    assert model.batches == [["first"], ["second"], ["third"]]


def test_stopping_stops_every_worker() -> None:
    async def main() -> set[asyncio.Task]:
        batcher = Batcher(Model().predict, workers=3)
        running = asyncio.create_task(batcher.run())
        assert (await batcher.submit("a")).intent == "a"
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        return asyncio.all_tasks() - {asyncio.current_task()}

    assert asyncio.run(main()) == set()
