"""When to train again: a schedule, new data, or messages unlike those that the champion was tested on."""

import csv
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from scipy.stats import ks_2samp

from triage import data, lineage, registry
from triage.errors import TriageError
from triage.lineage import Lineage

DAYS = 30
"""A champion of this age is trained again, whatever else is known."""
DISTANCE = 0.15
"""Largest distance between two distributions of confidence that is let pass, 0 to 1."""
CHANCE = 0.001
"""A distance that equal distributions would reach more often than this is no reason."""


# region due
def reasons_to_retrain(
    recent: Sequence[str] = (), days: int = DAYS, now: datetime | None = None
) -> list[str]:
    """Why a retraining is due, a sentence each; empty if nothing speaks for it.

    `recent` are messages from production; nobody needs to have labelled them.
    """
    champion = registry.champion(registry.connect())
    if champion is None:
        return ["there is no champion yet"]
    made = lineage.trace(champion)
    age = (now or datetime.now(UTC)) - last_looked_at(champion, made)
    digest = data.load().digest
    reasons = []
    if age.days >= days:
        reasons.append(f"age: the champion is {age.days} days old")
    if digest != made.data_digest:
        reasons.append(
            f"data: it learnt from {made.data_digest[:12]}, now there is {digest[:12]}"
        )
    if recent and (made.snapshot or not reasons):
        reasons += unlike_before(made, recent)
    return reasons


# endregion due


def last_looked_at(champion: int, made: Lineage) -> datetime:
    """When it was registered, or when a later retraining came to the same model."""
    version = registry.resolve(registry.connect(), champion)
    found = version.tags.get("confirmed_at", made.registered)
    return datetime.fromisoformat(found)


def read_messages(path: Path) -> list[str]:
    """The column `text` of a CSV file; an inbox may be empty. Raises TriageError."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            table = csv.DictReader(file)
            if "text" not in (table.fieldnames or []):
                raise TriageError(f"{path} has no column text.")
            return [row["text"] for row in table if row["text"]]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise TriageError(f"Cannot read messages from {path}: {error}.") from error


def unlike_before(made: Lineage, recent: Sequence[str]) -> list[str]:
    """A reason if the champion's confidence in recent messages is unlike that in its own test split."""
    if made.snapshot is None:
        raise TriageError(
            "What the champion learnt from is not kept here, so nothing can be compared with it. "
            "Set TRIAGE_HOME to the store that has its snapshot."
        )
    usual = data.load(f"{data.SNAPSHOT}{made.data_digest}").test["text"].tolist()
    with tempfile.TemporaryDirectory(prefix="triage-") as folder:
        uri = f"models:/{registry.NAME}/{made.version}"
        champion = registry.load(uri, Path(folder))
    then, now = (
        [answer.confidence for answer in champion.predict(messages)]
        for messages in (usual, recent)
    )
    return unlike(then, now)


# region unlike
def unlike(then: Sequence[float], now: Sequence[float]) -> list[str]:
    """A reason if two lots of confidences differ by more than chance, and enough."""
    test = ks_2samp(then, now)
    if test.statistic <= DISTANCE or test.pvalue >= CHANCE:
        return []
    return [
        f"messages: its confidence in {len(now)} of them is unlike that in its "
        f"test split, by {test.statistic:.2f} (p = {test.pvalue:.2g})"
    ]


# endregion unlike
