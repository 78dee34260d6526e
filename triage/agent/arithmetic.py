"""What a language model takes, computed from its configuration: weights, cache, time for a token."""

from dataclasses import dataclass
from typing import Any


# region shape
@dataclass(frozen=True)
class Shape:
    """The numbers of a `config.json` that decide about memory."""

    layers: int
    hidden: int
    intermediate: int
    heads: int
    kv_heads: int
    vocabulary: int
    tied: bool = False

    @property
    def head(self) -> int:
        return self.hidden // self.heads

    @property
    def parameters(self) -> int:
        attention = 2 * self.hidden * self.head * (self.heads + self.kv_heads)
        layer = attention + 3 * self.hidden * self.intermediate + 2 * self.hidden
        words = self.vocabulary * self.hidden * (1 if self.tied else 2)
        return words + self.layers * layer + self.hidden

    def cache(self, number: float = 2) -> float:
        """Bytes of keys and values for a token, when a number takes `number` bytes."""
        return 2 * self.layers * self.kv_heads * self.head * number


# endregion shape


def shape_of(config: dict[str, Any]) -> Shape:
    """From a Llama's or Mistral's configuration, as its `config.json` has it."""
    return Shape(
        config["num_hidden_layers"],
        config["hidden_size"],
        config["intermediate_size"],
        config["num_attention_heads"],
        config["num_key_value_heads"],
        config["vocab_size"],
        config.get("tie_word_embeddings", False),
    )


@dataclass(frozen=True)
class Accelerator:
    """One card: bytes of memory, and bytes it reads from that memory in a second."""

    name: str
    memory: float
    bandwidth: float


# region bound
def places(shape: Shape, card: Accelerator, cards: int = 1, number: float = 2) -> int:
    """Tokens whose keys and values fit beside the weights, in 0.9 of the memory."""
    left = 0.9 * card.memory * cards - shape.parameters * number
    return max(0, int(left / shape.cache(number)))


def most_a_second(
    shape: Shape,
    card: Accelerator,
    requests: int,
    context: int,
    cards: int = 1,
    number: float = 2,
) -> float:
    """Tokens a second that none exceeds: a step reads all weights and all cache."""
    read = shape.parameters * number + requests * context * shape.cache(number)
    return requests * card.bandwidth * cards / read


# endregion bound
