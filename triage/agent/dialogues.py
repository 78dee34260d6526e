"""Dialogues of Larch's desk, made from templates: what a customer writes, which tool answers it.

`draw` never mixes the two sets of phrasings. A model is trained on the first and judged on the second,
with order numbers drawn afresh for both.
"""

import json
import random
from dataclasses import dataclass
from typing import Any

Message = dict[str, Any]

TRAINING, UNSEEN = "training", "unseen"

ITEMS = ["tent", "jacket", "stove", "lamp", "rucksack", "mat", "sleeping bag"]
OPENINGS = ["", "", "Hi, ", "Hello, ", "Good morning, ", "Dear Larch team, "]
CLOSINGS = ["", "", " Thanks.", " Thank you!", " Best, Kim", " Please reply soon."]
REASONS = ["damaged", "late", "wrong_item", "unwanted"]
INTENTS = [
    "account_access",
    "invoice_request",
    "product_question",
    "payment_failed",
    "warranty_repair",
    "discount_code",
]
DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"]
WHEREABOUTS = {
    "packed": "is packed and leaves our warehouse on {day}",
    "shipped": "is on its way and should arrive on {day}",
    "delivered": "was delivered on {day}",
}

# region phrasings
LOOK_UP = {
    TRAINING: [
        "where is my order {order}?",
        "where is the {item} from order {order}?",
        "when will {order} arrive?",
        "I am still waiting for order {order}. Where is it?",
        "has order {order} been shipped yet?",
        "can you tell me the status of {order}?",
        "I ordered a {item}, number {order}. When does it come?",
        "what is happening with order {order}?",
        "the tracking page for {order} shows nothing. Where is my {item}?",
        "order {order}: is it on its way?",
        "please check on order {order}, a {item}.",
        "my {item} has not come. The order is {order}.",
        "any news of {order}?",
        "is my {item} ({order}) going to arrive this week?",
    ],
    UNSEEN: [
        "could you look where {order} is?",
        "I would like to know when the {item} of order {order} comes.",
        "still no {item}. Order number {order}, what is the status?",
        "did you ship {order}?",
        "my order is {order}. Any news?",
    ],
}
# endregion phrasings
REFUND = {
    "damaged": {
        TRAINING: [
            "the {item} from order {order} arrived broken. I want my money back.",
            "order {order} came damaged, please refund it.",
            "my {item} has a hole. Refund order {order} please.",
            "I want a refund for {order}, the {item} is torn.",
            "the {item} in {order} was broken, can I have my money back?",
        ],
        UNSEEN: [
            "please refund {order}. The {item} arrived with a hole.",
            "money back for {order} please, it was torn.",
        ],
    },
    "late": {
        TRAINING: [
            "order {order} came too late for my trip. I want a refund.",
            "I want my money back for {order}, it is two weeks late.",
            "the {item} was late and I need it no more. Refund {order} please.",
            "{order} is far too late, please refund it.",
            "your delivery of {order} was late. Can I have my money back?",
        ],
        UNSEEN: [
            "please refund {order}, the {item} came a week late.",
            "my {item} is too late. I want the money for {order} back.",
        ],
    },
    "wrong_item": {
        TRAINING: [
            "you sent the wrong {item}. Please refund order {order}.",
            "I got something else, not a {item}. I want my money back for {order}.",
            "order {order} had the wrong size. Refund it please.",
            "the {item} in {order} is the wrong colour, I want a refund.",
            "wrong {item} in the parcel. Can I have my money back? Order {order}.",
        ],
        UNSEEN: [
            "order {order} was the wrong {item}, I want the money back.",
            "refund {order} please, I got the wrong colour.",
        ],
    },
    "unwanted": {
        TRAINING: [
            "I changed my mind about the {item}. Please refund {order}.",
            "I do not need the {item} after all, refund order {order} please.",
            "I sent {order} back unused. I want my money back.",
            "I do not like the {item}. Can I have my money back for {order}?",
            "{order} was a gift nobody wanted, please refund it.",
        ],
        UNSEEN: [
            "please refund order {order}, I changed my mind.",
            "I do not want the {item} after all. Money back for {order} please.",
        ],
    },
}
OTHER = {
    TRAINING: [
        "I cannot log in to my account.",
        "my password does not work, can you reset it?",
        "is the {item} waterproof?",
        "which size of {item} should I take?",
        "I need an invoice for my company.",
        "my card was declined at the checkout.",
        "the zip of my {item} broke after a year. Can you repair it?",
        "my voucher code is not accepted.",
        "do you have the {item} in green?",
        "how do I wash the {item}?",
        "I was charged twice last month.",
        "please delete my account.",
        "do you sell spare parts for a {item}?",
        "can I have a receipt by mail?",
    ],
    UNSEEN: [
        "the checkout says my card was declined.",
        "I forgot my password.",
        "do you have a {item} in size L?",
        "can you repair a {item}?",
        "how waterproof is your {item}?",
        "where do I find my invoice?",
    ],
}
FAILURES = {
    TRAINING: [
        "There is no order {order}.",
        "Order {order} was paid back already.",
        "Order {order} cost {amount} euros; over 100 a person must approve.",
        "The warehouse does not answer.",
    ],
    UNSEEN: [
        "Order {order} belongs to somebody else.",
        "No answer within {seconds} seconds.",
    ],
}
"""What a tool says that did not do what it was asked to; a person has to take over."""
FAILING = 0.25
"""The share of dialogues in which a tool fails."""


@dataclass(frozen=True)
class Dialogue:
    """What a customer wrote, the tool call that is right, and the conversation around it."""

    messages: list[Message]
    tool: str
    phrasing: str

    @property
    def call(self) -> Message:
        """The right tool call: a name and arguments."""
        return self.messages[1]["tool_calls"][0]["function"]


def draw(count: int, phrasings: str, seed: int) -> list[Dialogue]:
    """`count` dialogues over the three tools, from the phrasings of one set."""
    source = random.Random(seed)
    return [_one(source, phrasings) for _ in range(count)]


def order_number(source: random.Random) -> str:
    return f"LR-{source.randrange(10_000, 100_000)}"


def _one(source: random.Random, phrasings: str) -> Dialogue:
    order, item = order_number(source), source.choice(ITEMS)
    tool = source.choice(["look_up_order", "refund", "triage"])
    arguments: dict[str, str] = {}
    amount = f"{source.randrange(20, 400)}.{source.randrange(10)}0"
    if tool == "look_up_order":
        phrasing, arguments = source.choice(LOOK_UP[phrasings]), {"order": order}
        result, reply = _whereabouts(source, order)
    elif tool == "refund":
        reason = source.choice(REASONS)
        phrasing = source.choice(REFUND[reason][phrasings])
        arguments = {"order": order, "reason": reason}
        result = {"refunded": amount}
        reply = (
            f"I am sorry. I have refunded {amount} euros for order {order}. "
            "It will be on your account in three days."
        )
    else:
        phrasing = source.choice(OTHER[phrasings])
        result, reply = _handed_over(source)
    text = phrasing.format(order=order, item=item)
    opening = source.choice(OPENINGS)
    if not opening:
        text = text[0].upper() + text[1:]
    messages: list[Message] = [
        {"role": "user", "content": opening + text + source.choice(CLOSINGS)}
    ]
    if tool != "triage" and source.random() < FAILING:
        seconds = source.randrange(2, 60)
        said = source.choice(FAILURES[phrasings])
        error = said.format(order=order, amount=amount, seconds=seconds)
        messages += _called(tool, arguments, {"error": error})
        messages += _called("triage", {}, (ending := _handed_over(source))[0])
        reply = ending[1]
    else:
        messages += _called(tool, arguments, result)
    messages.append({"role": "assistant", "content": reply})
    return Dialogue(messages, tool, phrasing)


def _called(tool: str, arguments: dict[str, str], result: Message) -> list[Message]:
    return [
        {"role": "assistant", "tool_calls": [call_of(tool, arguments)]},
        {"role": "tool", "content": json.dumps(result)},
    ]


def call_of(tool: str, arguments: dict[str, str]) -> Message:
    """A tool call as the OpenAI-compatible APIs write it, but with the arguments as an object."""
    return {"type": "function", "function": {"name": tool, "arguments": arguments}}


def _handed_over(source: random.Random) -> tuple[Message, str]:
    intent = source.choice(INTENTS)
    words = intent.replace("_", " ")
    reply = (
        f"I have passed your message to the team for {words}. They will write today."
    )
    return {"intent": intent}, reply


def _whereabouts(source: random.Random, order: str) -> tuple[Message, str]:
    day = source.choice(DAYS)
    status = source.choice(["packed", "shipped", "delivered"])
    said = WHEREABOUTS[status].format(day=day)
    reply = f"Order {order} {said}. Is there anything else I can do for you?"
    return {"status": status, "day": day}, reply


# region tools
ORDER = {
    "type": "string",
    "pattern": r"^LR-\d{5}$",
    "description": "An order number, such as LR-48213",
}
TOOLS: list[Message] = [
    {
        "type": "function",
        "function": {
            "name": name,
            "description": description,
            "parameters": {
                "type": "object",
                "properties": properties,
                "required": list(properties),
                "additionalProperties": False,
            },
        },
    }
    for name, description, properties in (
        ("look_up_order", "Where an order is, and until when", {"order": ORDER}),
        (
            "refund",
            "Pay an order back",
            {"order": ORDER, "reason": {"type": "string", "enum": REASONS}},
        ),
        ("triage", "Hand the message to the team that its intent says", {}),
    )
]
# endregion tools
