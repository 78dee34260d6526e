"""Who writes the reply: a language model that streams, or a script that stands in for one."""

import json
import re
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from triage.agent.planning import Ticket

if TYPE_CHECKING:
    from openai import OpenAI

DUTY = (
    "You answer for Larch, a shop for outdoor gear. Say in two or three sentences what was "
    "done about the customer's message. Promise nothing that is not in what was done."
)


class Writer(Protocol):
    def write(self, ticket: Ticket, outcome: str) -> Iterator[str]:
        """The reply, piece by piece as it comes."""


class ModelWriter:
    """A model behind an OpenAI-compatible API that streams, which `triage.agent.api` does not."""

    def __init__(self, client: "OpenAI", model: str):
        self.client = client
        self.model = model

    # region model
    def write(self, ticket: Ticket, outcome: str) -> Iterator[str]:
        """Stops reading, and so closes the connection, when nobody wants more."""
        with self.client.chat.completions.create(
            model=self.model,
            messages=[
                {"role": "system", "content": DUTY},
                {"role": "user", "content": ticket["text"]},
                {"role": "user", "content": json.dumps({"what was done": outcome})},
            ],
            temperature=0,
            max_tokens=200,
            stream=True,
        ) as chunks:
            for chunk in chunks:
                if chunk.choices and (text := chunk.choices[0].delta.content):
                    yield text

    # endregion model


@dataclass(frozen=True)
class ScriptedWriter:
    """No model: three sentences, at a pace. For tests, and where a run must be repeated exactly.

    It repeats the customer's words, as a model may that was told to. Where `stop` is given it waits there,
    after so many words, until there is a file `until`.
    """

    pace: float = 0.03
    stop: int | None = None
    until: Path | None = None

    def write(self, ticket: Ticket, outcome: str) -> Iterator[str]:
        text = (
            f"Thank you for writing to Larch. You wrote: {ticket['text']} "
            f"This is what we have done: {outcome}. Write again if that is not what you need."
        )
        for number, word in enumerate(re.findall(r"\S+\s*", text)):
            while number == self.stop and self.until and not self.until.exists():
                time.sleep(0.01)
            time.sleep(self.pace)
            yield word


# region gathered
def gathered(
    pieces: Iterable[str],
    seconds: float = 0.05,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[str]:
    """One piece in so many seconds, the first at once; what comes between is joined.

    When the source stalls, what is held waits for its next piece.
    """
    held, last = "", clock() - seconds
    for piece in pieces:
        held += piece
        if (now := clock()) - last >= seconds:
            yield held
            held, last = "", now
    if held:
        yield held


# endregion gathered
