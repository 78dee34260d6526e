"""The steps of a retraining, each a function of what it is given; `triage.pipeline` strings them together.

`prepare` looks at the world once: which data there is, who is champion, which code runs. The steps after it
depend on nothing else, so what they made may be kept and used again. `settle` looks at the world a second
time, and moves nothing if it has changed.
"""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from triage import data, lineage, registry, snapshots
from triage.errors import TriageError
from triage.files import sha256
from triage.revision import code_digest

if TYPE_CHECKING:  # each step is a process of its own and imports what it needs
    from triage.encoder import Encoder
    from triage.evaluate import Report
    from triage.gate import Decision


class Refused(TriageError):
    """Everything works, and the answer is no; the message says why."""


# region prepare
@dataclass(frozen=True)
class World:
    """What a retraining starts from."""

    snapshot: str
    """`sha256:DIGEST` of the data, kept in TRIAGE_HOME."""
    champion: int
    """The version to beat; 0 if there is none."""
    code: str
    """SHA-256 over the package's Python files, 64 hex digits."""


def prepare(source: str = "") -> World:
    """Freeze the data, note who is champion; `source` as for `data.load`, or empty."""
    kept = snapshots.take(source or None)
    champion = registry.champion(registry.connect())
    return World(str(kept), champion or 0, code_digest())


# endregion prepare


# region validate
def check_data(snapshot: str, champion: int) -> None:
    """Refused, with every finding, unless the data may be learnt from."""
    from triage.schema import validate

    findings = validate(data.load(snapshot), accepted_before(champion))
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

    if code != code_digest():
        raise TriageError(
            "This step runs other code than `prepare` did. Give every step the same image."
        )
    TriageModel.fit(data.load(snapshot)).save(model_file)


# endregion train


# region judge
def judge(
    snapshot: str, champion: int, model_file: Path, encoder: "Encoder | None" = None
) -> "tuple[Report, Decision]":
    """The candidate's answers to the test split; whether it may replace this champion."""
    from triage import behaviour, gate
    from triage.model import TriageModel

    dataset = data.load(snapshot)
    candidate = TriageModel.load(model_file, encoder)
    holder = None
    if champion:
        with tempfile.TemporaryDirectory(prefix="triage-") as folder:
            uri = f"models:/{registry.NAME}/{champion}"
            holder = registry.load(uri, Path(folder), encoder=candidate.encoder)
    report, decision = gate.contest(candidate, holder, dataset)
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
    version = registered(model_file) or registry.register(
        model_file, report, "candidate"
    )
    now = registry.champion(client) or 0
    if now == version:
        return Outcome("unchanged", version, ["the champion is this very model"])
    client.set_registered_model_alias(registry.NAME, "candidate", str(version))
    if now != champion:
        raise Refused(
            f"version {version} was compared with champion {champion or 'none'}, "
            f"and meanwhile {now} took its place. Start again"
        )
    if not decision.promote:
        registry.note(client, version, "refused", "; ".join(decision.reasons))
        return Outcome("refused", version, decision.reasons)
    registry.promote(version, reason)
    return Outcome("promoted", version, decision.reasons)


def registered(model_file: Path) -> int | None:
    """The version that holds this very file, if an earlier attempt got so far."""
    try:
        return lineage.trace(sha256(model_file)).version
    except TriageError:
        return None


# endregion settle
