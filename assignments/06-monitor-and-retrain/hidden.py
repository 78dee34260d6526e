"""Further streams, drawn afresh for each grading."""

from autograder.checks import Outcome, failed, passed
from autograder.work import Work

from . import bench
from .checks import TELLS, assignment, looked, retrained, taught

FEW = 3
GRADUALLY, POLICY = 36, 20  # days


@assignment.check(
    "monitor-and-retrain/few",
    title="Is as quiet where there is little traffic",
    points=2,
    needs=TELLS,
    hidden=True,
)
def few(work: Work) -> Outcome:
    seen = [bench.watch(work, "few", number) for number in range(FEW)]
    false = sum(len(each.alarms()) for each in seen)
    days = sum(len(each.decisions) for each in seen)
    if false > FEW:
        return failed(
            f"At desks with a quarter of the traffic, where nothing happened, `watch` spoke up on {false} of "
            f"{days} days.",
            "A mean of 30 moves twice as much as one of 120. Count in standard errors.",
            said=[each.evidence() for each in seen],
        )
    return passed(f"{false} false alarms in {days} days with little traffic.")


@assignment.check(
    "monitor-and-retrain/gradual",
    title="Retrains when the model becomes worse slowly",
    points=2,
    needs=TELLS,
    hidden=True,
)
def gradual(work: Work) -> Outcome:
    return retrained(work, "gradual", GRADUALLY)


@assignment.check(
    "monitor-and-retrain/relabelled",
    title="Retrains when what is right has changed",
    points=2,
    needs=TELLS,
    hidden=True,
)
def relabelled(work: Work) -> Outcome:
    return retrained(work, "relabelled", POLICY)


@assignment.check(
    "monitor-and-retrain/mix",
    title="Does not retrain where the model is as good as ever",
    points=1,
    needs=TELLS,
    hidden=True,
)
def mix(work: Work) -> Outcome:
    seen = bench.watch(work, "mix")
    if seen.retrains():
        return failed(
            "Two intents became four times as frequent, the model was right as often as before, and `watch` "
            "wanted to retrain.",
            "That the customers' questions have changed is for somebody to look at. Whether the model has "
            "become worse is what labels say.",
            **seen.evidence(),
        )
    if not bench.watch(work, "sudden").retrains():
        return failed(
            "`watch` never wants to retrain, so that it did not here says nothing.",
            "See the check on retraining.",
        )
    return passed("A new mix of the same questions was no reason to retrain.")


@assignment.check(
    "monitor-and-retrain/fields",
    title="Looks at every field",
    points=1,
    needs=TELLS,
    hidden=True,
)
def fields(work: Work) -> Outcome:
    return looked(work, ("empty", "unknown"))


@assignment.check(
    "monitor-and-retrain/stale",
    title="Does not train on labels that no longer hold",
    points=1,
    hidden=True,
)
def stale(work: Work) -> Outcome:
    return taught(bench.train(work, "relabelled"))
