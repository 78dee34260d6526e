"""The steps of a retraining, each a function of what it is given; `triage.pipeline` strings them together.

`prepare` looks at the world once: which data there is, who is champion, which code runs. The steps after it
depend on nothing else, so what they made may be kept and used again. `settle` looks at the world a second
time, and moves nothing if it has changed.
"""

import hashlib
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import mlflow
from filelock import FileLock

from triage import data, lineage, registry, snapshots
from triage.errors import TriageError
from triage.files import sha256
from triage.revision import code_digest
from triage.settings import Settings

if TYPE_CHECKING:  # each step is a process of its own and imports what it needs
    from triage.encoder import Encoder
    from triage.evaluate import Report
    from triage.gate import Decision
    from triage.model import TriageModel


class Refused(TriageError):
    """Everything works, and the answer is no; the message says why."""


# region prepare
@dataclass(frozen=True)
class World:
    """What a retraining starts from, each by a name that means one thing only."""

    snapshot: str
    """`sha256:DIGEST` of the data, kept in TRIAGE_HOME."""
    champion: int
    """The version to beat; 0 if there is none."""
    opponent: str
    """SHA-256 of its model file; empty if there is none."""
    code: str
    """SHA-256 over this package's Python files and the versions of what it needs."""


def prepare(source: str = "") -> World:
    """Freeze the data, note who is champion; `source` as for `data.load`, or empty."""
    kept = snapshots.take(data.parse(source or None))
    champion = registry.champion(registry.connect())
    opponent = lineage.trace(champion).model_sha256 if champion else ""
    return World(str(kept), champion or 0, opponent, environment())


def environment() -> str:
    versions = "\n".join(registry.pinned_requirements())
    return hashlib.sha256(f"{code_digest()}\n{versions}".encode()).hexdigest()


# endregion prepare


# region validate
def check_data(snapshot: str, champion: int, code: str) -> None:
    """Refused, with every finding, unless the data may be learnt from."""
    from triage.schema import validate

    same_code(code)
    findings = validate(data.parse(snapshot), accepted_before(champion))
    if findings:
        raise Refused("; ".join(map(str, findings)))


def accepted_before(champion: int) -> data.Dataset | None:
    """What the champion learnt from, if it is kept here: its labels and lengths are the usual ones."""
    if not champion:
        return None
    made = lineage.trace(champion)
    return data.load(f"{data.SNAPSHOT}{made.data_digest}") if made.snapshot else None


# endregion validate


# region train
def train(snapshot: str, code: str, model_file: Path) -> None:
    """Fit a model and write it: the same data and code give the same file."""
    from triage.model import TriageModel

    same_code(code)
    TriageModel.fit(data.load(snapshot)).save(model_file)


# endregion train


def same_code(code: str) -> None:
    """The code is an input like the data: a step whose image has other code refuses."""
    if code != environment():
        raise TriageError(
            "This step runs other code or packages than `prepare` did. Give every step the same image."
        )


# region judge
def judge(
    world: World, model_file: Path, encoder: "Encoder | None" = None
) -> "tuple[Report, Decision]":
    """The candidate's answers to the test split; whether it may replace this champion."""
    from triage import behaviour, gate
    from triage.model import TriageModel

    same_code(world.code)
    dataset = data.load(world.snapshot)
    candidate = TriageModel.load(model_file, encoder)
    report, decision = gate.contest(candidate, holder(world, candidate), dataset)
    failures = [
        f"{result.name}: {result.passed} of {result.cases} passed"
        for result in behaviour.check(candidate, dataset.test["text"].tolist())
        if not result.ok
    ]
    if failures:
        against = [] if decision.promote else decision.reasons
        decision = gate.Decision(False, failures + against, decision.figures)
    return report, decision


# endregion judge


def holder(world: World, candidate: "TriageModel") -> "TriageModel | None":
    """The champion that `prepare` has seen, or None where there was none."""
    from triage.model import TriageModel

    if not world.champion:
        return None
    with tempfile.TemporaryDirectory(prefix="triage-") as folder:
        uri = f"models:/{registry.NAME}/{world.champion}"
        file = registry.fetch(uri, Path(folder))
        if sha256(file) != world.opponent:
            raise TriageError(
                f"Version {world.champion} is another model than a moment ago. "
                "Is this the registry that the retraining began with?"
            )
        return TriageModel.load(file, candidate.encoder)


# region settle
@dataclass(frozen=True)
class Outcome:
    """How a retraining ended."""

    ending: str
    """`promoted`, `refused`, or `unchanged` if the champion is this very model."""
    version: int
    """The candidate's number, which is the champion's if nothing changed."""
    reasons: list[str]


def settle(
    champion: int, model_file: Path, report: "Report", decision: "Decision", reason: str
) -> Outcome:
    """Register the candidate, and promote it if it has beaten whoever is champion now.

    Cut off anywhere and run again, it ends the same: the alias `champion` moves last,
    in one call.
    """
    client = registry.connect()
    with FileLock(Settings().home / "settle.lock"):  # a step may outlive its run
        version = registered(model_file) or registry.register(
            model_file, report, "candidate"
        )
        now = registry.champion(client) or 0
        if now == version:
            registry.note(client, version, "confirmed", reason)
            return Outcome("unchanged", version, ["the champion is this very model"])
        client.set_registered_model_alias(registry.NAME, "candidate", str(version))
        if now != champion:
            raise Refused(
                f"version {version} was compared with champion {champion or 'none'}, "
                f"and meanwhile {now} took its place. Start again"
            )
        against = objections(client, version, decision)
        if against:
            registry.note(client, version, "refused", "; ".join(against))
            return Outcome("refused", version, against)
        registry.promote(version, reason)
        return Outcome("promoted", version, decision.reasons)


def objections(
    client: mlflow.MlflowClient, version: int, decision: "Decision"
) -> list[str]:
    """What the gate has against it, or that it was champion and was taken back."""
    tags = client.get_model_version(registry.NAME, str(version)).tags
    if undone := tags.get("rolled_back_reason"):
        return [
            f"it was rolled back ({undone}): promote it by hand, or change something"
        ]
    return [] if decision.promote else decision.reasons


# endregion settle


def registered(model_file: Path) -> int | None:
    """The version that holds this very file, if an earlier attempt got so far."""
    try:
        return lineage.trace(sha256(model_file)).version
    except TriageError:
        return None
