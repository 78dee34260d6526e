"""The agent as a LangGraph graph: a checkpoint after each step, an interrupt while a person thinks."""

import json
import re
from typing import Any, TypedDict

from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command, interrupt

REASONS = ("damaged", "late", "wrong_item", "unwanted")
APPROVAL = 10_000  # cents
CALLS = 7  # of the model
TRIES = 5


class State(TypedDict, total=False):
    messages: list[dict[str, Any]]
    calls: int
    order: dict[str, Any]
    reason: str
    held: bool
    text: str
    why: str


class NotDone(Exception):
    pass


def graph(ticket, desk, model, saver):
    """Nodes do one thing each, so that a crash repeats one thing at most, under the same key."""

    def call(tool, **arguments):
        for _ in range(TRIES):
            answer = desk.call(tool, arguments)
            if answer.get("error") != "unavailable":
                break
        if "error" in answer:
            raise NotDone(f"{tool}: {answer['message']}")
        return answer

    def effect(tool, **arguments):
        return call(tool, **arguments, key=f"{tool} for {ticket['id']}")

    def to_a_person(why):
        return Command(goto="release", update={"why": why})

    def guarded(node):
        def run(state):
            try:
                return node(state)
            except NotDone as problem:
                return to_a_person(str(problem))

        return run

    def ask_model(state):
        if state["calls"] >= CALLS:
            return to_a_person("The model came to no end.")
        for _ in range(TRIES):
            completion = model.say(state["messages"])
            if "error" not in completion:
                break
        else:
            return to_a_person("The model is out.")
        message = completion["choices"][0]["message"]
        update = {
            "messages": [*state["messages"], message],
            "calls": state["calls"] + 1,
        }
        return Command(goto="read", update=update)

    def read(state):
        """What the model proposes, held against the customer's message and the rules."""
        last = state["messages"][-1]
        answers = []
        order = state.get("order")
        for proposed in last.get("tool_calls") or []:
            name = proposed["function"]["name"]
            arguments = arguments_of(proposed["function"]["arguments"])
            number = arguments.get("order")
            if name == "hand_over":
                return to_a_person("The model does not know what to do.")
            if name not in ("look_up_order", "refund"):
                answer = {"error": f"unknown tool {name}"}
            elif not isinstance(number, str) or number not in named(ticket):
                answer = {"error": "not an order that the customer named"}
            else:
                order = order or call("look_up_order", order=number)
                if order["customer"] != ticket["customer"]:
                    return to_a_person("The order is somebody else's.")
                if name == "refund" and arguments.get("reason") in REASONS:
                    update = {"order": order, "reason": arguments["reason"]}
                    return Command(goto="hold", update=update)
                answer = (
                    order if name == "look_up_order" else {"error": "no such reason"}
                )
            content = json.dumps(answer)
            told = {"role": "tool", "tool_call_id": proposed["id"], "content": content}
            answers.append(told)
        if not answers:
            if order and not wants_money(ticket):
                text = f"Your {order['item']}: {order['status']}, {order['day']}."
                return Command(goto="reply", update={"text": text})
            answers.append(
                {"role": "user", "content": "No tool was called. Try again."}
            )
        update = {"messages": [*state["messages"], *answers]}
        if order:
            update["order"] = order
        return Command(goto="ask_model", update=update)

    def hold(state):
        order = state["order"]
        if order["status"] == "packed":
            effect("hold", order=order["order"])
            return Command(goto="ask_person", update={"held": True})
        return Command(goto="ask_person")

    def ask_person(state):
        if state["order"]["cents"] <= APPROVAL:
            return Command(goto="refund")
        effect("ask_approval", order=state["order"]["order"])
        return Command(goto="hear_person")

    def hear_person(state):
        said = call("look_up_approval", order=state["order"]["order"])["state"]
        if said == "waiting":
            return Command(goto="pause")
        if said == "granted":
            return Command(goto="refund")
        text = "A colleague looked at your request and could not agree to it."
        return Command(goto="release", update={"text": text})

    def pause(state):
        interrupt("A person is asked.")
        return Command(goto="hear_person")

    def refund(state):
        number, reason = state["order"]["order"], state["reason"]
        paid = effect("refund", order=number, reason=reason)
        text = f"You get {paid['refunded']} euros back."
        return Command(goto="reply", update={"text": text})

    def release(state):
        if state.get("held"):
            effect("release", order=state["order"]["order"])
        return Command(goto="reply" if "text" in state else "hand_over")

    def reply(state):
        effect("reply", text=state["text"])
        return Command(goto=END)

    def hand_over(state):
        effect("hand_over", why=state["why"])
        return Command(goto=END)

    builder = StateGraph(State)
    for node in (ask_model, read, hold, ask_person, hear_person, refund):
        builder.add_node(node.__name__, guarded(node))
    for node in (pause, release, reply, hand_over):
        builder.add_node(node.__name__, node)
    builder.add_edge(START, "ask_model")
    return builder.compile(checkpointer=saver)


def named(ticket):
    return re.findall(r"LR-\d{5}(?!\d)", ticket["message"])


def wants_money(ticket):
    return re.search("refund|money", ticket["message"], re.IGNORECASE)


def arguments_of(text):
    try:
        arguments = json.loads(text)
    except ValueError:
        return {}
    return arguments if isinstance(arguments, dict) else {}


def handle(ticket, desk, model, state):
    config = {"configurable": {"thread_id": ticket["id"]}, "recursion_limit": 60}
    with SqliteSaver.from_conn_string(str(state / "graph.db")) as saver:
        agent = graph(ticket, desk, model, saver)
        so_far = agent.get_state(config)
        first = {"role": "user", "content": ticket["message"]}
        go = {"messages": [first], "calls": 0}
        if so_far.values:
            go = Command(resume=True) if so_far.interrupts else None
        result = agent.invoke(go, config, durability="sync")
    return "waiting" if "__interrupt__" in result else "done"
