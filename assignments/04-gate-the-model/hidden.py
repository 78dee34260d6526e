"""The other candidates: drawn afresh for each grading, like the champion and the messages."""

from autograder.checks import Outcome, failed, partly, passed
from autograder.errors import LearnerError
from autograder.work import Work

from . import bench
from .checks import DECIDES, assignment

BAD = (
    *("worse", "overfitted", "worse-intent", "worse-style", "overconfident"),
    *("unknown-intent", "no-number", "slow", "cut-off", "misfit"),
)


def judged(work: Work, kinds: tuple[str, ...], who: str, advice: str) -> Outcome:
    """Points for each candidate whose run has the right colour. `who`: what they have in common."""
    tried = [bench.trial(work, kind) for kind in kinds]
    right = sum(trial.right for trial in tried)
    evidence = {"trials": [trial.evidence() for trial in tried]}
    if len(tried) == 1:
        colour = "green" if tried[0].run.green else "red"
        seen = f"The run for a candidate that {who} was {colour}."
    else:
        seen = f"Of {len(tried)} runs for candidates, each of which {who}, {right} had the right colour."
    if right == len(tried):
        return passed(seen, **evidence)
    return partly(right / len(tried), seen, advice, **evidence)


@assignment.check(
    "gate-the-model/equal",
    title="Lets through what is no worse",
    points=2,
    needs=DECIDES,
    hidden=True,
)
def equal(work: Work) -> Outcome:
    return judged(
        work,
        ("equal", "restless"),
        "is as good as the champion within the limits",
        "It need not be better, and may lose a message here or there. Refuse what is beyond a limit.",
    )


@assignment.check(
    "gate-the-model/overfitted",
    title="Stops what shines on its training data",
    points=1,
    needs=DECIDES,
    hidden=True,
)
def overfitted(work: Work) -> Outcome:
    return judged(
        work,
        ("overfitted",),
        "knows its training split by heart",
        "Judge a model by messages that it has not been trained on.",
    )


@assignment.check(
    "gate-the-model/slices",
    title="Stops what is worse for some",
    points=2,
    needs=DECIDES,
    hidden=True,
)
def slices(work: Work) -> Outcome:
    return judged(
        work,
        ("worse-intent", "worse-style"),
        "is better on the whole and far worse on one slice",
        "Compare the two models on each intent and on each style.",
    )


@assignment.check(
    "gate-the-model/calibration",
    title="Stops what is too sure of itself",
    points=1,
    needs=DECIDES,
    hidden=True,
)
def calibration(work: Work) -> Outcome:
    return judged(
        work,
        ("overconfident",),
        "is nearly certain of everything",
        "Compare the calibration errors, as the contract defines them.",
    )


@assignment.check(
    "gate-the-model/schema",
    title="Stops answers that nobody can use",
    points=1,
    needs=DECIDES,
    hidden=True,
)
def schema(work: Work) -> Outcome:
    return judged(
        work,
        ("unknown-intent", "no-number"),
        "gives answers outside the contract",
        "Look at each answer before you average: its intent must be one of the champion's, its confidence a "
        "number from 0 to 1. A comparison with NaN is false.",
    )


@assignment.check(
    "gate-the-model/latency",
    title="Stops what is too slow",
    points=1,
    needs=DECIDES,
    hidden=True,
)
def latency(work: Work) -> Outcome:
    return judged(
        work,
        ("slow",),
        "takes more than five times as long as the champion",
        "Let both models answer the same messages, and compare the times.",
    )


@assignment.check(
    "gate-the-model/damaged",
    title="Refuses a candidate that does not work",
    points=1,
    needs=("gate-the-model/tells",),
    hidden=True,
)
def damaged(work: Work) -> Outcome:
    tried = [bench.trial(work, kind) for kind in ("cut-off", "misfit")]
    found = [bench.DECISION.search(trial.run.summary) for trial in tried]
    right = sum(
        trial.right and said is not None and said[1] == "Refuse"
        for trial, said in zip(tried, found, strict=True)
    )
    evidence = {"trials": [trial.evidence() for trial in tried]}
    seen = f"{right} of {len(tried)} candidates that cannot be loaded or asked were refused."
    if right == len(tried):
        return passed(seen, **evidence)
    return partly(
        right / len(tried),
        seen,
        "That the candidate's file is damaged is the candidate's fault: decide, and say so in the summary. "
        "A traceback says that the gate is broken.",
        **evidence,
    )


@assignment.check(
    "gate-the-model/reasons",
    title="Gives the right reasons for refusing",
    points=2,
    needs=("gate-the-model/tells",),
    hidden=True,
)
def reasons(work: Work) -> Outcome:
    """Of what was rightly refused; what was let through has cost its points elsewhere."""
    wrong, count = [], 0
    for kind in BAD:
        trial = bench.trial(work, kind)
        try:
            found = bench.decision(trial.run.summary)
        except LearnerError as error:
            complaint = error.seen
        else:
            if not trial.right or found is None or found.promote:
                continue
            complaint = bench.reasons_complaint(trial, found)
        count += 1
        if complaint:
            wrong.append({"complaint": complaint, **trial.evidence()})
    if not count:
        return failed("Nothing was refused with a reason.", "See the other checks.")
    seen = f"{count - len(wrong)} of {count} refusals gave the right reasons."
    if not wrong:
        return passed(seen)
    return partly(
        1 - len(wrong) / count,
        seen,
        "Name every limit that is broken, each slice by its name, and none that is not.",
        wrong=wrong,
    )
