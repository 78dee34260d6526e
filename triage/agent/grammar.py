"""What an answer may be, token by token: a call of a tool, with arguments of its schema, or words."""

import json
from typing import Any

import llguidance.hf
import torch
from llguidance import LLMatcher, LLTokenizer
from transformers import PreTrainedTokenizerFast

from triage.agent.dialogues import Message

SPACING = {
    "whitespace_flexible": False,
    "item_separator": ", ",
    "key_separator": ": ",
}
"""As the model was taught to write JSON; other spaces would only cost it tokens."""


# region grammar
class Grammar:
    """The tokens that may come next in one answer, by llguidance."""

    def __init__(self, tokenizer: LLTokenizer, rules: str):
        self._matcher = LLMatcher(tokenizer, rules)
        if error := self._matcher.get_error():
            raise ValueError(f"No grammar can be made of these tools: {error}")

    def allowed(self) -> torch.Tensor:
        """For each token of the vocabulary, whether it may come next."""
        mask = bytearray(self._matcher.compute_logit_bias())
        return torch.frombuffer(mask, dtype=torch.uint8) > 0

    def take(self, token: int) -> None:
        """Go on by a token that was allowed."""
        self._matcher.consume_token(token)


# endregion grammar


class Grammars:
    """Grammars for one tokenizer, which takes a moment to be read."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast):
        self._tokenizer = llguidance.hf.from_tokenizer(tokenizer)

    def of(self, tools: list[Message], words: bool = True) -> Grammar:
        """For one answer: a call of one of these tools or, with `words`, a reply."""
        return Grammar(self._tokenizer, rules(tools, words))


# region rules
def rules(tools: list[Message], words: bool) -> str:
    """The grammar in llguidance's notation, with the tools' schemas inside it."""
    calls: dict[str, Any] = {
        "anyOf": [
            {
                "type": "object",
                "properties": {
                    "name": {"const": tool["function"]["name"]},
                    "arguments": tool["function"]["parameters"],
                },
                "required": ["name", "arguments"],
                "additionalProperties": False,
            }
            for tool in tools
        ],
        "x-guidance": SPACING,
    }
    return "\n".join(
        [
            f"start: call{' | reply' if words else ''}",
            "call: <tool_call> json </tool_call> <|end|>",
            f"json: %json {json.dumps(calls)}",
            "reply: /[^<]+/ <|end|>",
        ]
    )


# endregion rules


def only(tools: list[Message], orders: list[str]) -> list[Message]:
    """The tools with no other order numbers than these; without any, those that need one are left out."""
    kept = []
    for tool in json.loads(json.dumps(tools)):
        properties = tool["function"]["parameters"]["properties"]
        if "order" in properties:
            if not orders:
                continue
            properties["order"]["enum"] = orders
        kept.append(tool)
    return kept
