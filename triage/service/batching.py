"""Dynamic batching: while batches are being computed, the next one gathers.

Under one client each message travels alone and at once; under thirty-two, those that arrived during a
computation share the next one. Nobody waits for a batch to fill, but answered together, clients come back
together: a worker that has just answered several lets the stragglers in.
"""

import asyncio
import contextvars
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from triage.prediction import Prediction
from triage.service.problems import Overloaded

MAX_BATCH = 12
"""Two of them leave some of 32 clients waiting, so that whoever ends a computation has the next at once."""
MAX_WAITING = 64
PAUSE = 0.001
"""Seconds. If nothing arrives for as long, nothing is on its way."""


@dataclass(slots=True, eq=False)
class Waiting:
    """A message inside. `arrived` in nanoseconds since the epoch; `context` is its request's."""

    text: str
    answer: asyncio.Future[Prediction]
    arrived: int = field(default_factory=time.time_ns)
    context: contextvars.Context = field(default_factory=contextvars.copy_context)


@dataclass(frozen=True)
class Computed:
    """A batch that was computed, from when to when, in nanoseconds since the epoch."""

    messages: Sequence[Waiting]
    began: int
    ended: int


# region batcher
class Batcher:
    """Answers messages in batches. Each worker computes one at a time, on a thread."""

    def __init__(
        self,
        predict: Callable[[Sequence[str]], list[Prediction]],
        on_batch: Callable[[Computed], None] = lambda batch: None,
        max_waiting: int = MAX_WAITING,
        workers: int = 1,
    ):
        self.predict = predict
        self.on_batch = on_batch
        self.max_waiting = max_waiting
        self.workers = workers
        self.waiting: deque[Waiting] = deque()
        self.arrived = asyncio.Event()

    async def submit(self, message: str) -> Prediction:
        """The answer to one message. Raises Overloaded at once when too many wait."""
        if len(self.waiting) >= self.max_waiting:
            raise Overloaded
        waiting = Waiting(message, asyncio.get_running_loop().create_future())
        self.waiting.append(waiting)
        self.arrived.set()
        return await waiting.answer

    async def run(self) -> None:
        """Answer batches until cancelled."""
        async with asyncio.TaskGroup() as group:
            for _ in range(self.workers):
                group.create_task(self._work())

    async def _work(self) -> None:
        while True:
            await self.arrived.wait()
            batch = self._next_batch()
            if not self.waiting:
                self.arrived.clear()
            if batch:
                await self._answer(batch)
            if len(batch) > 1:
                await self._stragglers()

    async def _stragglers(self) -> None:
        """Wait as long as messages keep arriving and a batch still has room."""
        seen = -1
        while seen < len(self.waiting) < MAX_BATCH:
            seen = len(self.waiting)
            await asyncio.sleep(PAUSE)

    def _next_batch(self) -> list[Waiting]:
        batch: list[Waiting] = []
        while self.waiting and len(batch) < MAX_BATCH:
            message = self.waiting.popleft()
            if not message.answer.cancelled():  # its client has gone: for whom?
                batch.append(message)
        return batch

    async def _answer(self, batch: list[Waiting]) -> None:
        began = time.time_ns()
        try:
            predictions = await asyncio.to_thread(
                self.predict, [message.text for message in batch]
            )
        except Exception as error:
            if len(batch) > 1:  # one bad message must not fail its neighbours
                for message in batch:
                    await self._answer([message])
            else:
                settle(batch[0].answer, error)
            return
        self.on_batch(Computed(batch, began, time.time_ns()))
        for message, prediction in zip(batch, predictions, strict=True):
            settle(message.answer, prediction)


# endregion batcher


def settle(future: asyncio.Future[Prediction], outcome: Prediction | Exception) -> None:
    """Give a future its outcome, unless its client gave up while we were computing."""
    if future.done():
        return
    if isinstance(outcome, Exception):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)
