"""What learners can check while they work. The contract itself is in the notebook."""

from autograder.checks import Assignment, Outcome, passed
from autograder.work import Work

from .bench import Trace, trace
from .rules import ALL, faulty

assignment = Assignment(
    "agent-workflow",
    title="Let an agent handle tickets, whatever happens meanwhile",
    submits=("agent.py",),
    given=("07-agent-workflow/given/desk.py",),
    seconds=600,
)
ANSWERS = ("agent-workflow/answers",)
OUTCOMES = ("agent-workflow/outcomes",)


def traces(work: Work, *kinds: str) -> list[Trace]:
    return [trace(work, kind) for kind in kinds]


@assignment.check("agent-workflow/answers", title="Says where an order is", points=1)
def answers(work: Work) -> Outcome:
    seen = [trace(work, "where", number) for number in range(2)]
    return faulty(seen) or passed(
        "Two customers asked where their order is, and both were told."
    )


@assignment.check(
    "agent-workflow/outcomes",
    title="Does what customers want, and leaves the rest to people",
    points=2,
    needs=ANSWERS,
)
def outcomes(work: Work) -> Outcome:
    return faulty(traces(work, "refund", "other")) or passed(
        "A refund was made, and what is no business of the agent's went to a person."
    )


@assignment.check(
    "agent-workflow/parcel",
    title="Stops a parcel before it pays",
    points=1,
    needs=OUTCOMES,
)
def parcel(work: Work) -> Outcome:
    return faulty(traces(work, "packed", "shipped"), (*ALL, "order")) or passed(
        "A parcel in the warehouse was held and then paid back; one on its way was paid back."
    )


@assignment.check(
    "agent-workflow/whose",
    title="Touches no order of somebody else's",
    points=1,
    needs=OUTCOMES,
)
def whose(work: Work) -> Outcome:
    return faulty(traces(work, "stranger", "nosy", "nowhere")) or passed(
        "Tickets about somebody else's order, or none that exists, went to a person."
    )


@assignment.check(
    "agent-workflow/approval",
    title="Asks a person, and waits for the answer",
    points=2,
    needs=OUTCOMES,
)
def approval(work: Work) -> Outcome:
    seen = traces(work, "refund", "approved", "late", "dear-packed")
    return faulty(seen, (*ALL, "bother")) or passed(
        "Three refunds were approved, two of them late, and made after that."
    )


@assignment.check(
    "agent-workflow/crash",
    title="Goes on where it was killed",
    points=2,
    needs=OUTCOMES,
)
def crash(work: Work) -> Outcome:
    kinds = ("crash-hold", "crash-refund", "crash-reply", "crash-approval")
    return faulty(traces(work, *kinds)) or passed(
        f"It was killed in {len(kinds)} tickets, each time at another step, and all came out right."
    )


@assignment.check(
    "agent-workflow/outage",
    title="Sits out an outage",
    points=1,
    needs=OUTCOMES,
)
def outage(work: Work) -> Outcome:
    return faulty(traces(work, "shaky", "shaky-packed")) or passed(
        "Every system was out for a while, and the tickets were handled nevertheless."
    )


@assignment.check(
    "agent-workflow/mistakes",
    title="Gets by with a model that errs",
    points=1,
    needs=OUTCOMES,
)
def mistakes(work: Work) -> Outcome:
    kinds = ("unknown-tool", "bad-arguments", "other-number", "claims", "repeats")
    return faulty(traces(work, *kinds), (*ALL, "reason")) or passed(
        f"The model erred in {len(kinds)} ways, and what was done is right."
    )
