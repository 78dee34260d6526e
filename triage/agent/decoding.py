"""An answer token by token: with a cache and without, for one request and for many in one batch."""

import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch.nn.functional import pad
from transformers import DynamicCache, LlamaForCausalLM


# region stream
@torch.inference_mode()
def stream(
    model: LlamaForCausalLM, prompt: list[int], most: int, cached: bool = True
) -> Iterator[int]:
    """At most so many tokens, each the likeliest; without a cache all is read anew."""
    tokens, unread, cache = list(prompt), list(prompt), None
    for _ in range(most):
        output = model(
            torch.tensor([unread]),
            past_key_values=cache,
            use_cache=cached,
            logits_to_keep=1,
        )
        token = int(output.logits[0, -1].argmax())
        yield token
        tokens.append(token)
        cache = output.past_key_values
        unread = [token] if cached else tokens


# endregion stream


class Grammar(Protocol):
    """What an answer may be."""

    def allowed(self) -> torch.Tensor:
        """For each token of the vocabulary, whether it may come next."""

    def take(self, token: int) -> None:
        """Go on by a token that was allowed."""


@dataclass
class Request:
    """A prompt, and what became of it. Times are seconds since the serving began."""

    prompt: list[int]
    most: int
    """Tokens after which the answer ends."""
    stop: int | None = None
    """The token that ends it before; None goes on to `most`."""
    came: float = 0.0
    grammar: Grammar | None = None
    """None leaves the model free."""
    answer: list[int] = field(default_factory=list)
    first: float | None = None
    """When the first token was there."""
    done: float | None = None

    @property
    def is_complete(self) -> bool:
        return len(self.answer) == self.most or (
            bool(self.answer) and self.answer[-1] == self.stop
        )


class Batch:
    """Requests that get a token each in every step, whatever the age of each.

    A row of the cache is a request, and rows end at the same place: shorter ones begin
    with places that nobody may look at.
    """

    def __init__(self, model: LlamaForCausalLM):
        self.model = model
        self.running: list[Request] = []
        self.cache: DynamicCache | None = None
        self.seen = torch.zeros(0, 0, dtype=torch.long)
        """1 where a place of the cache is a token of its row."""

    # region admit
    @torch.inference_mode()
    def admit(self, requests: Sequence[Request]) -> None:
        """Prefill: read the prompts in one go, and put their keys and values beside ours."""
        width = max(len(each.prompt) for each in requests)
        tokens = torch.zeros(len(requests), width, dtype=torch.long)
        seen = torch.zeros_like(tokens)
        for row, each in enumerate(requests):
            tokens[row, width - len(each.prompt) :] = torch.tensor(each.prompt)
            seen[row, width - len(each.prompt) :] = 1
        output = self.model(
            tokens,
            attention_mask=seen,
            position_ids=(seen.cumsum(1) - 1).clamp(0),
            use_cache=True,
            logits_to_keep=1,
        )
        self._join(output.past_key_values, seen)
        self.running += requests
        self._say(requests, output.logits)

    # endregion admit

    # region step
    @torch.inference_mode()
    def step(self) -> None:
        """Decode: one token for each request that runs."""
        last = torch.tensor([[each.answer[-1]] for each in self.running])
        self.seen = pad(self.seen, (0, 1), value=1)
        output = self.model(
            last,
            attention_mask=self.seen,
            position_ids=self.seen.sum(1, keepdim=True) - 1,
            past_key_values=self.cache,
            use_cache=True,
        )
        self._say(self.running, output.logits)

    # endregion step

    def leave(self) -> list[Request]:
        """Take out what is complete, and give its places back."""
        gone = [each for each in self.running if each.is_complete]
        if gone:
            stay = [
                row for row, each in enumerate(self.running) if not each.is_complete
            ]
            self.running = [self.running[row] for row in stay]
            self.seen = self.seen[stay]
            begin = int(self.seen.any(0).int().argmax()) if stay else 0
            self.seen = self.seen[:, begin:]
            if self.cache is not None:
                for layer in layers_of(self.cache):
                    layer.keys = layer.keys[stay, :, begin:]
                    layer.values = layer.values[stay, :, begin:]
            if not stay:
                self.cache = None
        return gone

    def _join(self, cache: DynamicCache, seen: torch.Tensor) -> None:
        if self.cache is None:
            self.cache, self.seen = cache, seen
            return
        width = max(self.seen.shape[1], seen.shape[1])

        def beside(old: torch.Tensor, new: torch.Tensor) -> torch.Tensor:
            rows = (pad(each, (0, 0, width - each.shape[2], 0)) for each in (old, new))
            return torch.cat(list(rows))

        for ours, theirs in zip(layers_of(self.cache), layers_of(cache), strict=True):
            ours.keys = beside(ours.keys, theirs.keys)
            ours.values = beside(ours.values, theirs.values)
        self.seen = torch.cat(
            [pad(each, (width - each.shape[1], 0)) for each in (self.seen, seen)]
        )

    # region say
    @staticmethod
    def _say(requests: Sequence[Request], logits: torch.Tensor) -> None:
        for each, likely in zip(requests, logits[:, -1], strict=True):
            if each.grammar:
                allowed = each.grammar.allowed()
                likely = likely[: len(allowed)].masked_fill(~allowed, -torch.inf)
            token = int(likely.argmax())
            if each.grammar:
                each.grammar.take(token)
            each.answer.append(token)

    # endregion say


def layers_of(cache: DynamicCache) -> list[Any]:
    """Each with its `keys` and `values`, as (request, head, place, number)."""
    return cache.layers


@dataclass(frozen=True)
class Moment:
    """The state after a step."""

    at: float
    running: int
    waiting: int
    busy: float
    """Seconds so far in which something was computed."""


# region serve
def serve(
    model: LlamaForCausalLM,
    requests: Sequence[Request],
    slots: int,
    continuous: bool = True,
) -> list[Moment]:
    """Answer the requests as they come, at most `slots` of them at a time.

    A static batch is filled when it is empty; a continuous one whenever a slot is free.
    Seconds are processor seconds, and those without work are skipped.
    """
    batch, moments = Batch(model), []
    coming = deque(sorted(requests, key=lambda each: each.came))
    waiting: deque[Request] = deque()
    began, idle = time.process_time(), 0.0
    while coming or waiting or batch.running:
        now = time.process_time() - began + idle
        if not batch.running and not waiting:
            idle += max(0.0, coming[0].came - now)
            now = max(now, coming[0].came)
        while coming and coming[0].came <= now:
            waiting.append(coming.popleft())
        free = slots - len(batch.running)
        if waiting and free and (continuous or not batch.running):
            batch.admit([waiting.popleft() for _ in range(min(free, len(waiting)))])
        else:
            batch.step()
        now = time.process_time() - began + idle
        for each in batch.running:
            each.first = now if each.first is None else each.first
        for each in batch.leave():
            each.done = now
        moments.append(Moment(now, len(batch.running), len(waiting), now - idle))
    return moments


# endregion serve
