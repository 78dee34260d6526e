"""The assistant's folder: what it says, in its own form, and behind the API that everybody speaks."""

import json
from pathlib import Path

import httpx
import pytest
from openai import OpenAI

from triage.agent.dialogues import TOOLS, TRAINING, UNSEEN, draw
from triage.agent.model import (
    Assistant,
    distance,
    exact_match,
    kept,
    make_tokenizer,
    train,
)
from triage.agent.server import serving
from triage.errors import TriageError


@pytest.fixture(scope="module")
def tokenizer():
    return make_tokenizer(draw(300, TRAINING, seed=1))


def test_the_template_takes_arguments_as_text_too(tokenizer) -> None:
    """As they come back from a client of the API."""
    for dialogue in draw(20, UNSEEN, seed=2):
        sent = json.loads(json.dumps(dialogue.messages))
        function = sent[1]["tool_calls"][0]["function"]
        function["arguments"] = json.dumps(function["arguments"])
        assert tokenizer.apply_chat_template(
            sent, tokenize=False
        ) == tokenizer.apply_chat_template(dialogue.messages, tokenize=False)


def test_text_comes_back_from_its_tokens(tokenizer) -> None:
    for dialogue in draw(20, UNSEEN, seed=3):
        text = dialogue.messages[0]["content"]
        assert tokenizer.decode(tokenizer.encode(text)) == text


def test_every_tool_is_as_far_from_the_number(tokenizer) -> None:
    """What the first lesson relies on."""
    far = distance(tokenizer)
    for dialogue in draw(50, TRAINING, seed=4):
        if "order" in dialogue.call["arguments"]:
            text = tokenizer.apply_chat_template(dialogue.messages[:2], tokenize=False)
            tokens = tokenizer.encode(text)
            behind = tokens.index(tokenizer.convert_tokens_to_ids("<|order|>")) + 1
            number = tokens[behind : behind + 5]
            assert number == tokens[behind + far : behind + far + 5]


def test_a_folder_says_what_it_said(tmp_path: Path) -> None:
    assistant = train(steps=4)
    assistant.save(tmp_path)
    again = Assistant.read(tmp_path)
    assert again.tokenizer.response_template == assistant.tokenizer.response_template
    dialogue = draw(1, UNSEEN, seed=5)[0]
    prompt = assistant.prompt(dialogue.messages[:1])
    assert again.prompt(dialogue.messages[:1]) == prompt
    for name, tensor in assistant.model.state_dict().items():
        assert tensor.equal(again.model.state_dict()[name])


def test_a_server_that_ends_is_told(tmp_path: Path) -> None:
    with pytest.raises(TriageError, match="ended"), serving(tmp_path, "--no-such-flag"):
        pass


@pytest.fixture(scope="module")
def assistant() -> Assistant:
    return Assistant.read(kept())


@pytest.mark.slow
def test_it_has_learnt_more_than_its_phrasings(assistant: Assistant) -> None:
    assert exact_match(assistant, draw(200, TRAINING, seed=9)).mean() > 0.9
    assert exact_match(assistant, draw(200, UNSEEN, seed=9)).mean() > 0.5


@pytest.mark.slow
def test_the_served_model_calls_tools(assistant: Assistant, tmp_path: Path) -> None:
    assistant.save(tmp_path / "assistant")
    dialogue = next(
        each
        for each in draw(50, TRAINING, seed=6)
        if each.tool == "look_up_order" and exact_match(assistant, [each]).all()
    )
    ask = {"model": "assistant", "tools": TOOLS, "temperature": 0, "max_tokens": 48}
    with serving(tmp_path / "assistant") as address:
        assert httpx.get(f"{address}/models").status_code == 200
        client = OpenAI(base_url=address, api_key="none")
        choice = client.chat.completions.create(
            messages=dialogue.messages[:1], **ask
        ).choices[0]
        assert choice.finish_reason == "tool_calls"
        (call,) = choice.message.tool_calls
        assert call.function.name == dialogue.call["name"]
        assert json.loads(call.function.arguments) == dialogue.call["arguments"]
        answer = [call.model_dump()]
        chunks = list(
            client.chat.completions.create(
                messages=[
                    dialogue.messages[0],
                    {"role": "assistant", "tool_calls": answer},
                    dialogue.messages[2] | {"tool_call_id": call.id},
                ],
                stream=True,
                **ask,
            )
        )
        texts = [each.choices[0].delta.content or "" for each in chunks if each.choices]
        assert sum(map(bool, texts)) > 5  # a stream, not one late answer
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{address}/models")  # and nothing is left running


@pytest.mark.slow
def test_without_a_response_template_the_call_is_text(
    assistant: Assistant, tmp_path: Path
) -> None:
    assistant.save(tmp_path / "assistant")
    path = tmp_path / "assistant" / "tokenizer_config.json"
    config = json.loads(path.read_text())
    del config["response_template"]
    path.write_text(json.dumps(config))
    message = draw(1, TRAINING, seed=6)[0].messages[0]
    with serving(tmp_path / "assistant") as address:
        said = (
            OpenAI(base_url=address, api_key="none")
            .chat.completions.create(
                model="assistant", messages=[message], temperature=0, max_tokens=48
            )
            .choices[0]
            .message
        )
    assert not said.tool_calls
    assert said.content.startswith("<tool_call>")
