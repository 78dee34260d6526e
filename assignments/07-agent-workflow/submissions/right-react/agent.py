"""The loop that everybody begins with: ask the model, make its calls, ask again. The tools know the rules."""

import json
import re

REASONS = ("damaged", "late", "wrong_item", "unwanted")
LIMIT = 10_000  # cents
STEPS = 8  # calls of the model


class Waiting(Exception):
    pass


class Stuck(Exception):
    """A person has to go on from here."""


class Conversation:
    """All that was said and done so far, in a file that is never half written."""

    def __init__(self, ticket, folder):
        self.path = folder / "conversation.json"
        message = {"role": "user", "content": ticket["message"]}
        self.now = {"messages": [message], "steps": 0, "done": {}, "stuck": ""}
        if self.path.exists():
            self.now = json.loads(self.path.read_text())

    def save(self, **changes):
        self.now |= changes
        new = self.path.with_suffix(".part")
        new.write_text(json.dumps(self.now))
        new.rename(self.path)

    def say(self, message):
        self.save(messages=[*self.now["messages"], message])


class Tools:
    """What the model may call, and what that does by the rules."""

    def __init__(self, ticket, desk, conversation):
        self.ticket, self.desk, self.conversation = ticket, desk, conversation

    def call(self, tool, arguments):
        for _ in range(5):
            answer = self.desk.call(tool, arguments)
            if "error" not in answer:
                return answer
            if answer["error"] == "refused":
                break
        raise Stuck(f"{tool}: {answer['message']}")

    def effect(self, tool, **arguments):
        done = self.conversation.now["done"]
        if tool not in done:
            key = f"{self.ticket['id']}#{tool}"
            answer = self.call(tool, {**arguments, "key": key})
            self.conversation.save(done={**done, tool: answer})
        return self.conversation.now["done"][tool]

    def use(self, name, text):
        """The result of a call by the model, for the model to read."""
        try:
            arguments = json.loads(text)
            number = str(arguments.get("order"))
        except (ValueError, AttributeError):
            return {"error": "Send a JSON object."}
        if name == "hand_over":
            raise Stuck("The model gave up.")
        if name not in ("look_up_order", "refund"):
            return {"error": f"{name} is not a tool."}
        if number not in re.findall(r"LR-\d{5}(?!\d)", self.ticket["message"]):
            return {"error": "That order is none of the customer's concern."}
        order = self.call("look_up_order", {"order": number})
        if order["customer"] != self.ticket["customer"]:
            raise Stuck("An order of somebody else.")
        if name == "look_up_order":
            self.conversation.save(order=order)
            return order
        if arguments.get("reason") not in REASONS:
            return {"error": f"Give one of {', '.join(REASONS)} as reason."}
        return self.refund(order, arguments["reason"])

    def refund(self, order, reason):
        number = order["order"]
        if order["status"] == "packed":
            self.effect("hold", order=number)
        if order["cents"] > LIMIT:
            self.effect("ask_approval", order=number)
            state = self.call("look_up_approval", {"order": number})["state"]
            if state == "waiting":
                raise Waiting
            if state != "granted":
                self.conversation.save(denied=True)
                return {"error": "A person has denied it."}
        return self.effect("refund", order=number, reason=reason)


def handle(ticket, desk, model, state):
    conversation = Conversation(ticket, state)
    tools = Tools(ticket, desk, conversation)
    try:
        if not conversation.now["stuck"]:
            talk(conversation, tools, model)
    except Waiting:
        return "waiting"
    except Stuck as problem:
        conversation.save(stuck=str(problem))
    end(ticket, conversation.now, tools)
    return "done"


def talk(conversation, tools, model):
    """Go on until the model has nothing left to call, and what it says is true."""
    while True:
        now = conversation.now
        answered = {each.get("tool_call_id") for each in now["messages"]}
        for message in now["messages"]:
            for call in message.get("tool_calls") or []:
                if call["id"] not in answered:
                    function = call["function"]
                    result = tools.use(function["name"], function["arguments"])
                    content = json.dumps(result)
                    told = {"role": "tool", "tool_call_id": call["id"]}
                    conversation.say({**told, "content": content})
        now = conversation.now
        last = now["messages"][-1]
        if last["role"] == "assistant" or now.get("denied"):
            if settled(now):
                return
            nudge = "Nothing has happened. Use a tool."
            conversation.say({"role": "user", "content": nudge})
        if now["steps"] == STEPS:
            if settled(now):
                return
            raise Stuck("The model used up its steps.")
        conversation.save(steps=now["steps"] + 1)
        conversation.say(answer(model, conversation.now["messages"]))


def answer(model, messages):
    for _ in range(5):
        completion = model.say(messages)
        if "error" not in completion:
            return completion["choices"][0]["message"]
    raise Stuck("The model is not there.")


def settled(now):
    """Whether the customer has what they asked for, or a person's no."""
    if re.search(r"refund|money", now["messages"][0]["content"], re.IGNORECASE):
        return "refund" in now["done"] or now.get("denied")
    return "order" in now


def end(ticket, now, tools):
    """The last word. It is written from what is known, not from what the model says."""
    done = now["done"]
    if "hold" in done and "refund" not in done:
        tools.effect("release", order=now["order"]["order"])
    if now["stuck"] and "refund" not in done:
        tools.effect("hand_over", why=now["stuck"])
    elif "refund" in done:
        tools.effect("reply", text=f"Refunded: {done['refund']['refunded']} euros.")
    elif now.get("denied"):
        tools.effect("reply", text="Your refund was looked at, and denied.")
    else:
        order = now["order"]
        tools.effect("reply", text=f"Status: {order['status']}, {order['day']}.")
