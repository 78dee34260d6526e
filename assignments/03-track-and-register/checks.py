"""What learners can check while they work. The contract itself is in the notebook."""

import hashlib
import math
import re

from autograder.checks import Assignment, Outcome, failed, partly, passed
from autograder.probes.transcript import clean as printable
from autograder.work import Work

from . import desk, functions, package, store
from .store import Run

assignment = Assignment(
    "track-and-register",
    title="Track, compare, register and promote a model",
    submits=("evidence.py",),
    # The functions can be checked before there is a store.
    optional=("mlflow.db", "MLmodel", "track.py"),
    given=(
        "03-track-and-register/given/trainer.py",
        "03-track-and-register/given/train.csv",
        "03-track-and-register/given/test.csv",
    ),
)
READ = ("track-and-register/store",)
RUNS = 6
CODE = hashlib.sha256((desk.GIVEN / "trainer.py").read_bytes()).hexdigest()
RECORDED = (*desk.PARAMETERS, "data_digest", "code_digest")


# --- the data ---


@assignment.check("track-and-register/copies", title="Finds the copies", points=1)
def copies(work: Work) -> Outcome:
    for case, places in functions.answers(work, "copies"):
        missed, extra = functions.missed_and_extra(case, places)
        if missed or extra:
            return failed(
                f"Of {len(case.copies)} training messages that also stand in the test split, `copies` missed "
                f"{len(missed)}; it named {len(extra)} that do not.",
                "Compare messages without case, punctuation and spacing. Return the places in train, from 0.",
            )
    return passed("Every copy was found, in whatever spelling.")


@assignment.check(
    "track-and-register/telling", title="Finds the column that tells", points=1
)
def telling(work: Work) -> Outcome:
    [(case, columns)] = functions.answers(work, "telling")
    return functions.named_columns(case, columns)


# --- the decision ---


@assignment.check("track-and-register/choose", title="Chooses the best run", points=1)
def choose(work: Work) -> Outcome:
    return functions.chosen(functions.answers(work, "choose"))


@assignment.check(
    "track-and-register/difference", title="Knows how sure a gap is", points=1
)
def difference(work: Work) -> Outcome:
    for case, pair in functions.answers(work, "difference"):
        if wrong := functions.gap_and_error(case, pair):
            return wrong
    return passed("Gap and error are those of answers compared message by message.")


# --- the runs ---


@assignment.check("track-and-register/store", title="Is a store of MLflow", points=1)
def readable(work: Work) -> Outcome:
    found = work.shared(store.opened)
    if not found.finished:
        return failed(
            f"The experiment {store.NAME} has no finished run.",
            "Record with `with mlflow.start_run():`; a run that ends in an exception counts as failed.",
        )
    return passed(
        f"Finished runs in the experiment {store.NAME}: {len(found.finished)}. Versions of the model: "
        f"{len(found.versions)}."
    )


@assignment.check(
    "track-and-register/comparable", title="Has runs to compare", points=1, needs=READ
)
def comparable(work: Work) -> Outcome:
    digest, runs = work.shared(store.opened).comparable
    different = {
        tuple(run.params.get(name, "") for name in desk.PARAMETERS)
        for run in runs
        if run.metrics.keys() >= set(desk.METRICS)
    }
    if not digest or len(different) < RUNS:
        return failed(
            f"{len(different)} finished runs share a data_digest, have both metrics and differ in their "
            f"parameters; {RUNS} are asked for.",
            "Loop over combinations, and record in each run data_digest, held_out_accuracy and accuracy.",
        )
    return passed(f"{len(different)} runs on the same data can be compared.")


@assignment.check(
    "track-and-register/repeatable",
    title="Records what it takes to train again",
    points=1,
    needs=READ,
)
def repeatable(work: Work) -> Outcome:
    _, runs = work.shared(store.opened).comparable
    lacking = [f"{run} {lack}" for run in runs if (lack := lacks(run))]
    if not lacking:
        return passed(f"All of {len(runs)} runs record data, code and parameters.")
    return partly(
        1 - len(lacking) / len(runs),
        f"{len(lacking)} of {len(runs)} runs cannot be repeated: {lacking[0]}.",
        f"Record in every run {', '.join(RECORDED)}, defaults too. The last is the SHA-256 of trainer.py.",
    )


def lacks(run: Run) -> str:
    """What a run fails to record, in words; "" if nothing."""
    for name in RECORDED:
        if name not in run.params:
            return f"has no parameter {name}"
    if run.params["code_digest"] != CODE:
        return "has a code_digest that is not the SHA-256 of the given trainer.py"
    return ""


@assignment.check(
    "track-and-register/clean", title="Trains on clean data", points=2, needs=READ
)
def clean(work: Work) -> Outcome:
    digest, runs = work.shared(store.opened).comparable
    data = desk.known().get(digest)
    if data is None:
        return failed(
            "The data_digest of the runs is that of neither the given nor the cleaned rows."
            if digest
            else "The runs have no data_digest.",
            "Remove from train the rows whose message stands in test, and from both the column that tells. "
            "Change nothing else, and record what trainer.digest says of the rows you train on.",
        )
    if data.left:
        return partly(
            0.5 if len(data.left) == 1 else 0,
            f"By its digest, the data of the runs is not clean: {'; '.join(data.left)}.",
            "Clean before the first run, and record the digest of what you train on.",
        )
    return passed(f"{len(runs)} runs were made on the cleaned data.")


@assignment.check(
    "track-and-register/true", title="States true figures", points=1, needs=READ
)
def true(work: Work) -> Outcome:
    found = work.shared(store.opened)
    return all_true([found.champion.run, found.replaced.run])


def all_true(runs: list[Run]) -> Outcome:
    """Whether training again from what each run records gives the figures it records."""
    for run in runs:
        again = desk.retrained(run)
        for name in desk.METRICS:
            stated, real = run.metric(name), getattr(again, name)
            if not abs(stated - real) <= desk.TOLERANCE:
                return failed(
                    f"By {run}, {name} is {stated:.3f}; training again from its parameters and data gave "
                    f"{real:.3f}.",
                    "Record what trainer.fit returns, in the run with the parameters it was called with.",
                )
    return passed(f"Training again gave the figures of {len(runs)} runs.")


# --- the registry ---


@assignment.check(
    "track-and-register/registered",
    title="Registers versions that lead to their runs",
    points=1,
    needs=READ,
)
def registered(work: Work) -> Outcome:
    versions = list(work.shared(store.opened).versions.values())
    if len(versions) < 2:
        return failed(
            f"Versions of the model {store.NAME}: {len(versions)}. The present champion and yours make two.",
            "Register the run with the desk's present parameters first, then the best.",
        )
    runs = {version.run.id for version in versions}
    return passed(f"{len(versions)} versions lead to {len(runs)} runs.")


@assignment.check(
    "track-and-register/champion",
    title="Gives the roles to the right version",
    points=2,
    needs=READ,
)
def champion(work: Work) -> Outcome:
    found = work.shared(store.opened)
    version, (_, runs) = found.champion, found.comparable
    held_out = [run.metrics.get("held_out_accuracy", 0) for run in runs]
    if version.run not in runs or not (
        version.run.metric("held_out_accuracy") >= max(held_out)
    ):
        return failed(
            f"The champion is version {version.number}, and its run is not the one with the highest "
            "held_out_accuracy of those that can be compared.",
            "Choose by the held-out figure. Who picks the best of many by the test split has used it up.",
        )
    if found.named("candidate") != version:
        return failed(
            f"The champion is version {version.number}, and the alias candidate is not on it.",
            "What is promoted is the candidate: give it that alias first, and leave it there.",
        )
    return passed(
        f"Version {version.number}, of the best run, is candidate and champion."
    )


@assignment.check(
    "track-and-register/package",
    title="Says what goes in and what comes out",
    points=1,
    needs=READ,
)
def packaged(work: Work) -> Outcome:
    run = work.shared(store.opened).champion.run
    found = package.recorded(work)
    if found.get("run_id") != run.id:
        return failed("MLmodel is not of the champion's run.", package.WHERE)
    sees = sorted({"text", *desk.parameters(run).columns})
    asked = package.columns(found)
    if asked != sees or not found["signature"].get("outputs"):
        return failed(
            f"By its signature the champion takes {printable(', '.join(asked or ['nothing']))}; it "
            f"was trained on {', '.join(sees)}.",
            "Log the model with a signature of just the columns it sees: a caller must bring each of them.",
        )
    return passed(f"The champion's signature asks for {', '.join(sees)}.")


# --- the evidence ---


@assignment.check(
    "track-and-register/compared",
    title="Promotes what is proved to be better",
    points=1,
    needs=READ,
)
def compared(work: Work) -> Outcome:
    found = work.shared(store.opened)
    before, after = found.replaced, found.champion
    figures = [desk.retrained(version.run) for version in (before, after)]
    if desk.parameters(before.run) != desk.BASELINE:
        return failed(
            f"Version {before.number}, which was replaced, is not the desk's present model.",
            "Register a run with C=0.01, ngrams=1, min_df=2 and no columns as the first champion.",
        )
    if len({version.run.params["data_digest"] for version in (before, after)}) > 1:
        return failed(
            f"Versions {before.number} and {after.number} were made on different data.",
            "Train the desk's present model again on the clean data: only then the figures can be compared.",
        )
    gap, spread = desk.difference(*(each.right for each in figures))
    stated = [share(after.tags.get(name, "")) for name in ("gap", "gap_error")]
    if not (
        abs(stated[0] - gap) <= 2 * desk.TOLERANCE and abs(stated[1] - spread) <= 0.004
    ):
        return failed(
            f"By its tags version {after.number} is ahead by {stated[0]:.3f}, and the error {stated[1]:.3f}; "
            f"training both versions again gave {gap:.3f} and {spread:.3f}.",
            "Set gap and gap_error to what your `difference` says of the two lists `right`.",
        )
    if gap <= 2 * spread:
        return failed(
            f"The gap, {gap:.3f}, is not more than twice its error, {spread:.3f}.",
            "Look for parameters that make a difference before you promote.",
        )
    return passed(
        f"Version {after.number} is ahead of version {before.number} by {gap:.3f}, with an error of "
        f"{spread:.3f}, as its tags say."
    )


def share(text: str) -> float:
    """NaN for what is no number."""
    try:
        return float(text)
    except ValueError:
        return math.nan


@assignment.check(
    "track-and-register/reason",
    title="Keeps the reason of the promotion",
    points=1,
    needs=READ,
)
def reason(work: Work) -> Outcome:
    found = work.shared(store.opened)
    said = found.champion.tags.get("promoted_reason", "")
    if len(said.split()) < 5:
        return failed(
            f"The tag promoted_reason of version {found.champion.number} is no sentence.",
            "Say why the champion changes, with the accuracy of both.",
        )
    figures = [float(figure) for figure in re.findall(r"\d{1,3}\.\d{1,6}", said)]
    for version in (found.replaced, found.champion):
        accuracy = version.run.metric("accuracy")
        if not any(
            abs(figure - scale * accuracy) <= scale * 0.0006
            for figure in figures
            for scale in (1, 100)
        ):
            return failed(
                f"promoted_reason does not give the accuracy of version {version.number} as its run has it.",
                "Write both figures, in percent with one decimal or as shares with three.",
            )
    return passed("The reason stands on the version, with both figures.")
