"""What the customer is told: written by code from what the tools said, not by the model."""

import json

from triage.agent.dialogues import WHEREABOUTS
from triage.agent.loop import End, Run

PERSON = "A person reads your message now and writes to you today."


# region replies
def reply_to(state: Run) -> str:
    """The answer to a customer, from the last tool that did what it was asked to."""
    if state.ended is not End.ANSWERED:
        return PERSON
    said = [
        json.loads(message["content"])
        for message in state.messages
        if message["role"] == "tool"
    ]
    done = zip(state.calls, said, strict=True)
    for (name, arguments), result in reversed(list(done)):
        if "error" in result:
            continue
        order = json.loads(arguments).get("order")
        if name == "look_up_order":
            where = WHEREABOUTS[result["status"]].format(day=result["day"])
            return f"Order {order} {where}."
        if name == "refund":
            return f"We pay back {result['refunded']} euros for order {order}."
        if name == "triage":
            words = result["intent"].replace("_", " ")
            return f"The team for {words} has your message and writes to you today."
    return PERSON


# endregion replies
