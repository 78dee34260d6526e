"""Behavioural tests: what the model does to a message is tested by changing the message.

Three kinds, after Ribeiro et al. 2020, "Beyond Accuracy: Behavioral Testing of NLP Models with CheckList",
arXiv:2005.04118. Invariance: a change that means nothing must not change the answer. Direction: a change that
means something must move the answer the right way. Minimum functionality: what anybody would get right, it
gets right. No model passes every case, so each test is a rate with a threshold.
"""

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from triage.data import TICKETS, read_folder
from triage.errors import TriageError
from triage.prediction import Classifier

SAMPLE = 100
"""Messages each change is tried on, spread evenly over those given."""
FEWEST = 5
"""A change that fewer messages can be tried with is left out: one message is no rate."""
SHOWN = 3
TOLERANCE = 0.01
"""A probability that falls by less has not moved."""

NAMES = ("Emma Clarke", "Mohammed Rahman", "Oluwaseun Adeyemi", "Nguyen Thi Lan")

# region direction
PUSHES = [
    ("I want an urgent refund.", {"refund_request", "refund_status", "request_refund"}),
    ("I cannot log in.", {"account_access", "passcode_forgotten"}),
    ("Please send me the invoice.", {"invoice_request"}),
    ("My card was stolen.", {"lost_or_stolen_card"}),
]
"""A sentence put at a message's end, and the intents it speaks for."""
# endregion direction

# region plain
PLAIN = {
    # the tickets
    "order_status": ["Where is my order?", "When will my parcel be dispatched?"],
    "delivery_late": [
        "My parcel is five days late.",
        "My order should have arrived last week and it is still not here.",
    ],
    "delivered_not_received": [
        "Tracking says delivered, but I have not received anything.",
        "Your driver marked my parcel as delivered and it is not here.",
    ],
    "change_address": [
        "Please change my delivery address.",
        "I have moved. How do I update my address?",
    ],
    "cancel_order": ["Please cancel my order.", "I want to cancel before it ships."],
    "return_item": [
        "How do I return a jacket?",
        "I would like to send these boots back.",
    ],
    "exchange_item": [
        "Can I swap these boots for a larger size?",
        "I want to exchange the jacket for the blue one.",
    ],
    "refund_status": [
        "I returned the tent two weeks ago. Where is my refund?",
        "When will I get the money for the boots I sent back?",
    ],
    "refund_request": [
        "The price dropped a day after I bought it. Can I have the difference back?",
        "The service was so bad that I want some of my money back.",
    ],
    "item_damaged": [
        "The tent arrived with a hole in it.",
        "The stove was broken when I opened the box.",
    ],
    "wrong_or_missing_item": [
        "You sent me the wrong item.",
        "One of the items is missing from my parcel.",
    ],
    "warranty_repair": [
        "The zip broke after a year. Can you repair it?",
        "Is my rucksack still under warranty?",
    ],
    "payment_failed": [
        "My card was declined at checkout.",
        "My payment does not go through.",
    ],
    "charged_twice": [
        "I was charged twice for the same order.",
        "There are two payments on my statement for one order.",
    ],
    "invoice_request": [
        "Please send me an invoice.",
        "I need a VAT receipt for my order.",
    ],
    "discount_code": [
        "My discount code does not work.",
        "The voucher is rejected at checkout.",
    ],
    "account_access": ["I forgot my password.", "I cannot log in to my account."],
    "product_question": [
        "Is this jacket waterproof?",
        "What is the tent made of?",
    ],
    "out_of_scope": ["Write me a poem about the sea.", "Who won the election?"],
    # BANKING77
    "activate_my_card": ["How do I activate my card?"],
    "age_limit": ["How old do I have to be to open an account?"],
    "apple_pay_or_google_pay": ["Can I use Apple Pay?"],
    "card_arrival": ["My new card has not arrived yet."],
    "card_swallowed": ["The cash machine kept my card."],
    "change_pin": ["How do I change my PIN?"],
    "country_support": ["Which countries do you support?"],
    "edit_personal_details": ["I need to change my name on my account."],
    "exchange_rate": ["What exchange rate do you use?"],
    "lost_or_stolen_card": ["I lost my card."],
    "passcode_forgotten": ["I forgot my passcode."],
    "request_refund": ["I want a refund for something I bought."],
    "terminate_account": ["Please close my account."],
    "transaction_charged_twice": ["I was charged twice for one purchase."],
}
"""Sentences that nobody at the desk would hesitate about, by intent."""
# endregion plain


@dataclass(frozen=True)
class Result:
    """How often the model behaved, and how often it has to."""

    kind: str
    name: str
    passed: int
    cases: int
    required: float
    """Least share of cases to pass, 0 to 1."""
    failures: list[str]
    """The first few failing cases, in words."""

    @property
    def rate(self) -> float:
        return self.passed / self.cases

    @property
    def ok(self) -> bool:
        return self.rate >= self.required


# region check
def check(model: Classifier, messages: Sequence[str] | None = None) -> list[Result]:
    """Run every test that applies to the model's intents; changes are tried on `messages`.

    Without messages, on those of the tickets' test split. Raises TriageError if no plain sentence is written
    for any of the model's intents, because tests that do not run must not look passed.
    """
    if messages is None:
        messages = read_folder(TICKETS, "tickets").test["text"].tolist()
    sample, with_number = spread(messages, SAMPLE), numbered(messages)
    results = [
        minimum(model, required=0.85),
        invariance(model, "typing errors", sample, typing_errors, required=0.7),
        invariance(model, "casing", sample, casing, required=0.98),
        invariance(model, "customer's name", sample, names, required=0.6),
    ]
    if len(with_number) >= FEWEST:
        results.append(
            invariance(model, "order number", with_number, numbers, required=0.8)
        )
    results += [
        direction(model, sample, push, wanted & set(model.card.intents), required=0.95)
        for push, wanted in PUSHES
        if wanted & set(model.card.intents)
    ]
    return [result for result in results if result.cases]


# endregion check


def minimum(model: Classifier, required: float) -> Result:
    """Plain sentences whose intent nobody would argue about."""
    cases = [(t, i) for i in model.card.intents for t in PLAIN.get(i, [])]
    if not cases:
        raise TriageError(
            "No plain sentence is written for any of the model's intents. "
            "Add some to PLAIN in triage/behaviour.py."
        )
    answers = intents_of(model, [text for text, _ in cases])
    failures = [
        f"{text!r} is {intent}, taken for {answer}"
        for (text, intent), answer in zip(cases, answers, strict=True)
        if answer != intent
    ]
    return result("minimum functionality", "plain sentences", cases, failures, required)


# region invariance
def invariance(
    model: Classifier,
    name: str,
    messages: Sequence[str],
    variants: Callable[[str], list[str]],
    required: float,
) -> Result:
    """A case is a message; it passes if all its variants get the same answer."""
    groups = [variants(text) for text in messages]
    answers = iter(intents_of(model, [text for group in groups for text in group]))
    failures = []
    for group in groups:
        given = [next(answers) for _ in group]
        changed = next((k for k, answer in enumerate(given) if answer != given[0]), 0)
        if changed:
            failures.append(
                f"{given[0]} becomes {given[changed]} with {group[changed]!r}"
            )
    return result("invariance", name, groups, failures, required)


# endregion invariance


def direction(
    model: Classifier,
    messages: Sequence[str],
    push: str,
    wanted: set[str],
    required: float,
) -> Result:
    """The probability of the intents that `push` speaks for must not fall when it is added."""
    columns = [model.card.intents.index(intent) for intent in sorted(wanted)]
    pushed = [f"{text} {push}" for text in messages]
    before, after = (
        model.probabilities(texts)[:, columns].sum(axis=1)
        for texts in (messages, pushed)
    )
    failures = [
        f"{'/'.join(sorted(wanted))} falls from {before[row]:.2f} to {after[row]:.2f} with {pushed[row]!r}"
        for row in np.flatnonzero(after < before - TOLERANCE)
    ]
    return result("direction", f"+ {push!r}", pushed, failures, required)


def result(
    kind: str, name: str, cases: Sequence, failures: list[str], required: float
) -> Result:
    passed = len(cases) - len(failures)
    return Result(kind, name, passed, len(cases), required, failures[:SHOWN])


def intents_of(model: Classifier, texts: Sequence[str]) -> list[str]:
    return [prediction.intent for prediction in model.predict(texts)]


def spread(messages: Sequence[str], limit: int) -> list[str]:
    """At most `limit` of the messages, evenly spaced: every intent has its turn, and no dice are rolled."""
    step = max(len(messages) / limit, 1)
    return [messages[int(k * step)] for k in range(min(limit, len(messages)))]


# region variants
def typing_errors(text: str) -> list[str]:
    """The message, and again with two letters swapped inside its longest word."""
    words = re.findall(r"[A-Za-z]{4,}", text)
    if not words:
        return [text]
    word = max(words, key=len)
    place = random.Random(text).randrange(1, len(word) - 2)
    swapped = word[:place] + word[place + 1] + word[place] + word[place + 2 :]
    return [text, text.replace(word, swapped, 1)]


def casing(text: str) -> list[str]:
    return [text, text.lower(), text.upper()]


def names(text: str) -> list[str]:
    """The message from four customers; their names are none of the model's business."""
    return [f"Hello, this is {name}. {text}" for name in NAMES]


def numbers(text: str) -> list[str]:
    """The message, and again with another order number."""
    return [text, re.sub(r"\d{4,}", lambda found: found[0][::-1], text)]


# endregion variants


def numbered(messages: Sequence[str]) -> list[str]:
    return spread([text for text in messages if re.search(r"\d{4,}", text)], SAMPLE)
