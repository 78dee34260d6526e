"""The learner's workflow, run on one candidate after another, and what it decided.

Each context manager that takes only `work` is for `work.shared`: made at the first check that asks, for all.
"""

import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from autograder.errors import LearnerError
from autograder.probes import runner, workflow
from autograder.probes.runner import Run
from autograder.sandbox import Limits
from autograder.work import Work

from .candidates import FILE, candidate
from .drawing import Candidate, Draw

WORKFLOW = "workflow.yml"
JOB_SECONDS = (
    60.0  # a slow candidate alone takes two, on a machine that has nothing else to do
)
LIMITS = Limits(seconds=JOB_SECONDS, memory=2 << 30, processes=128, disk=256 << 20)

DECISION = re.compile(r"^[#*_>\s]*(Promote|Refuse)\b[*_]*:?(.*)$", re.M)
PLAIN = {"accuracy", "calibration", "latency", "schema"}


@dataclass(frozen=True)
class Decision:
    promote: bool
    reasons: frozenset[str]  # for refusing


@dataclass(frozen=True)
class Trial:
    """One candidate and the run about it."""

    candidate: Candidate
    run: Run

    @property
    def right(self) -> bool:
        """Whether the run has the colour it should have."""
        return self.run.green == self.candidate.good

    def evidence(self) -> dict[str, object]:
        return {
            "candidate": self.candidate.kind,
            "faults": sorted(self.candidate.faults),
            "green": self.run.green,
            "stopped": self.run.stopped,
            "summary": self.run.summary[:2000],
            "log": self.run.log[-2000:],
        }


@contextmanager
def document(work: Work) -> Iterator[dict]:
    """The workflow as JSON values, if GitHub would accept it."""
    read = workflow.read(work.folder / WORKFLOW)
    if complaint := workflow.complaint(read):
        raise LearnerError(
            f"GitHub would not accept {WORKFLOW}. {complaint}.",
            "Compare the place with the course's own workflow, or with GitHub's documentation of the syntax.",
        )
    yield read


@contextmanager
def job(work: Work) -> Iterator[list[runner.Step]]:
    yield runner.steps(work.shared(document))


@contextmanager
def drawn(work: Work) -> Iterator[Draw]:
    yield Draw(work.seed)


@contextmanager
def trials(work: Work) -> Iterator[dict[str, Trial]]:
    """Those that have taken place, by what was tried."""
    yield {}


def trial(work: Work, kind: str) -> Trial:
    """The run for a candidate of this kind; the same one for every check that asks."""
    done = work.shared(trials)
    if kind not in done:
        tried = candidate(work.shared(drawn), kind)
        done[kind] = Trial(tried, run(work, tried))
    return done[kind]


def run(
    work: Work, tried: Candidate, harm: Callable[[Path], None] = lambda _: None
) -> Run:
    """Run the job in a workspace with this candidate, after `harm` has been done to the workspace."""
    steps, draw = work.shared(job), work.shared(drawn)
    with tempfile.TemporaryDirectory(prefix="the-pivot-") as temporary:
        workspace = Path(temporary) / "workspace"
        shutil.copytree(work.folder, workspace)
        contents = {
            "champion": {FILE: draw.champion},
            "candidate": {FILE: tried.file},
            "data": {f"{split}.csv": draw.table(split) for split in ("train", "test")},
        }
        for name, files in contents.items():
            # A file of the learner's with this name is no part of what is asked.
            folder = workspace / name
            folder.mkdir()
            for file, content in files.items():
                (folder / file).write_bytes(content)
        harm(workspace)
        return runner.run(steps, work.sandbox, workspace, LIMITS)


def cut_champion(workspace: Path) -> None:
    """Half of the champion has arrived."""
    path = workspace / "champion" / FILE
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])


def empty_test_split(workspace: Path) -> None:
    """The export had a header and no messages."""
    path = workspace / "data" / "test.csv"
    path.write_bytes(path.read_bytes().splitlines(keepends=True)[0])


# --- what the summary says ---


def decision(summary: str) -> Decision | None:
    """The decision in a job summary, or None. Raises LearnerError if it cannot be understood."""
    lines = DECISION.findall(summary)
    if not lines:
        return None
    if len(lines) > 1:
        raise LearnerError(
            f"The job summary has {len(lines)} lines that begin with Promote or Refuse.",
            "One run, one decision: write one such line, and details on lines that begin otherwise.",
        )
    [(word, rest)] = lines
    if word == "Promote":
        return Decision(True, frozenset())
    reasons = frozenset(
        one for part in rest.split(",") if (one := part.strip(" .*_\r\t"))
    )
    for one in sorted(reasons):
        if one not in PLAIN and not re.fullmatch(r"slice \w+", one):
            raise LearnerError(
                f"The summary refuses because of {one[:80]!r}.",
                "Reasons are accuracy, calibration, latency, schema and slice NAME, with commas between; "
                "figures go on other lines.",
            )
    return Decision(False, reasons)


def reasons_complaint(trial: Trial, found: Decision) -> str:
    """What is wrong with the reasons for refusing this candidate; "" if nothing is."""
    faults, also = trial.candidate.faults, trial.candidate.also
    if missing := faults - found.reasons:
        return f"does not name {sorted(missing)[0]}"
    if wrong := found.reasons - faults - also:
        return f"names {sorted(wrong)[0]}, which nothing bears out"
    return ""


def how_it_ended(run: Run) -> str:
    """For the learner: what turned the run red, and what it said about it."""
    said = DECISION.search(run.summary)
    lines = [line.strip() for line in run.log.splitlines() if line.strip()]
    last = said[0].strip() if said else lines[-1] if lines else ""
    quoted = f" It says: {last[:200]}" if last else ""
    if run.stopped:
        return f"It was stopped at its limit of {run.stopped}.{quoted}"
    return (
        f"Step {run.failed!r} failed.{quoted}"
        if run.failed
        else f"It broke off.{quoted}"
    )
