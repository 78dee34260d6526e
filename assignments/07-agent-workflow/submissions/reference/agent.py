"""An agent that writes down what it is about to do, does it under that name, and lets rules decide."""

import json
import os
import re

REASONS = ("damaged", "late", "wrong_item", "unwanted")
APPROVAL = 10_000  # cents
ASKED = 6  # times that the model may be asked; 8 are allowed
TRIES = 5  # of a call that is not answered


class Down(Exception):
    """A system does not answer, however often it is asked."""


class Refused(Exception):
    """A system says no, and will say no again."""


class Journal:
    """What has been decided and learnt about a ticket, on disk before anything follows from it."""

    def __init__(self, folder):
        self.path = folder / "journal.json"
        self.facts = json.loads(self.path.read_text()) if self.path.exists() else {}

    def get(self, name):
        return self.facts.get(name)

    def put(self, name, value):
        self.facts[name] = value
        draft = self.path.with_suffix(".new")
        with draft.open("w") as file:
            json.dump(self.facts, file)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self.path)
        return value


class Agent:
    def __init__(self, ticket, desk, model, state):
        self.ticket, self.desk, self.model = ticket, desk, model
        self.journal = Journal(state)

    # --- tools ---

    def ask(self, tool, **arguments):
        """What a tool answers, after some tries if it must be. Raises Down or Refused."""
        for _ in range(TRIES):
            answer = self.desk.call(tool, arguments)
            if answer.get("error") != "unavailable":
                break
        if answer.get("error") == "unavailable":
            raise Down(tool)
        if "error" in answer:
            raise Refused(tool)
        return answer

    def do(self, tool, **arguments):
        """An effect, once for this ticket, however often this is called."""
        done = self.journal.get(f"done {tool}")
        if done is None:
            key = f"{self.ticket['id']}/{tool}"
            done = self.ask(tool, **arguments, key=key)
            self.journal.put(f"done {tool}", done)
        return done

    # --- the model ---

    def plan(self):
        """("where", number), ("refund", number, reason) or ("person", why), decided once."""
        return self.journal.get("plan") or self.journal.put("plan", self.decide())

    def decide(self):
        conversation = [{"role": "user", "content": self.ticket["message"]}]
        order = None
        for _ in range(ASKED):
            message = self.next_message(conversation)
            if message is None:
                return ["person", "The model is out of order."]
            calls = message.get("tool_calls") or []
            if not calls:
                if order is not None and not self.wants_money():
                    return ["where", order["order"]]
                calls = [None]
            conversation.append(message)
            for call in calls:
                name, arguments, complaint = self.read(call)
                result = {"error": complaint}
                if not complaint and name == "hand_over":
                    return ["person", "The model would not handle it."]
                if not complaint and name == "refund":
                    return ["refund", arguments["order"], arguments["reason"]]
                if not complaint:
                    order = self.order(arguments["order"])
                    if order is None:
                        return ["person", "There is no such order of this customer."]
                    shown = ("order", "item", "status", "day")
                    result = {field: order[field] for field in shown}
                if call is None:
                    told = {"role": "user", "content": complaint}
                else:
                    told = {"role": "tool", "content": json.dumps(result)}
                    told["tool_call_id"] = call["id"]
                conversation.append(told)
        return ["person", "The model came to no end."]

    def next_message(self, conversation):
        for _ in range(TRIES):
            answer = self.model.say(conversation)
            if "error" not in answer:
                return answer["choices"][0]["message"]
        return None

    def wants_money(self):
        return bool(re.search(r"refund|money", self.ticket["message"], re.I))

    def read(self, call):
        """Tool, arguments, and what is wrong with them: a model's call is somebody's text."""
        if call is None:
            return "", {}, "Nothing has been done yet. Call a tool."
        name = call["function"]["name"]
        if name not in ("look_up_order", "refund", "hand_over"):
            return name, {}, f"There is no {name}."
        try:
            arguments = json.loads(call["function"]["arguments"])
        except ValueError:
            return name, {}, "The arguments are not JSON."
        if not isinstance(arguments, dict):
            return name, {}, "The arguments are not an object."
        if name == "hand_over":
            return name, arguments, ""
        mentioned = re.findall(r"LR-\d{5}(?!\d)", self.ticket["message"])
        if arguments.get("order") not in mentioned:
            return name, arguments, "The customer did not name that order."
        if name == "refund" and arguments.get("reason") not in REASONS:
            return name, arguments, f"A reason is one of {', '.join(REASONS)}."
        return name, arguments, ""

    # --- the rules ---

    def order(self, number):
        """The order, if it is this customer's."""
        try:
            found = self.ask("look_up_order", order=number)
        except Refused:
            return None
        return found if found["customer"] == self.ticket["customer"] else None

    def handle(self):
        try:
            what, *about = self.plan()
            if what == "person":
                return self.person(about[0])
            order = self.journal.get("order") or self.journal.put(
                "order", self.order(about[0])
            )
            if order is None:
                return self.person("There is no such order of this customer.")
            if what == "where":
                return self.tell(f"It is {order['status']}, {order['day']}.")
            return self.refund(order, about[1])
        except (Down, Refused) as problem:
            return self.give_up(problem)

    def refund(self, order, reason):
        number = order["order"]
        if self.journal.get("given up"):
            return self.give_up(self.journal.get("given up"))
        if order["status"] == "packed":
            self.do("hold", order=number)
        if order["cents"] > APPROVAL:
            self.do("ask_approval", order=number)
            state = self.ask("look_up_approval", order=number)["state"]
            if state == "waiting":
                return "waiting"
            if state != "granted":
                self.let_go()
                return self.tell("We are sorry, this order cannot be refunded.")
        paid = self.do("refund", order=number, reason=reason)["refunded"]
        return self.tell(f"We have refunded {paid} euros.")

    def give_up(self, problem):
        """Undo what was done by half, and leave the ticket to a person."""
        self.journal.put("given up", str(problem))
        self.let_go()
        return self.person(f"It did not go through: {problem}.")

    def let_go(self):
        order = self.journal.get("order")
        if order and order["status"] == "packed":
            self.do("release", order=order["order"])

    def tell(self, text):
        self.do("reply", text=text)
        return "done"

    def person(self, why):
        self.do("hand_over", why=why)
        return "done"


def handle(ticket, desk, model, state):
    return Agent(ticket, desk, model, state).handle()
