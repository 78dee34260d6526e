"""An agent that knows nothing of crashes: it begins at the top each time, and a log answers for it.

What was asked of the world is in the log with its answer. Begun again, the agent asks the same, is answered
by the log as far as that goes, and by the world from there on. A question without an answer is asked once
more, word for word, its key included.
"""

import json
import os
import re
import uuid

REASONS = ("damaged", "late", "wrong_item", "unwanted")
LIMIT = 10_000  # cents


class NotDone(Exception):
    pass


class Paused(Exception):
    pass


class Log:
    """Questions and answers, one JSON object a line, in the order in which they came up."""

    def __init__(self, path):
        self.file = path.open("a+")
        self.file.seek(0)
        lines = self.file.read().splitlines(keepends=True)
        self.lines = [json.loads(line) for line in lines if line.endswith("\n")]
        self.next = 0

    def once(self, question, answer):
        """What was answered to the next question; `question` and `answer` make new ones."""
        asked = self.line() or self.write({"asked": question()})
        answered = self.line() or self.write({"answered": answer(asked["asked"])})
        return answered["answered"]

    def line(self):
        if self.next == len(self.lines):
            return None
        self.next += 1
        return self.lines[self.next - 1]

    def write(self, line):
        self.file.write(json.dumps(line) + "\n")
        self.file.flush()
        os.fsync(self.file.fileno())
        self.lines.append(line)
        self.next += 1
        return line


class World:
    """The desk, the model and the passing of time, as the log has them."""

    def __init__(self, desk, model, log):
        self.desk, self.model, self.log = desk, model, log

    def call(self, tool, **arguments):
        def keyed():
            if tool.startswith("look_up"):
                return arguments
            return {**arguments, "key": str(uuid.uuid4())}

        return self.answered(keyed, lambda asked: self.desk.call(tool, asked))

    def say(self, conversation):
        return self.answered(lambda: conversation, self.model.say)

    def answered(self, question, answer):
        def patiently(asked):
            for _ in range(5):
                said = answer(asked)
                if said.get("error") != "unavailable":
                    break
            return said

        said = self.log.once(question, patiently)
        if "error" in said:
            raise NotDone(said["message"])
        return said

    def pause(self):
        """Leave the ticket alone once; the next time, go on from here."""
        if self.log.line() is None:
            self.log.write({"paused": True})
            raise Paused


def handle(ticket, desk, model, state):
    log = Log(state / "log.jsonl")
    try:
        serve(ticket, World(desk, model, log))
    except Paused:
        return "waiting"
    finally:
        log.file.close()
    return "done"


def serve(ticket, world):
    held = None
    try:
        wish, order, reason = understand(ticket, world)
        if wish == "person":
            world.call("hand_over", why=reason)
            return
        if wish == "where":
            world.call("reply", text=f"{order['status']} since/until {order['day']}")
            return
        number = order["order"]
        if order["status"] == "packed":
            held = number
            world.call("hold", order=number)
        if order["cents"] > LIMIT and not approved(number, world):
            if held:
                world.call("release", order=held)
            world.call("reply", text="We cannot refund this order.")
            return
        paid = world.call("refund", order=number, reason=reason)
    except NotDone as problem:
        if held:
            world.call("release", order=held)
        world.call("hand_over", why=str(problem))
        return
    world.call("reply", text=f"Refunded: {paid['refunded']} euros.")


def approved(number, world):
    world.call("ask_approval", order=number)
    while (said := world.call("look_up_approval", order=number)["state"]) == "waiting":
        world.pause()
    return said == "granted"


def understand(ticket, world):
    """What the customer wants, their order, and why; the model proposes, this disposes."""
    named = set(re.findall(r"\bLR-\d{5}\b", ticket["message"]))
    rules = "You are the desk's assistant. Call one tool at a time."
    conversation = [
        {"role": "system", "content": rules},
        {"role": "user", "content": ticket["message"]},
    ]
    order = None
    for _ in range(8):
        message = world.say(conversation)["choices"][0]["message"]
        conversation = [*conversation, message]
        calls = message.get("tool_calls") or []
        if not calls:
            if order and not re.search("(?i)refund|money", ticket["message"]):
                return "where", order, ""
            told = "You have called no tool, so nothing is done."
            conversation = [*conversation, {"role": "user", "content": told}]
        for call in calls:
            function = call["function"]
            try:
                arguments = json.loads(function["arguments"])
                number = arguments.get("order")
            except (ValueError, AttributeError):
                number, arguments = None, {}
            tool = function["name"]
            if tool == "hand_over":
                return "person", None, "Not for the agent."
            result = {"error": f"{tool} cannot be called like this."}
            if tool in ("look_up_order", "refund") and number in named:
                order = world.call("look_up_order", order=number)
                if order["customer"] != ticket["customer"]:
                    return "person", None, "Not the customer's order."
                if tool == "refund" and arguments.get("reason") in REASONS:
                    return "refund", order, arguments["reason"]
                if tool == "look_up_order":
                    result = order
            answer = {"role": "tool", "content": json.dumps(result)}
            conversation = [*conversation, {**answer, "tool_call_id": call["id"]}]
    return "person", None, "The model finds no end."
