"""The assistant's model: a Llama of a million parameters, trained in a minute, kept as any other.

The folder that `save` writes is what `transformers serve`, vLLM and KServe read: configuration, weights in
safetensors, tokenizer, chat template.
"""

import contextlib
import hashlib
import json
import random
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock
from platformdirs import user_cache_dir
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from torch.nn.functional import cross_entropy
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from triage.agent.decoding import Request, serve
from triage.agent.dialogues import TOOLS, TRAINING, Dialogue, Message, call_of, draw

USER, ORDER, ASSISTANT = "<|user|>", "<|order|>", "<|assistant|>"
TOOL, END, PAD = "<|tool|>", "<|end|>", "<|pad|>"
CALL, CALLED = "<tool_call>", "</tool_call>"
SPECIAL = [PAD, END, USER, ORDER, ASSISTANT, TOOL, CALL, CALLED]
NAMES = [tool["function"]["name"] for tool in TOOLS]
"""Of the tools, each a token: they are few and known beforehand."""
IGNORED = -100
"""The label of a token that is not learnt: all but the assistant's own."""

# region template
CHAT_TEMPLATE = """\
{%- for message in messages -%}
{%- if message.role == 'user' -%}
<|user|>{{ message.content }}<|order|>
{{- 'LR-' + message.content.split('LR-')[1][:5] if 'LR-' in message.content -}}
<|end|>
{%- elif message.role == 'tool' -%}
<|tool|>{{ message.content }}<|end|>
{%- elif message.role == 'assistant' -%}
<|assistant|>
{%- for call in message.tool_calls or [] -%}
{%- set given = call.function.arguments -%}
<tool_call>{"name": "{{ call.function.name }}", "arguments": {{
  given if given is string else given | tojson }}}</tool_call>
{%- endfor -%}
{{ message.content or '' }}<|end|>
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}<|assistant|>{%- endif -%}
"""
# endregion template

# region response
RESPONSE_TEMPLATE = {
    "defaults": {"role": "assistant"},
    "start_anchor": ASSISTANT,
    "fields": {
        "tool_calls": {
            "open": CALL,
            "close": CALLED,
            "repeats": True,
            "content": "json",
            "transform": {"type": "function", "function": "{content}"},
        },
        "content": {"close": END, "content": "text"},
    },
}
# endregion response

# region config
CONFIG = LlamaConfig(
    vocab_size=400,
    hidden_size=160,
    intermediate_size=432,
    num_hidden_layers=4,
    num_attention_heads=4,
    num_key_value_heads=2,  # two queries share a key and a value
    max_position_embeddings=4096,
    tie_word_embeddings=True,
)
# endregion config


@dataclass(frozen=True)
class Assistant:
    """A model and the tokenizer it was trained with."""

    model: LlamaForCausalLM
    tokenizer: PreTrainedTokenizerFast

    def save(self, folder: Path) -> None:
        self.model.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)

    @classmethod
    def read(cls, folder: Path) -> "Assistant":
        model = LlamaForCausalLM.from_pretrained(folder)
        return cls(model.eval(), PreTrainedTokenizerFast.from_pretrained(folder))

    def prompt(self, messages: list[Message]) -> list[int]:
        """The tokens up to the point at which the assistant speaks."""
        text = self.tokenizer.apply_chat_template(
            messages, add_generation_prompt=True, tokenize=False
        )
        return self.tokenizer.encode(text, add_special_tokens=False)


def kept() -> Path:
    """The folder of a model trained by this code, in the user's cache; the first to ask trains it."""
    here = Path(__file__).parent
    source = b"".join(
        (here / name).read_bytes() for name in ("dialogues.py", "model.py")
    )
    digest = hashlib.sha256(source).hexdigest()[:16]
    folder = Path(user_cache_dir("triage"), f"assistant-{digest}")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        if not folder.exists():
            with tempfile.TemporaryDirectory(dir=folder.parent) as unfinished:
                train().save(Path(unfinished, "assistant"))
                Path(unfinished, "assistant").rename(folder)
    return folder


def train(
    steps: int = 400, seed: int = 6, said: Callable[[int, float], None] | None = None
) -> Assistant:
    """Train a model in `steps` steps. `said` is told the loss now and then."""
    tokenizer = make_tokenizer(draw(2_000, TRAINING, seed))
    torch.manual_seed(seed)
    special = {
        "pad_token_id": tokenizer.pad_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "bos_token_id": None,
    }
    model = LlamaForCausalLM(LlamaConfig.from_dict(CONFIG.to_dict() | special))
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=1.0, betas=(0.9, 0.95), weight_decay=0.01
    )
    for step, (tokens, labels) in enumerate(lessons(tokenizer, steps, seed)):
        for group in optimizer.param_groups:
            group["lr"] = rate(step, steps)
        logits = model(tokens, use_cache=False).logits[:, :-1]
        loss = cross_entropy(
            logits.flatten(0, 1), labels[:, 1:].flatten(), ignore_index=IGNORED
        )
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if said and (step % 100 == 0 or step == steps - 1):
            said(step, loss.item())
    return Assistant(model.eval(), tokenizer)


def rate(step: int, steps: int, highest: float = 3e-3) -> float:
    """The learning rate: up in a line over the first steps, then flat, then down in a line."""
    up, down = min(1.0, (step + 1) / 30), (steps - step) / (0.5 * steps)
    return highest * min(up, down, 1.0)


Lesson = tuple[torch.Tensor, torch.Tensor]
"""Tokens, and the same with what is not to be learnt ignored; a row each."""


# region lessons
def lessons(
    tokenizer: PreTrainedTokenizerFast, steps: int, seed: int
) -> Iterator[Lesson]:
    """First to repeat what stood so many tokens before, then the desk's dialogues.

    A call repeats an order number. That is the hard part for a small model; it learns
    it best from random tokens, said twice at the distance of a call from its number.
    """
    draws, source = torch.Generator().manual_seed(seed), random.Random(seed)
    words = len(tokenizer) - len(SPECIAL) - len(NAMES)
    far, first = distance(tokenizer), steps // 4
    for _ in range(first):
        said = torch.randint(words, (24, far), generator=draws)
        yield (
            torch.cat([said, said], dim=1),
            torch.cat([torch.full_like(said, IGNORED), said], dim=1),
        )
    for step in range(steps - first):
        dialogues = draw(16, TRAINING, source.randrange(2**40))
        length = 4 if step % 4 == 0 else 2  # all of it, or up to the tool call
        yield together(tokenizer, [each.messages[:length] for each in dialogues])


# endregion lessons


def written(tokenizer: PreTrainedTokenizerFast, messages: list[Message]) -> str:
    """The conversation as the template writes it."""
    return str(tokenizer.apply_chat_template(messages, tokenize=False))


def distance(tokenizer: PreTrainedTokenizerFast) -> int:
    """Tokens from the order number behind a message to the same in the tool call."""
    message: Message = {"role": "user", "content": "Where is LR-12345?"}
    call = call_of("look_up_order", {"order": "LR-12345"})
    text = written(tokenizer, [message, {"role": "assistant", "tool_calls": [call]}])
    *_, behind, again = [
        place for place, token in enumerate(tokenizer.tokenize(text)) if token == "34"
    ]
    return again - behind


def together(
    tokenizer: PreTrainedTokenizerFast, conversations: list[list[Message]]
) -> Lesson:
    """Conversations as one rectangle, padded on the right."""
    rows = [labelled(tokenizer, messages) for messages in conversations]
    width = max(len(tokens) for tokens, _ in rows)
    padding = tokenizer.pad_token_id
    return (
        torch.tensor([t + [padding] * (width - len(t)) for t, _ in rows]),
        torch.tensor([n + [IGNORED] * (width - len(n)) for _, n in rows]),
    )


def labelled(
    tokenizer: PreTrainedTokenizerFast, messages: list[Message]
) -> tuple[list[int], list[int]]:
    """The conversation's tokens, and the same with all but the assistant's words ignored."""
    text = tokenizer.apply_chat_template(messages, tokenize=False)
    tokens = tokenizer.encode(text, add_special_tokens=False)
    speaks, listens = (
        tokenizer.convert_tokens_to_ids(ASSISTANT),
        tokenizer.convert_tokens_to_ids(END),
    )
    labels, own = [], False
    for token in tokens:
        labels.append(token if own else IGNORED)
        if token == speaks:
            own = True
        elif token == listens:
            own = False
    return tokens, labels


def make_tokenizer(dialogues: list[Dialogue]) -> PreTrainedTokenizerFast:
    """A byte-pair encoding learnt from the dialogues, in which two digits are a token."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r"\d{1,2}"), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=CONFIG.vocab_size - len(SPECIAL) - len(NAMES), show_progress=False
    )
    texts = [f"{number:02}" for number in range(100)] * 500
    for dialogue in dialogues:
        for message in dialogue.messages:
            texts.append(message.get("content") or json.dumps(dialogue.call))
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.add_special_tokens(SPECIAL[:6])
    tokenizer.add_tokens([*SPECIAL[6:], *NAMES])
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token=PAD, eos_token=END
    )
    wrapped.chat_template = CHAT_TEMPLATE
    wrapped.response_template = RESPONSE_TEMPLATE
    return wrapped


# region exact
def exact_match(assistant: Assistant, dialogues: Sequence[Dialogue]) -> np.ndarray:
    """For each dialogue, whether the model makes the right call, to the last digit."""
    requests = [
        Request(
            assistant.prompt(each.messages[:1]), 48, assistant.tokenizer.eos_token_id
        )
        for each in dialogues
    ]
    serve(assistant.model, requests, slots=32)
    return np.array(
        [
            called(assistant, request) == each.call
            for request, each in zip(requests, dialogues, strict=True)
        ]
    )


# endregion exact


def called(assistant: Assistant, request: Request) -> Message | None:
    """The tool call in an answer, as the server would find it; None if there is none."""
    said = words(assistant, request)
    body, _, rest = said.removeprefix(CALL).partition(CALLED)
    if said.startswith(CALL) and not rest:
        with contextlib.suppress(json.JSONDecodeError):
            made = json.loads(body)
            if isinstance(made, dict) and made.keys() == {"name", "arguments"}:
                return made
    return None


def words(assistant: Assistant, request: Request) -> str:
    """An answer as text."""
    said = assistant.tokenizer.decode(request.answer, skip_special_tokens=True)
    return str(said).strip()
