"""What customers are told agrees with what was done."""

import json

import pytest

from triage.agent.loop import End, Run
from triage.agent.replies import PERSON, reply_to

ORDER = json.dumps({"order": "LR-11111"})
REFUND = ("refund", json.dumps({"order": "LR-11111", "reason": "late"}))


def run(*steps: tuple[tuple[str, str], dict], ended: End = End.ANSWERED) -> Run:
    state = Run("t", [{"role": "user", "content": "Hello"}], ended=ended)
    for call, result in steps:
        state.calls.append(call)
        state.messages.append({"role": "tool", "content": json.dumps(result)})
    state.messages.append({"role": "assistant", "content": "I paid you 99 euros."})
    return state


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        (
            [(("look_up_order", ORDER), {"status": "packed", "day": "Monday"})],
            "Order LR-11111 is packed and leaves our warehouse on Monday.",
        ),
        (
            [(REFUND, {"refunded": "25.00"})],
            "We pay back 25.00 euros for order LR-11111.",
        ),
        (
            [
                (REFUND, {"error": "A person must approve."}),
                (("triage", "{}"), {"intent": "item_damaged"}),
            ],
            "The team for item damaged has your message and writes to you today.",
        ),
        ([(REFUND, {"error": "The warehouse does not answer."})], PERSON),
        ([], PERSON),
    ],
)
def test_it_says_what_was_done(steps: list, said: str) -> None:
    assert reply_to(run(*steps)) == said


@pytest.mark.parametrize("end", [end for end in End if end is not End.ANSWERED])
def test_without_an_answer_a_person_takes_over(end: End) -> None:
    state = run((("triage", "{}"), {"intent": "item_damaged"}), ended=end)
    assert reply_to(state) == PERSON
