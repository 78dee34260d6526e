"""An agent that lets rules decide, and writes down what it is about to do before it does it."""

import json
import os
import re

REASONS = ("damaged", "late", "wrong_item", "unwanted")
APPROVAL = 10_000  # cents
ASKED = 6  # times that the model is asked at most
TRIES = 5  # of a call that is not answered


class Down(Exception):
    """A system does not answer, however often it is asked."""


class Refused(Exception):
    """A system says no, and would say no again."""


class Journal:
    """What is known and decided about a ticket, on disk before anything follows from it."""

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

    def handle(self):
        """The rules. Each step that was taken before is found in the journal."""
        if problem := self.journal.get("given up"):
            return self.give_up(problem)
        try:
            what, *about = self.plan()
            if what == "person":
                return self.hand_over(about[0])
            order = self.own_order(about[0])
            if order is None:
                return self.hand_over("The customer has no such order.")
            if what == "where":
                return self.reply(f"It is {order['status']}, {order['day']}.")
            return self.refund(order, about[1])
        except (Down, Refused) as problem:
            return self.give_up(f"{type(problem).__name__}: {problem}")

    def refund(self, order, reason):
        number = order["order"]
        if order["status"] == "packed":
            self.do("hold", order=number)
        if order["cents"] > APPROVAL:
            self.do("ask_approval", order=number)
            state = self.ask("look_up_approval", order=number)["state"]
            if state == "denied":
                self.let_go()
                return self.reply("We are sorry, this order cannot be refunded.")
        paid = self.do("refund", order=number, reason=reason)["refunded"]
        return self.reply(f"We have refunded {paid} euros.")

    def give_up(self, problem):
        """Undo what was done by half, and leave the ticket to a person."""
        self.journal.put("given up", problem)
        self.let_go()
        return self.hand_over(problem)

    def let_go(self):
        if held := self.journal.get("trying hold"):
            self.do("release", order=held["order"])

    def reply(self, text):
        self.do("reply", text=text)
        return "done"

    def hand_over(self, why):
        self.do("hand_over", why=why)
        return "done"

    # --- tools ---

    def ask(self, tool, **arguments):
        """What a tool answers. Raises Down or Refused."""
        for _ in range(TRIES):
            answer = self.desk.call(tool, arguments)
            if "error" not in answer:
                return answer
            if answer["error"] == "refused":
                raise Refused(answer["message"])
        raise Down(tool)

    def do(self, tool, **arguments):
        """An effect, once for this ticket, however often this is called."""
        if done := self.journal.get(f"done {tool}"):
            return done
        tried = self.journal.get(f"trying {tool}") or self.journal.put(
            f"trying {tool}", {**arguments, "key": f"{self.ticket['id']}/{tool}"}
        )
        return self.journal.put(f"done {tool}", self.ask(tool, **tried))

    def own_order(self, number):
        """The order, if it is this customer's; looked up once."""
        if not (found := self.journal.get(f"order {number}")):
            try:
                found = self.ask("look_up_order", order=number)
            except Refused:
                return None
            self.journal.put(f"order {number}", found)
        return found if found["customer"] == self.ticket["customer"] else None

    # --- the model ---

    def plan(self):
        """["where", number], ["refund", number, reason] or ["person", why]; made once."""
        return self.journal.get("plan") or self.journal.put("plan", self.new_plan())

    def new_plan(self):
        conversation = [{"role": "user", "content": self.ticket["message"]}]
        looked_up = None
        while self.asked() < ASKED:
            message = self.next_message(conversation)
            conversation.append(message)
            calls = message.get("tool_calls") or []
            if not calls and looked_up and not self.about_money():
                return ["where", looked_up]
            if not calls:
                told = "Nothing has been done yet. Call a tool."
                conversation.append({"role": "user", "content": told})
            for call in calls:
                name, arguments, complaint = self.read(call["function"])
                result = {"error": complaint}
                if not complaint and name == "hand_over":
                    return ["person", "The model leaves it to a person."]
                if not complaint and name == "refund":
                    return ["refund", arguments["order"], arguments["reason"]]
                if not complaint:
                    order = self.own_order(arguments["order"])
                    if order is None:
                        return ["person", "The customer has no such order."]
                    looked_up = order["order"]
                    # All but the note, which a stranger wrote.
                    result = {name: order[name] for name in ("item", "status", "day")}
                content = json.dumps(result)
                conversation.append(
                    {"role": "tool", "tool_call_id": call["id"], "content": content}
                )
        return ["person", "The model came to no end."]

    def asked(self):
        return self.journal.get("asked") or 0

    def next_message(self, conversation):
        self.journal.put("asked", self.asked() + 1)
        for _ in range(TRIES):
            answer = self.model.say(conversation)
            if "error" not in answer:
                return answer["choices"][0]["message"]
        raise Down("model")

    def about_money(self):
        return re.search(r"refund|money", self.ticket["message"], re.IGNORECASE)

    def read(self, function):
        """Tool, arguments, and what is wrong with them. All of it is a text by a model."""
        name = function["name"]
        if name not in ("look_up_order", "refund", "hand_over"):
            return name, {}, f"There is no {name}."
        try:
            arguments = json.loads(function["arguments"])
        except ValueError:
            return name, {}, "The arguments are not JSON."
        if not isinstance(arguments, dict):
            return name, {}, "The arguments are not an object."
        named = re.findall(r"LR-\d{5}(?!\d)", self.ticket["message"])
        if name != "hand_over" and arguments.get("order") not in named:
            return name, arguments, "The customer did not name that order."
        if name == "refund" and arguments.get("reason") not in REASONS:
            return name, arguments, f"A reason is one of {', '.join(REASONS)}."
        return name, arguments, ""


def handle(ticket, desk, model, state):
    return Agent(ticket, desk, model, state).handle()
