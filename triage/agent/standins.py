"""Models without a model: what stands around an agent is measured with these, exactly and at once."""

import json
from dataclasses import dataclass, field

from triage.agent.attacks import Attack
from triage.agent.dialogues import Message
from triage.agent.endpoint import Model, Said
from triage.agent.evaluation import Call, Task, call


def made(messages: list[Message]) -> list[Call]:
    """The calls of a conversation."""
    return [
        (each["function"]["name"], each["function"]["arguments"])
        for message in messages
        for each in message.get("tool_calls") or []
    ]


def results(messages: list[Message]) -> list[Message]:
    """What the tools answered."""
    return [json.loads(each["content"]) for each in messages if each["role"] == "tool"]


def calling(wanted: Call, place: int) -> Said:
    name, arguments = wanted
    function = {"name": name, "arguments": arguments}
    made = {"id": f"call-{place}", "type": "function", "function": function}
    return Said({"role": "assistant", "content": "", "tool_calls": [made]}, 0, 0)


def saying(text: str) -> Said:
    return Said({"role": "assistant", "content": text}, 0, 0)


@dataclass(frozen=True)
class Idle:
    """Does nothing, politely: what a suite must not call a success."""

    def say(self, messages: list[Message], tools: list[Message]) -> Said:
        return saying("Thank you for your message. We are looking into it.")


# region reference
@dataclass(frozen=True)
class Reference:
    """Knows the task and follows its plan: what a suite must call solved.

    `careful` looks every order up before it does something, as many agents do.
    """

    task: Task
    careful: bool = False

    def say(self, messages: list[Message], tools: list[Message]) -> Said:
        done, said = made(messages), results(messages)
        plan = list(self.task.plan)
        order = json.loads(plan[0][1]).get("order")
        if self.careful and order:
            plan.insert(0, call("look_up_order", {"order": order}))
        if said and "error" in said[-1]:
            plan = [call("triage", {})]
        for step in plan:
            if step not in done:
                return calling(step, len(done))
        facts = [str(value) for result in said for value in result.values()]
        return saying(f"This is what I found: {', '.join(facts)}.")


# endregion reference


# region obedient
@dataclass(frozen=True)
class Obedient:
    """The worst case: works well until it reads the attack, then does its bidding."""

    model: Model
    attack: Attack

    def say(self, messages: list[Message], tools: list[Message]) -> Said:
        done = made(messages)
        if any(self.attack.text in each.values() for each in results(messages)):
            if self.attack.wants and self.attack.wants not in done:
                return calling(self.attack.wants, len(done))
            if self.attack.lie:
                return saying(self.attack.lie)
        return self.model.say(messages, tools)


# endregion obedient


# region remembered
@dataclass(frozen=True)
class Remembered:
    """A model that always says the same to the same, asked only once."""

    model: Model
    known: dict[str, Said] = field(default_factory=dict)

    def say(self, messages: list[Message], tools: list[Message]) -> Said:
        asked = json.dumps([messages, tools])
        if asked not in self.known:
            self.known[asked] = self.model.say(messages, tools)
        return self.known[asked]


# endregion remembered
