"""Several models as one: the cheapest first, a dearer one where code can see that the answer is wrong."""

import json
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import jsonschema
from openai import APIConnectionError, InternalServerError, RateLimitError

from triage.agent.budget import Price, Purse
from triage.agent.dialogues import Message
from triage.agent.endpoint import Model, Said
from triage.errors import TriageError

ORDER = re.compile(r"LR-\d+")
ANSWER = 200
"""Tokens that a model may write at most, as the endpoint is told."""


class Unavailable(TriageError):
    """No model answers, and the ticket is not to blame. In `seconds` it makes sense to ask again."""

    def __init__(self, seconds: float):
        super().__init__(f"No model answers; ask again in {seconds:.0f} s.")
        self.seconds = seconds


# region breaker
@dataclass
class Breaker:
    """Lets no call through after so many failures in a row; then one, to see."""

    after: int = 3
    pause: float = 30.0
    clock: Callable[[], float] = time.monotonic
    failures: int = 0
    opened: float = 0.0

    def wait(self) -> float:
        """Seconds until a call may be made; 0 if one may be made now."""
        if self.failures < self.after:
            return 0.0
        return max(0.0, self.opened + self.pause - self.clock())

    def failed(self) -> None:
        self.failures += 1
        self.opened = self.clock()

    def succeeded(self) -> None:
        self.failures = 0


# endregion breaker


# region check
def wrong_with(said: Message, messages: list[Message], tools: list[Message]) -> str:
    """What code can see to be wrong with an answer; empty if nothing."""
    written = " ".join(str(each.get("content") or "") for each in messages)
    calls = said.get("tool_calls") or []
    if not calls:
        text = str(said.get("content") or "")
        invented = set(ORDER.findall(text)) - set(ORDER.findall(written))
        if not text.strip():
            return "it says nothing"
        return f"it speaks of {', '.join(sorted(invented))}" if invented else ""
    schemas = {tool["function"]["name"]: tool["function"] for tool in tools}
    for call in calls:
        name, given = call["function"]["name"], call["function"]["arguments"]
        if name not in schemas:
            return f"there is no tool {name}"
        try:
            arguments = json.loads(given or "{}")
            jsonschema.validate(arguments, schemas[name]["parameters"])
        except (ValueError, jsonschema.ValidationError):
            return f"the arguments of {name} are not valid"
        order = arguments.get("order")
        if order is not None and order not in ORDER.findall(written):
            return f"nobody wrote {order}"
        if name == "refund" and not re.search("(?i)refund|money", written):
            return "nobody asked for money"
        if name == "triage" and ORDER.search(written):
            return "it hands over a message with an order in it"
    return ""


# endregion check


@dataclass
class Route:
    """A model, what it costs, and whether it answers these days."""

    name: str
    model: Model
    price: Price
    breaker: Breaker = field(default_factory=Breaker)


@dataclass(frozen=True)
class Asked:
    """One call of one model, for the record. `wrong` is empty if the answer was taken."""

    route: str
    tokens: int
    euros: float
    wrong: str


# region router
@dataclass
class Router:
    """Routes in the order in which they are asked. A `Model` itself."""

    routes: Sequence[Route]
    purse: Purse
    ticket: str
    check: Callable[[Message, list[Message], list[Message]], str] = wrong_with
    asked: list[Asked] = field(default_factory=list)

    def say(self, messages: list[Message], tools: list[Message]) -> Said:
        """The first answer that passes; words of its own if none does.

        Raises Spent if the budget ends, Unavailable if no model has answered.
        """
        read = written = answers = 0
        for route in self.routes:
            if route.breaker.wait():
                continue
            try:
                said = self._ask(route, messages, tools)
            except Exception as error:
                if not passing(error):
                    raise  # ours: the same request would fail elsewhere, too
                route.breaker.failed()
                self.asked.append(Asked(route.name, 0, 0.0, "no answer"))
                continue
            route.breaker.succeeded()
            answers += 1
            read, written = read + said.prompt_tokens, written + said.answer_tokens
            if not self.asked[-1].wrong:
                return Said(said.message, read, written)
        if not answers:
            raise Unavailable(min(each.breaker.wait() for each in self.routes))
        return Said({"role": "assistant", "content": "A person."}, read, written)

    # endregion router

    def _ask(self, route: Route, messages: list[Message], tools: list[Message]) -> Said:
        """One call, paid for whether or not the answer is of use."""
        most = route.price.of(len(json.dumps([messages, tools])), ANSWER)
        reserved = self.purse.reserve(self.ticket, route.name, most)
        said = route.model.say(
            messages, tools
        )  # if it fails, it may have cost the most
        euros = route.price.of(said.prompt_tokens, said.answer_tokens)
        self.purse.settle(reserved, euros)
        wrong = self.check(said.message, messages, tools)
        tokens = said.prompt_tokens + said.answer_tokens
        self.asked.append(Asked(route.name, tokens, euros, wrong))
        return said


# region passing
def passing(error: BaseException | None) -> bool:
    """Whether it may be gone in a minute: nobody there, too slow, 429 or 5xx."""
    outages = (APIConnectionError, RateLimitError, InternalServerError)
    passes: tuple[type[Any], ...] = (ConnectionError, TimeoutError, *outages)
    while error is not None and not isinstance(error, passes):
        error = error.__cause__
    return error is not None


# endregion passing
