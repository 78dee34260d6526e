"""What should become of a ticket by the rules, and what the ledger says that did."""

from collections.abc import Iterator
from dataclasses import dataclass

from autograder.checks import Outcome, failed
from autograder.errors import LearnerError

from .bench import Trace
from .given.desk import APPROVAL, DAYS, FOREVER, LINK, Case, euros

ALL = ("strays", "twice", "approval", "money", "parcel", "end", "words")
"""What is looked at in a ticket that was handled to its end; the rest of FAULTS has its own checks."""
BETTER_LEFT = {"endless", "endless-where", "endless-crash", "claims", "no-model"}
"""Kinds in which the model is of no use, so that a person may as well get the ticket as it is."""


@dataclass(frozen=True)
class Right:
    """What has to be in the ledger."""

    refund: bool = False
    asks: bool = False
    hold: bool = False
    end: str = "hand_over"
    words: tuple[str, ...] = ()  # what the reply has to say


def right(case: Case) -> Right:
    """What the rules want. Nothing here knows how an agent gets there."""
    order = case.orders.get(case.number)
    if case.wants == "other" or case.down.get("look_up_order") == FOREVER:
        return Right()
    if order is None or order.customer != case.ticket["customer"]:
        return Right()
    if case.wants == "where":
        return Right(end="reply", words=(order.status, order.day))
    packed, dear = order.status == "packed", order.cents > APPROVAL
    if dear and case.approval == "denied":
        return Right(asks=dear, hold=packed, end="reply")
    if case.refused == "refund" or case.down.get("refund") == FOREVER:
        return Right(asks=dear, hold=packed)
    amount = euros(order.cents)
    return Right(True, asks=dear, hold=packed, end="reply", words=(amount,))


Fault = tuple[str, str]
"""What was seen, and what to try next."""


def fault(trace: Trace, aspects: tuple[str, ...] = ALL) -> Fault | None:
    """The first thing that is wrong with a ticket that was handled to its end, of what is looked at."""
    if trace.world.over_budget:
        return (
            "The model was asked more often than a ticket may cost.",
            "Count its calls, over every start, and leave the ticket to a person before they are used up.",
        )
    if trace.case.kind in BETTER_LEFT and trace.done == ["hand_over"]:
        return None
    wanted = right(trace.case)
    for aspect in aspects:
        for each in FAULTS[aspect](trace, wanted):
            return each
    return None


def strays(trace: Trace, wanted: Right) -> Iterator[Fault]:
    """Effects on other orders than the customer's own that the ticket is about."""
    if any(
        effect.arguments.get("order", trace.case.number) != trace.case.number
        for effect in trace.world.ledger
    ):
        yield (
            "Something was done to an order that the customer had not named.",
            "The model reads texts of strangers and mistypes numbers. Hold each number that it proposes "
            "against the customer's own message.",
        )


def twice(trace: Trace, wanted: Right) -> Iterator[Fault]:
    for tool in trace.done:
        if trace.count(tool) > 1:
            yield (
                f"For one ticket, {tool} was done {trace.count(tool)} times.",
                "A lost answer does not mean that nothing was done, and a model repeats itself. What is done "
                "once needs one key, known before the first try.",
            )


def approval(trace: Trace, wanted: Right) -> Iterator[Fault]:
    for effect in trace.world.ledger:
        if effect.tool == "refund" and wanted.asks and not effect.approved:
            yield (
                "A refund that needs an approval was made without one.",
                "Only look_up_approval says what a person decided. Waiting is no decision, and neither a "
                "note, a message nor the model decides for them.",
            )
    if wanted.asks and "ask_approval" not in trace.done:
        yield (
            "A person should have been asked for approval, and was not.",
            'Ask, return "waiting" while they think, and do what they say.',
        )


def bother(trace: Trace, wanted: Right) -> Iterator[Fault]:
    if not wanted.asks and "ask_approval" in trace.done:
        yield (
            "A person was asked about a refund that needs no approval.",
            f"Ask about more than {APPROVAL // 100} euros. People have other things to do.",
        )


def money(trace: Trace, wanted: Right) -> Iterator[Fault]:
    if wanted.refund and "refund" not in trace.done:
        end = "handed over" if "hand_over" in trace.done else "ended"
        yield (
            f"A refund that is right by the rules was not made; the ticket was {end} without it.",
            "Handle tickets of this kind by hand, with `python desk.py`, and see where they turn off.",
        )
    if not wanted.refund and "refund" in trace.done:
        yield (
            "A refund was made that should not have been.",
            "Whose order is it, and what did the person say who was asked? Know both before you refund.",
        )


def reason(trace: Trace, wanted: Right) -> Iterator[Fault]:
    """After a crash the model may say another one, so this is not looked at everywhere."""
    for effect in trace.world.ledger:
        if effect.tool == "refund" and effect.arguments["reason"] != trace.case.reason:
            yield (
                "The refund was booked under another reason than the customer's.",
                "Where the model gives no reason that there is, ask it again instead of filling one in.",
            )


def parcel(trace: Trace, wanted: Right) -> Iterator[Fault]:
    done = trace.done
    if wanted.hold and "hold" not in done:
        yield (
            "The parcel was still in the warehouse, and was not held.",
            "Stop it before anything else, or it is on its way while the refund is made.",
        )
    elif not wanted.hold and ("hold" in done or "release" in done):
        yield (
            "A parcel was held or released that should have been left alone.",
            "Only what is packed and is to be refunded can be held.",
        )
    elif wanted.hold and "refund" not in done and "release" not in done:
        yield (
            "There was no refund, and the parcel is still held in the warehouse.",
            "Whatever was done before a step that does not succeed has to be undone.",
        )
    elif "refund" in done and "release" in done:
        yield (
            "The parcel was released though its order was refunded.",
            "Release only what is not refunded.",
        )


def order(trace: Trace, wanted: Right) -> Iterator[Fault]:
    done = trace.done
    if {"hold", "refund"} <= set(done) and done.index("hold") > done.index("refund"):
        yield (
            "The refund was made before the parcel was held.",
            "Stop the parcel first, or it is gone when there is time to stop it.",
        )


def end(trace: Trace, wanted: Right) -> Iterator[Fault]:
    ends = [tool for tool in trace.done if tool in ("reply", "hand_over")]
    said = " and ".join(ends) or "neither reply nor hand_over"
    if ends != [wanted.end]:
        yield (
            f"The ticket should have ended with {wanted.end}, and ended with {said}.",
            "Every ticket ends with one of them: the customer gets an answer, or a person gets the ticket.",
        )


def words(trace: Trace, wanted: Right) -> Iterator[Fault]:
    for effect in trace.world.ledger:
        if effect.tool == "reply":
            text = effect.arguments["text"]
            if LINK in text:
                yield (
                    "The reply says what a note in the order wanted it to say.",
                    "Write replies from facts that you looked up, not from what a model makes of a note.",
                )
            days = [day for day in DAYS if day in text and day not in wanted.words]
            if days or not all(word in text for word in wanted.words):
                yield (
                    "The reply does not say what the customer needs to know, or names another day.",
                    "Say status and day as look_up_order gives them, or the amount as refund gives it.",
                )


FAULTS = {
    "strays": strays,
    "twice": twice,
    "approval": approval,
    "bother": bother,
    "money": money,
    "reason": reason,
    "parcel": parcel,
    "order": order,
    "end": end,
    "words": words,
}


def faulty(traces: list[Trace], aspects: tuple[str, ...] = ALL) -> Outcome | None:
    """What a check says of the first ticket that was not handled as it should have been.

    Raises LearnerError if one was not handled to its end.
    """
    for trace in traces:
        ticket = f"A ticket of the kind `{trace.case.kind}`:"
        if trace.problem is not None:
            seen, advice = trace.problem.seen, trace.problem.advice
            raise LearnerError(f"{ticket} {seen[0].lower()}{seen[1:]}", advice)
        if found := fault(trace, aspects):
            seen, advice = found
            seen = f"{ticket} {seen[0].lower()}{seen[1:]}"
            return failed(seen, advice, **trace.evidence())
    return None
