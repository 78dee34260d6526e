"""What is not text, as text, by services that others host: what they have to keep and what they cost."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

from triage.agent.events import Told
from triage.errors import TriageError

if TYPE_CHECKING:
    from openai import OpenAI


class NotAllowed(TriageError):
    """The service's terms are not those that Larch accepts; nothing was sent."""


# region terms
@dataclass(frozen=True)
class Terms:
    """What the contract with a service says, as far as code has to know it."""

    region: str
    """Where it computes."""
    keeps: bool
    """Whether it may keep what it is sent, to improve itself."""
    cents: float
    """For a unit: a second of sound, a character, a picture."""
    least: int = 1
    """Units that a request costs at least."""

    def cost(self, units: float) -> float:
        """Cents for one request."""
        return self.cents * max(math.ceil(units), self.least)


class Heard(Told):
    """What a service has understood so far. Unlike a token, the next replaces it."""

    type: Literal["heard"] = "heard"
    text: str
    final: bool


class Sense(Protocol):
    """A service that makes text of something."""

    terms: Terms

    def read(self, content: bytes) -> Iterator[Heard]:
        """What it understands, better and better; the last one is final."""


# endregion terms


# region hear
def hear(sense: Sense, content: bytes, regions: Iterable[str]) -> Iterator[Heard]:
    """Read with a service on our terms. Raises NotAllowed before anything is sent."""
    if sense.terms.region not in regions or sense.terms.keeps:
        raise NotAllowed(
            f"A service in {sense.terms.region} that "
            f"{'keeps' if sense.terms.keeps else 'does not keep'} what it is sent."
        )
    return sense.read(content)


# endregion hear


# region transcriber
class Transcriber:
    """Speech to text by the API that OpenAI defined and others offer as well."""

    def __init__(self, client: "OpenAI", model: str, terms: Terms):
        self.client, self.model, self.terms = client, model, terms

    def read(self, content: bytes) -> Iterator[Heard]:
        sofar = ""
        told: Any = self.client.audio.transcriptions.create(
            model=self.model, file=("recording.wav", content), stream=True
        )
        for event in told:
            if event.type == "transcript.text.delta":
                sofar += event.delta
                yield Heard(text=sofar, final=False)
            elif event.type == "transcript.text.done":
                yield Heard(text=event.text, final=True)


# endregion transcriber


class StandIn:
    """No service: it understands what it was told to. For tests, and to build the page without an account."""

    def __init__(self, *understood: str, terms: Terms):
        self.understood, self.terms = understood, terms

    def read(self, content: bytes) -> Iterator[Heard]:
        *before, last = self.understood
        yield from (Heard(text=text, final=False) for text in before)
        yield Heard(text=last, final=True)
