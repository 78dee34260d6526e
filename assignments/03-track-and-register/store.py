"""The learner's MLflow store as the judge sees it. All of it is what the learner's file says, true or not."""

import contextlib
import math
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from autograder.errors import InfrastructureError, LearnerError
from autograder.probes.transcript import clean
from autograder.sandbox import Completed, Limits
from autograder.work import Work

NAME = "triage"  # of the experiment, and of the registered model
RUNS = 200
READER = Path(__file__).with_name("reader.py").read_text(encoding="utf-8")
LIMITS = Limits(seconds=10, memory=256 << 20, processes=1, output=8 << 20)
BEGUN = b"begun\n"
PROBLEMS = {
    "not-sqlite": "mlflow.db is not a database of sqlite.",
    "write-ahead": "mlflow.db keeps its last changes in mlflow.db-wal, which was not handed in.",
    "damaged": "mlflow.db is damaged: it cannot be read to its end.",
    "no-table": "mlflow.db has no table {where}, so it is no store of the course's MLflow.",
    "not-a-table": "In mlflow.db {where} is not the plain table that MLflow makes.",
    "other-columns": "The table {where} of mlflow.db lacks columns that the course's MLflow gives it.",
    "too-many-rows": "The table {where} of mlflow.db has more rows than the judge reads.",
}
AGAIN = (
    "Delete mlflow.db, run track.py in the course's environment, and hand in the file when the script has "
    "ended."
)

Tables = dict[str, list[list[str | int | float | None]]]


@dataclass(frozen=True)
class Run:
    id: str
    finished: bool
    params: dict[str, str]
    metrics: dict[str, float]

    def __str__(self) -> str:
        return f"run {clean(self.id)[:8]}"

    def metric(self, name: str) -> float:
        """NaN if the run does not have it, and then no comparison is true."""
        return self.metrics.get(name, math.nan)


@dataclass(frozen=True)
class Version:
    """A version of the registered model."""

    number: int
    found: Run | None  # None where the experiment has no such run
    tags: dict[str, str]

    @property
    def run(self) -> Run:
        """Raises LearnerError if the version leads to no finished run."""
        if self.found is None or not self.found.finished:
            raise LearnerError(
                f"Version {self.number} leads to no finished run of the experiment {NAME}.",
                "Register a model by the URI under which its run logged it: then the registry notes the run.",
            )
        return self.found


@dataclass(frozen=True)
class Store:
    runs: list[Run]
    versions: dict[int, Version]
    aliases: dict[str, int]

    @property
    def finished(self) -> list[Run]:
        return [run for run in self.runs if run.finished]

    @property
    def comparable(self) -> tuple[str, list[Run]]:
        """The data that most finished runs were made on, and those runs. There must be a finished run."""
        digests = [run.params.get("data_digest", "") for run in self.finished]
        most = max(sorted(set(digests)), key=digests.count)
        runs = [
            run for run in self.finished if run.params.get("data_digest", "") == most
        ]
        return most, runs

    def named(self, alias: str) -> Version | None:
        """The version that an alias points at."""
        return self.versions.get(self.aliases.get(alias, -1))

    @property
    def champion(self) -> Version:
        """Raises LearnerError if there is none."""
        version = self.named("champion")
        if version is None:
            raise LearnerError(
                f"The alias champion points at no version of {NAME}.",
                "Set it with client.set_registered_model_alias.",
            )
        return version

    @property
    def replaced(self) -> Version:
        """The version that was champion before. Raises LearnerError where the champion does not say."""
        number = self.champion.tags.get("promoted_from", "")
        version = None
        if re.fullmatch("[0-9]{1,6}", number) and int(number) != self.champion.number:
            version = self.versions.get(int(number))
        if version is None:
            raise LearnerError(
                f"The tag promoted_from of version {self.champion.number} names no other version.",
                "Note on the promoted version the number of the one that was champion before.",
            )
        return version


class Said(BaseModel):
    """What the reader prints."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    tables: Tables = {}
    problem: str = ""
    where: str = ""


@contextlib.contextmanager
def opened(work: Work) -> Iterator[Store]:
    """The store that was handed in, for `work.shared`. Raises LearnerError if it is none."""
    if not (work.folder / "mlflow.db").exists():
        raise LearnerError(
            "There is no mlflow.db yet.",
            "Run track.py in the folder of this notebook, and hand in what it makes.",
        )
    completed = work.sandbox.run(
        ("python", "-I", "-S", "-B", "-c", READER), folder=work.folder, limits=LIMITS
    )
    yield understood(completed)


def understood(completed: Completed) -> Store:
    """What the reader said. The file it read may have forged it, so it is checked like any input."""
    if not completed.stdout.startswith(BEGUN):
        problem = completed.stderr.decode(errors="replace").strip()[-300:]
        raise InfrastructureError(
            f"mlflow.db could not be read, because Python did not start: {problem}. "
            "Run `pivot doctor`, then grade again."
        )
    try:
        said = Said.model_validate_json(completed.stdout.removeprefix(BEGUN))
        if said.problem:
            raise LearnerError(
                PROBLEMS[said.problem].format(where=clean(said.where)), AGAIN
            )
        return built(said.tables)
    except (ValueError, KeyError, OverflowError) as error:
        raise LearnerError(PROBLEMS["damaged"], AGAIN) from error


def built(tables: Tables) -> Store:
    """The experiment `triage` and the model `triage`. Raises LearnerError if there is no such experiment."""
    own = [
        id
        for id, name, stage in tables["experiments"]
        if (name, stage) == (NAME, "active")
    ]
    if not own:
        names = ", ".join(
            clean(str(name))[:40] for _, name, _ in tables["experiments"][:5]
        )
        raise LearnerError(
            f"The store has no experiment called {NAME}; it has {names or 'none'}.",
            f'Call mlflow.set_experiment("{NAME}") before the first run.',
        )
    params: dict[str, dict[str, str]] = defaultdict(dict)
    metrics: dict[str, dict[str, float]] = defaultdict(dict)
    for run, key, value in tables["params"]:
        params[str(run)][str(key)] = str(value)
    for run, key, value, is_nan in tables["latest_metrics"]:
        if isinstance(value, int | float) and not is_nan:
            metrics[str(run)][str(key)] = float(value)
    runs = [
        Run(str(id), status == "FINISHED", params[str(id)], metrics[str(id)])
        for id, experiment, status, stage in tables["runs"]
        if experiment == own[0] and stage == "active"
    ]
    if len(runs) > RUNS:
        raise LearnerError(
            f"The experiment {NAME} has {len(runs):,} runs; at most {RUNS} are looked at.",
            "Delete mlflow.db and run track.py with fewer combinations.",
        )
    runs.sort(key=lambda run: run.id)
    return Store(runs, versions(tables, runs), aliases(tables))


def versions(tables: Tables, runs: list[Run]) -> dict[int, Version]:
    by_id = {run.id: run for run in runs}
    tags: dict[int, dict[str, str]] = defaultdict(dict)
    for name, version, key, value in tables["model_version_tags"]:
        if name == NAME and isinstance(version, int):
            tags[version][str(key)] = str(value)
    return {
        version: Version(version, by_id.get(str(run)), tags[version])
        for name, version, run in tables["model_versions"]
        if name == NAME and isinstance(version, int)
    }


def aliases(tables: Tables) -> dict[str, int]:
    return {
        str(alias): version
        for name, alias, version in tables["registered_model_aliases"]
        if name == NAME and isinstance(version, int)
    }
