"""What else is looked at: the learner's functions on fresh data, and runs picked by lot."""

from autograder.checks import Outcome, failed, passed
from autograder.work import Work

from . import functions, store
from .checks import READ, all_true, assignment

PICKED = 2


@assignment.check(
    "track-and-register/no-false-alarm",
    title="Lets pass what only resembles",
    points=1,
    hidden=True,
)
def no_false_alarm(work: Work) -> Outcome:
    for case, places in functions.answers(work, "no-false-alarm"):
        missed, extra = functions.missed_and_extra(case, places)
        if missed or extra:
            return failed(
                f"Among messages that resemble each other, `copies` missed {len(missed)} that are equal and "
                f"named {len(extra)} that are not.",
                "Another number, one word more or another order makes another message. What stands in train "
                "twice and not in test is no leak.",
                named=[
                    case.train[at]
                    for at in sorted(extra)
                    if at in range(len(case.train))
                ],
                missed=[case.train[at] for at in sorted(missed)],
            )
    return passed("Messages that only resemble each other were let pass.")


@assignment.check(
    "track-and-register/other-columns",
    title="Finds other columns that tell",
    points=1,
    hidden=True,
)
def other_columns(work: Work) -> Outcome:
    for case, columns in functions.answers(work, "other-columns"):
        outcome = functions.named_columns(case, columns)
        if outcome.share < 1:
            return outcome
    return passed("On data nobody had seen, `telling` named the right columns.")


@assignment.check(
    "track-and-register/odd-runs",
    title="Copes with runs that came to nothing",
    points=1,
    hidden=True,
)
def odd_runs(work: Work) -> Outcome:
    return functions.chosen(functions.answers(work, "odd-runs"))


@assignment.check(
    "track-and-register/true-throughout",
    title="States true figures in every run",
    points=1,
    needs=READ,
    hidden=True,
)
def true_throughout(work: Work) -> Outcome:
    found = work.shared(store.opened)
    _, runs = found.comparable
    registered = [version.found for version in found.versions.values()]
    others = [run for run in runs if run not in registered]
    picked = work.random.sample(others, min(PICKED, len(others)))
    if not picked:
        return failed(
            "There is no comparable run beside those that were registered.",
            "Keep the runs you compared with; they are the evidence.",
        )
    return all_true(picked)
