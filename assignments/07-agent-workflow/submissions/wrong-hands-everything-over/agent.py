"""An agent that makes no mistake, since it does nothing."""


def handle(ticket, desk, model, state):
    key = f"{ticket['id']}/hand_over"
    answer = {"error": "unavailable"}
    while "error" in answer:
        answer = desk.call("hand_over", {"why": "Not sure.", "key": key})
    return "done"
