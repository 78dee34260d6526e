"""Your agent. The contract is in the notebook, and desk.py has tickets to try it on."""


def handle(ticket, desk, model, state):
    """Handle a ticket to its end, or return "waiting" while a person thinks about it.

    `state` is a folder (a pathlib.Path). What you write there is there again when you are called again for
    the same ticket, after a wait or because the process was killed; nothing else is.
    """
    raise NotImplementedError
