"""A language model, wherever it is: an address that speaks the chat API, or a folder in this process."""

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from openai import APIError, OpenAI

from triage.agent.dialogues import Message
from triage.errors import TriageError


@dataclass(frozen=True)
class Said:
    """An assistant's message as the chat API writes it, and what it cost."""

    message: Message
    prompt_tokens: int
    answer_tokens: int


class Model(Protocol):
    """What the loop needs of a language model."""

    def say(self, messages: list[Message], tools: list[Message]) -> Said:
        """The next message of the conversation."""


# region endpoint
class Endpoint:
    """The model at OPENAI_BASE_URL, by OpenAI's client."""

    def __init__(self, address: str, model: str, key: str, seconds: float = 60.0):
        self.model = model
        self._client = OpenAI(
            base_url=address, api_key=key, timeout=seconds, max_retries=1
        )

    @classmethod
    def from_environment(cls) -> "Endpoint":
        """OPENAI_BASE_URL says where; OPENAI_MODEL which, where there is more than one.

        Raises TriageError if that does not name a model.
        """
        address = os.environ.get("OPENAI_BASE_URL", "")
        if not address:
            raise TriageError(
                "OPENAI_BASE_URL is not set: name an endpoint, "
                "such as http://127.0.0.1:8000/v1."
            )
        key = os.environ.get("OPENAI_API_KEY", "none")
        model = os.environ.get("OPENAI_MODEL") or only_model(address, key)
        return cls(address, model, key)

    def say(self, messages: list[Message], tools: list[Message]) -> Said:
        """Raises TriageError if the endpoint does not answer with a message."""
        try:
            completion = self._client.chat.completions.create(
                model=self.model,
                messages=messages,  # type: ignore[arg-type]
                tools=tools,  # type: ignore[arg-type]
                temperature=0,
                max_tokens=200,
            )
        except APIError as error:
            raise TriageError(f"{self._client.base_url}: {error}") from error
        message = completion.choices[0].message.model_dump(exclude_none=True)
        usage = completion.usage
        return Said(
            {"role": "assistant", "content": "", **message},
            usage.prompt_tokens if usage else 0,
            usage.completion_tokens if usage else 0,
        )


# endregion endpoint


def only_model(address: str, key: str) -> str:
    """The one model that an endpoint lists; the project's own name for its model if it lists none."""
    try:
        listed = OpenAI(base_url=address, api_key=key, timeout=10).models.list().data
    except APIError as error:
        raise TriageError(f"{address} does not list its models: {error}") from error
    if len(listed) > 1:
        some = ", ".join(model.id for model in listed[:3])
        raise TriageError(
            f"{address} has {len(listed)} models ({some}, …): name one in OPENAI_MODEL."
        )
    return listed[0].id if listed else "assistant"


# region local
class Local:
    """The project's own model in this process: words, or a call that is valid.

    Not `held`, it says what it likes, as behind a server without grammars.
    """

    def __init__(self, folder: Path, held: bool = True):
        # Only here, since whoever has an endpoint needs no PyTorch.
        from triage.agent.grammar import Grammars
        from triage.agent.model import Assistant

        self._assistant = Assistant.read(folder)
        self._grammars = Grammars(self._assistant.tokenizer) if held else None

    def say(self, messages: list[Message], tools: list[Message]) -> Said:
        """Held: a call with an order number that the customer wrote, or a reply."""
        from triage.agent.decoding import Request, serve
        from triage.agent.grammar import only
        from triage.agent.model import called, words

        written = [each["content"] for each in messages if each["role"] == "user"]
        orders = re.findall(r"LR-\d{5}(?!\d)", " ".join(written))
        offered = only(tools, orders)
        grammar = self._grammars.of(offered) if self._grammars else None
        request = Request(
            self._assistant.prompt(messages),
            most=120,
            stop=self._assistant.tokenizer.eos_token_id,
            grammar=grammar,
        )
        serve(self._assistant.model, [request], slots=1)
        message: Message = {"role": "assistant", "content": ""}
        if call := called(self._assistant, request):
            call = {
                "name": call["name"],
                "arguments": json.dumps(call["arguments"]),
            }
            message["tool_calls"] = [
                {"id": f"call-{len(messages)}", "type": "function", "function": call}
            ]
        else:
            message["content"] = words(self._assistant, request)
        return Said(message, len(request.prompt), len(request.answer))


# endregion local
