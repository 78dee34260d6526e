"""Retraining as a Kubeflow pipeline: compiled to YAML for a cluster, or run on this machine by `kfp.local`.

A component's source travels inside the pipeline's file, so a component is a call into `triage.retraining` and
nothing more. What passes between them is either a value that names its content (digests, numbers), which the
cache can compare, or a file that Kubeflow carries.
"""

import io
import re
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from typing import NamedTuple

from filelock import FileLock, Timeout
from kfp import compiler, dsl, kubernetes, local
from kfp.dsl import Artifact, Dataset, Input, Model, Output

from triage.errors import TriageError
from triage.retraining import Outcome, Refused
from triage.settings import Settings

# Installing nothing at run time: what the image holds is what was tested.
component = dsl.component(base_image=Settings().image, install_kfp_package=False)


# region components
@component
def prepare(
    source: str,
) -> NamedTuple(
    "World",
    [("snapshot", str), ("champion", int), ("opponent", str), ("code", str)],
):
    from triage import retraining

    world = retraining.prepare(source)
    return world.snapshot, world.champion, world.opponent, world.code


@component
def validate(snapshot: str, champion: int, opponent: str, code: str) -> str:
    from triage import retraining

    retraining.check_data(snapshot, champion, code)
    return snapshot


@component
def train(snapshot: str, code: str, model: Output[Model]):
    from pathlib import Path

    from triage import retraining

    retraining.train(snapshot, code, Path(model.path))


# endregion components


@component
def evaluate(
    snapshot: str,
    champion: int,
    opponent: str,
    code: str,
    model: Input[Model],
    answers: Output[Dataset],
    decision: Output[Artifact],
):
    import json
    from dataclasses import asdict
    from pathlib import Path

    from triage import retraining

    world = retraining.World(snapshot, champion, opponent, code)
    report, decided = retraining.judge(world, Path(model.path))
    report.answers.to_parquet(answers.path)
    answers.metadata["intents"] = report.intents
    Path(decision.path).write_text(json.dumps(asdict(decided)))


@component
def register(
    champion: int,
    model: Input[Model],
    answers: Input[Dataset],
    decision: Input[Artifact],
    reason: str,
) -> dict:
    import json
    from dataclasses import asdict
    from pathlib import Path

    import pandas as pd

    from triage import retraining
    from triage.evaluate import report_on
    from triage.gate import Decision

    outcome = retraining.settle(
        champion,
        Path(model.path),
        report_on(pd.read_parquet(answers.path), answers.metadata["intents"]),
        Decision(**json.loads(Path(decision.path).read_text())),
        reason,
    )
    return asdict(outcome)


# region pipeline
@dsl.pipeline(name="retrain-triage")
def retrain(source: str = "", reason: str = "retrained") -> dict:
    world = prepare(source=source)
    accepted = validate(
        snapshot=world.outputs["snapshot"],
        champion=world.outputs["champion"],
        opponent=world.outputs["opponent"],
        code=world.outputs["code"],
    )
    trained = train(snapshot=accepted.output, code=world.outputs["code"])
    judged = evaluate(
        snapshot=accepted.output,
        champion=world.outputs["champion"],
        opponent=world.outputs["opponent"],
        code=world.outputs["code"],
        model=trained.outputs["model"],
    )
    settled = register(
        champion=world.outputs["champion"],
        model=trained.outputs["model"],
        answers=judged.outputs["answers"],
        decision=judged.outputs["decision"],
        reason=reason,
    )
    # The two steps that look at the world: yesterday's answer would be wrong today.
    for step in (world, settled):
        step.set_caching_options(False)
    for step in (world, accepted, trained, judged, settled):
        kubernetes.mount_pvc(step, pvc_name="triage", mount_path="/triage")
    return settled.output


# endregion pipeline


# region compile
def write(path: Path) -> None:
    """Compile the pipeline to YAML for a Kubeflow installation.

    The image must set TRIAGE_HOME=/triage and MLFLOW_TRACKING_URI; the namespace needs a
    volume claim called `triage`.
    """
    compiler.Compiler().compile(retrain, str(path))


# endregion compile


# region run
def run(reason: str, started: Callable[[str], None], source: str = "") -> Outcome:
    """Run it on this machine, each step in a process of its own; `started` hears each step's name.

    Raises Refused with the reason if a step said no, TriageError if one broke.
    """
    if " " in sys.executable:
        raise TriageError(
            f"Kubeflow's local runner cannot use {sys.executable}, because of the space in it. "
            "Move the checkout to a folder without one."
        )
    root = Settings().home / "retraining"
    root.mkdir(parents=True, exist_ok=True)
    lock = FileLock(root / "lock")
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise TriageError(
            f"Another retraining runs in {root}. Wait until it has ended."
        ) from error
    with lock, Log(root / "log.txt", started) as log:
        local.init(
            local.SubprocessRunner(use_venv=False),
            pipeline_root=str(root),
            enable_caching=True,
        )
        try:
            with redirect_stdout(log):
                ended = retrain(source=source, reason=reason).output
        except RuntimeError as error:  # what Kubeflow makes of a step that failed
            raise log.explanation() from error
    return Outcome(ended["ending"], int(ended["version"]), ended["reasons"])


# endregion run


def steps_run(log: Path) -> list[str]:
    """The steps that a log says were run; one whose result was in the cache was not."""
    return Log.STARTED.findall(log.read_text(encoding="utf-8"))


class Log(io.TextIOWrapper):
    """What Kubeflow's runner prints, kept in a file and read on the way."""

    STARTED = re.compile(r"Executing task .*?'(\w+)'")
    RAISED = re.compile(r"^\s*((?:[A-Za-z_]\w*\.)*[A-Z]\w*): (.+)$", re.MULTILINE)

    def __init__(self, path: Path, started: Callable[[str], None]):
        super().__init__(path.open("wb"), encoding="utf-8", write_through=True)
        self.path, self._started = path, started

    def write(self, text: str) -> int:
        if found := self.STARTED.search(text):
            self._started(found[1])
        return super().write(text)

    def explanation(self) -> TriageError:
        """Why the step that was run last has failed: the exception that ends its traceback."""
        said = self.path.read_text(encoding="utf-8")
        step, output = self.STARTED.split(said)[-2:]
        _, died, traceback = output.rpartition("Traceback (most recent call last)")
        raised = self.RAISED.findall(traceback) if died else []
        kind, message = raised[-1] if raised else ("", "it was ended from outside.")
        if kind.endswith(".Refused"):
            return Refused(message)
        return TriageError(
            f"Retraining stopped at {step}: {message} All it printed is in {self.path}."
        )
