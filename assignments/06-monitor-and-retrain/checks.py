"""What learners can check while they work. The contract itself is in the notebook."""

from autograder.checks import Assignment, Outcome, failed, passed
from autograder.work import Work

from . import bench

assignment = Assignment(
    "monitor-and-retrain",
    title="Watch a model, and teach it again when that helps",
    submits=("monitor.py",),
    given=tuple(
        f"06-monitor-and-retrain/given/{name}"
        for name in ("streams.py", "head.py", "vectors.npz")
    ),
)
ANSWERS = ("monitor-and-retrain/answers",)
TELLS = ("monitor-and-retrain/tells",)
FALSE_ALARMS = 1  # in 56 calm days
SUDDENLY = 2  # desks
NOTICED, RETRAINED = 3, 9  # days after a sudden change, its own included


@assignment.check(
    "monitor-and-retrain/answers", title="Says a word for each day", points=1
)
def answers(work: Work) -> Outcome:
    seen = bench.watch(work, "calm")
    return passed(
        f"`watch` said one of three words for each of {len(seen.decisions)} days."
    )


@assignment.check(
    "monitor-and-retrain/tells",
    title="Tells a bad month from a good one",
    points=3,
    needs=ANSWERS,
)
def tells(work: Work) -> Outcome:
    calm = bench.watch(work, "calm")
    false = len(calm.alarms())
    if false > FALSE_ALARMS:
        return failed(
            f"In eight weeks in which nothing happened, `watch` spoke up on {false} days.",
            "Mondays are different from other days, and any two samples differ. Measure how far apart calm "
            "days are, and speak up beyond that.",
            **calm.evidence(),
        )
    after = []
    for number in range(SUDDENLY):
        sudden = bench.watch(work, "sudden", number)
        noticed = sudden.alarms(sudden.change)
        if not noticed or noticed[0] - sudden.change >= NOTICED:
            return failed(
                f"New kinds of message began to come in, and `watch` said nothing for {NOTICED} days.",
                "Labels come three days late. The vectors and the confidence are there at once.",
                **sudden.evidence(),
            )
        after.append(str(noticed[0] - sudden.change + 1))
    return passed(
        f"{false} false alarms in eight calm weeks, and new messages were noticed on day "
        f"{' and '.join(after)}."
    )


@assignment.check(
    "monitor-and-retrain/ahead",
    title="Knows nothing of tomorrow",
    points=1,
    needs=TELLS,
)
def ahead(work: Work) -> Outcome:
    for kind in ("sudden", "relabelled"):
        whole = bench.watch(work, kind)
        for end in (whole.change, whole.change + 4):
            days = whole.stream["days"][:end]
            [cut] = bench.called(work, "watch", [(whole.stream["baseline"], days)])
            if cut != whole.decisions[:end]:
                return failed(
                    "`watch` says something else of the same days when it is not shown the days after them.",
                    "Decide about a day by the baseline and by days up to it, whatever comes later.",
                    **whole.evidence(),
                )
    return passed("What is said of a day does not depend on the days after it.")


@assignment.check(
    "monitor-and-retrain/broken",
    title="Has somebody look at broken data",
    points=2,
    needs=TELLS,
)
def broken(work: Work) -> Outcome:
    return looked(work, ("percent",))


def looked(work: Work, kinds: tuple[str, ...]) -> Outcome:
    """Whether broken requests are spoken of on the day they come, and never retrained on."""
    about = {
        "percent": "confidence came in per cent",
        "empty": "vectors were missing",
        "unknown": "intents came in another spelling",
    }
    for kind in kinds:
        seen = bench.watch(work, kind)
        if seen.decisions[seen.change] != "look":
            return failed(
                f"On the day from which {about[kind]} in a quarter of the requests, `watch` said "
                f"{seen.decisions[seen.change]}.",
                "Hold each request against what the baseline's look like, before you compute with it.",
                **seen.evidence(),
            )
        if seen.retrains(seen.change):
            return failed(
                f"`watch` wanted to retrain while {about[kind]}.",
                "A broken field is mended by a person. A model that learns from it learns the fault.",
                **seen.evidence(),
            )
    return passed(
        f"Broken requests were spoken of at once: {', '.join(about[k] for k in kinds)}."
    )


@assignment.check(
    "monitor-and-retrain/retrains",
    title="Retrains when the model has become worse",
    points=2,
    needs=TELLS,
)
def retrains(work: Work) -> Outcome:
    return retrained(work, "sudden", RETRAINED)


def retrained(work: Work, kind: str, days: int) -> Outcome:
    """Whether the first `retrain` since the change came within so many days, and none without one.

    One that goes by the calendar is right about some changes, and about calm weeks never.
    """
    calm, seen = bench.watch(work, "calm"), bench.watch(work, kind)
    if calm.retrains():
        return failed(
            "`watch` wanted to retrain in weeks in which nothing happened.",
            "Say retrain because of labels, and only where chance does not make as many mistakes.",
            **calm.evidence(),
        )
    early = [day for day in seen.retrains() if day < seen.change]
    later = seen.retrains(seen.change)
    if early:
        return failed(
            "`watch` wanted to retrain before anything had changed.",
            "Compare with what chance makes of as many labels.",
            **seen.evidence(),
        )
    if not later or later[0] - seen.change >= days:
        when = f"after {later[0] - seen.change + 1} days" if later else "never"
        return failed(
            f"The model had become worse, and `watch` said retrain {when}; {days} days are given.",
            "Labels say how often the model is right. Take a few days of them together, and compare with the "
            "baseline's share.",
            **seen.evidence(),
        )
    return passed(
        f"`watch` said retrain {later[0] - seen.change + 1} days after the change."
    )


@assignment.check(
    "monitor-and-retrain/rows",
    title="Trains on rows that teach the new messages",
    points=2,
)
def rows(work: Work) -> Outcome:
    return taught(bench.train(work, "sudden"))


def taught(trained: bench.Trained) -> Outcome:
    figures = (
        f"On {trained.rows} rows of yours the model is right in {trained.after:.0%} of new messages; it was "
        f"in {trained.before:.0%}, and {trained.possible:.0%} is possible."
    )
    if trained.good:
        return passed(figures)
    return failed(
        figures,
        "Train on labelled rows, old and new, of every intent; on rows whose label still holds, and not on "
        f"what the model itself said. {bench.WITHIN:.0%} below what is possible is enough.",
    )
