"""The grammar: nothing but a valid call or words, whatever the model would rather say."""

import itertools
import json
import random

import jsonschema
import pytest
import torch
from transformers import PreTrainedTokenizerFast

from triage.agent.dialogues import TOOLS, TRAINING, draw
from triage.agent.grammar import Grammar, Grammars, only, rules
from triage.agent.model import CALL, CALLED, END, make_tokenizer


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return make_tokenizer(draw(300, TRAINING, seed=1))


@pytest.fixture(scope="module")
def grammars(tokenizer: PreTrainedTokenizerFast) -> Grammars:
    return Grammars(tokenizer)


def babble(grammar: Grammar, tokenizer: PreTrainedTokenizerFast, seed: int) -> str:
    """What a model says that knows nothing, token by token."""
    source, said = random.Random(seed), []
    end = tokenizer.convert_tokens_to_ids(END)
    for _ in range(400):
        choice = source.choice(torch.nonzero(grammar.allowed()).flatten().tolist())
        grammar.take(choice)
        said.append(choice)
        if choice == end:
            break
    return str(tokenizer.decode(said))


def test_whatever_is_said_is_a_call_that_its_tool_takes(tokenizer, grammars) -> None:
    schemas = {
        tool["function"]["name"]: tool["function"]["parameters"] for tool in TOOLS
    }
    names = set()
    for seed in range(60):
        grammar = grammars.of(only(TOOLS, ["LR-11111", "LR-22222"]), words=False)
        said = babble(grammar, tokenizer, seed)
        assert said.startswith(CALL)
        assert said.endswith(CALLED + END)
        call = json.loads(said.removeprefix(CALL).removesuffix(CALLED + END))
        jsonschema.validate(call["arguments"], schemas[call["name"]])
        assert call["arguments"].get("order", "LR-11111") in ("LR-11111", "LR-22222")
        names.add(call["name"])
    assert names == set(schemas)


def test_words_are_not_half_a_call(tokenizer, grammars) -> None:
    for seed in range(20):
        said = babble(grammars.of(TOOLS), tokenizer, seed)
        assert said.startswith(CALL) or CALL not in said


def test_every_right_call_can_be_said(tokenizer, grammars) -> None:
    for dialogue in draw(60, TRAINING, seed=2):
        grammar = grammars.of(TOOLS, words=False)
        text = CALL + json.dumps(dialogue.call) + CALLED + END
        for token in tokenizer.encode(text, add_special_tokens=False):
            assert grammar.allowed()[token], text
            grammar.take(token)


def test_without_an_order_number_there_is_nothing_to_pay_back() -> None:
    names = [tool["function"]["name"] for tool in only(TOOLS, [])]
    assert names == ["triage"]
    assert "enum" not in json.dumps(TOOLS[0])  # the tools themselves are as they were


def test_a_schema_that_cannot_be_kept_is_refused(tokenizer) -> None:
    broken = [json.loads(json.dumps(TOOLS[0]))]
    broken[0]["function"]["parameters"] = {"type": "no such type"}
    with pytest.raises(ValueError, match="No grammar"):
        Grammars(tokenizer).of(broken)


def test_the_rules_name_every_tool() -> None:
    for tool, words in itertools.product(TOOLS, (True, False)):
        assert tool["function"]["name"] in rules(TOOLS, words)
