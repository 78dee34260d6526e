"""Rules where rules suffice; the model is asked only what a customer means if no rule knows."""

import json
import re
import sqlite3
from contextlib import closing

LIMIT = 10_000
WORDS = {
    "damaged": "broken|hole|torn|damaged|scratch",
    "late": r"\blate\b|too late|week late",
    "wrong_item": "wrong|something else",
    "unwanted": "changed my mind|do not need|gift|unused|do not like",
}
WHERE = r"where|when|status|shipped|arrive|news|on its way"


def handle(ticket, desk, model, state):
    with closing(sqlite3.connect(state / "ticket.db", isolation_level=None)) as facts:
        facts.execute(
            "CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT)"
        )

        def once(name, make):
            """A fact, made when it is needed first."""
            found = facts.execute("SELECT value FROM facts WHERE name = ?", [name])
            if row := found.fetchone():
                return json.loads(row[0])
            value = make()
            facts.execute("INSERT INTO facts VALUES (?, ?)", [name, json.dumps(value)])
            return value

        def call(tool, **arguments):
            answer = {}
            for _ in range(5):
                answer = desk.call(tool, arguments)
                if answer.get("error") != "unavailable":
                    return answer
            return answer

        def act(tool, **arguments):
            key = f"{ticket['id']}:{tool}"
            return once(tool, lambda: call(tool, **arguments, key=key))

        return serve(ticket, model, once, call, act)


def serve(ticket, model, once, call, act):
    """ "waiting", or "done". Each `once` and `act` is a step that is never taken twice."""
    numbers = re.findall(r"LR-\d{5}(?!\d)", ticket["message"])
    if len(numbers) != 1:
        return person(act, "No order, or several.")
    [number] = numbers
    wish = once("wish", lambda: understood(ticket["message"], model))
    order = once("order", lambda: call("look_up_order", order=number))
    if "error" in order or order["customer"] != ticket["customer"] or not wish:
        return person(act, "There is nothing that I may do here.")
    if wish == "where":
        act("reply", text=f"{number}: {order['status']} ({order['day']})")
        return "done"

    held = order["status"] == "packed" and "error" not in act("hold", order=number)

    def undo():
        if held:
            act("release", order=number)

    if order["status"] == "packed" and not held:
        return person(act, "The parcel cannot be stopped.")
    if order["cents"] > LIMIT:
        asked = act("ask_approval", order=number)
        state = call("look_up_approval", order=number).get("state")
        if state == "waiting":
            return "waiting"
        if "error" in asked or state not in ("granted", "denied"):
            undo()
            return person(act, "Nobody could be asked.")
        if state == "denied":
            undo()
            act("reply", text="This could not be approved, and is not refunded.")
            return "done"
    paid = act("refund", order=number, reason=wish)
    if "error" in paid:
        undo()
        return person(act, f"The refund was not made: {paid['message']}")
    act("reply", text=f"{paid['refunded']} euros are on their way to you.")
    return "done"


def person(act, why):
    act("hand_over", why=why)
    return "done"


def understood(message, model):
    """ "where", a reason for a refund, or "" for whatever else."""
    if re.search("refund|money", message, re.IGNORECASE):
        for reason, words in WORDS.items():
            if re.search(words, message, re.IGNORECASE):
                return reason
        return proposed(message, model)
    return "where" if re.search(WHERE, message, re.IGNORECASE) else ""


def proposed(message, model):
    """The reason that the model would give, if it is one."""
    conversation = [{"role": "user", "content": message}]
    for _ in range(6):
        answer = model.say(conversation)
        for choice in answer.get("choices", []):
            for call in choice["message"].get("tool_calls") or []:
                found = re.search("|".join(WORDS), call["function"]["arguments"])
                if found and call["function"]["name"] == "refund":
                    return found[0]
            conversation.append(choice["message"])
    return ""
