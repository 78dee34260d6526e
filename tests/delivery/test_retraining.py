"""The retraining pipeline: what is compiled for a cluster, and runs that are killed at every step."""

import contextlib
import itertools
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import mlflow
import pandas as pd
import pytest
import yaml

from triage import data, pipeline, registry
from triage.evaluate import evaluate
from triage.files import sha256
from triage.model import TriageModel

ROOT = Path(__file__).parents[2]
TICKETS = ROOT / "triage/tickets"
STEPS = ["prepare", "validate", "train", "evaluate", "register"]
MIXED_UP = {"refund_request": "refund_status", "refund_status": "refund_request"}

# what is compiled


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict, dict]:
    """Pipeline and platform settings, as a cluster reads them."""
    path = tmp_path_factory.mktemp("compiled") / "retrain.yaml"
    pipeline.write(path)
    return tuple(yaml.safe_load_all(path.read_text()))


def test_each_step_follows_the_one_before(compiled: tuple[dict, dict]) -> None:
    tasks = compiled[0]["root"]["dag"]["tasks"]
    assert sorted(tasks) == sorted(STEPS)
    for before, step in itertools.pairwise(STEPS):
        assert before in tasks[step]["dependentTasks"]


def test_only_steps_that_depend_on_nothing_but_their_inputs_are_cached(
    compiled: tuple[dict, dict],
) -> None:
    tasks = compiled[0]["root"]["dag"]["tasks"]
    cached = [n for n in STEPS if tasks[n]["cachingOptions"].get("enableCache")]
    assert cached == ["validate", "train", "evaluate"]


def test_no_step_installs_anything_and_all_share_image_and_volume(
    compiled: tuple[dict, dict],
) -> None:
    executors = compiled[0]["deploymentSpec"]["executors"]
    platform = compiled[1]["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    assert {e["container"]["image"] for e in executors.values()} == {
        "registry.larch.example/triage:python3.11"
    }
    assert "pip install" not in str(executors)
    for name in executors:
        [mount] = platform[name]["pvcMount"]
        assert (mount["mountPath"], mount["constant"]) == ("/triage", "triage")


# what is run


class Desk:
    """A folder with data, a store and a registry; its champion learnt two intents the wrong way round."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.log = folder / "home/retraining/log.txt"
        self.client = mlflow.MlflowClient(f"sqlite:///{folder}/mlflow.db")
        self.variables = os.environ | {
            "MLFLOW_TRACKING_URI": self.client.tracking_uri,
            "TRIAGE_HOME": str(folder / "home"),
            "TRIAGE_DATA": str(folder / "data"),
        }

    @property
    def champion(self) -> int | None:
        return registry.champion(self.client)

    @contextlib.contextmanager
    def retraining(self) -> Iterator[subprocess.Popen[str]]:
        """`triage retrain` in a process group of its own, which is killed on the way out."""
        with subprocess.Popen(
            [sys.executable, "-m", "triage", "retrain", "--reason", "new data"],
            env=self.variables,
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        ) as process:
            try:
                yield process
            finally:
                with contextlib.suppress(ProcessLookupError):  # nothing of it is left
                    os.killpg(process.pid, signal.SIGKILL)

    def killed_when(self, moment: Callable[[], bool]) -> str:
        """Start a retraining and kill it, with its step, at this moment; return what the log has."""
        self.log.unlink(missing_ok=True)
        with self.retraining() as process:
            while not moment():
                assert process.poll() is None, process.stdout.read()
                time.sleep(0.02)
        return self.log.read_text()

    def runs(self) -> int:
        """MLflow runs begun so far, the half ones included."""
        with contextlib.closing(sqlite3.connect(self.folder / "mlflow.db")) as database:
            return database.execute("SELECT count(*) FROM runs").fetchone()[0]

    def begun(self, step: str) -> bool:
        return self.log.exists() and f"'{step}'" in self.log.read_text()


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    folder = tmp_path_factory.mktemp("desk")
    shutil.copytree(TICKETS, folder / "data")
    desk = Desk(folder)
    train = pd.read_csv(TICKETS / "train.csv", keep_default_na=False)
    train["category"] = train["category"].replace(MIXED_UP)
    shutil.copytree(TICKETS, folder / "mixed")
    train.to_csv(folder / "mixed/train.csv", index=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRIAGE_HOME", str(folder / "home"))
        patch.setenv("MLFLOW_TRACKING_URI", desk.client.tracking_uri)
        mixed = data.load(folder / "mixed")
        model = TriageModel.fit(mixed)
        model.save(folder / "model.safetensors")
        report = evaluate(model, mixed.test)
        registry.register(folder / "model.safetensors", report, "champion")
    return desk


@pytest.fixture(scope="module")
def killed(desk: Desk) -> dict[str, tuple[str, int | None]]:
    """For every step: the log of a run that was killed in it, and who was champion then."""
    seen = {}
    for step in STEPS[:-1]:
        log = desk.killed_when(lambda step=step: desk.begun(step))
        seen[step] = log, desk.champion
    runs = desk.runs()
    log = desk.killed_when(lambda: desk.runs() > runs)  # in the middle of registering
    seen["register"] = log, desk.champion
    return seen


@pytest.mark.slow
@pytest.mark.xdist_group("retraining")
@pytest.mark.parametrize("step", STEPS)
def test_a_run_killed_at_any_step_leaves_the_champion(
    step: str, killed: dict[str, tuple[str, int | None]], desk: Desk, tmp_path: Path
) -> None:
    log, champion = killed[step]
    assert pipeline.Log.STARTED.findall(log)[-1] == step
    assert "Pipeline" not in log.split(f"'{step}'")[-1]  # and did not end
    assert champion == 1


@pytest.mark.slow
@pytest.mark.xdist_group("retraining")
def test_the_next_run_takes_up_what_was_done_and_promotes_one_version(
    killed: dict, desk: Desk, tmp_path: Path
) -> None:
    with desk.retraining() as process:
        said = process.communicate(timeout=300)[0]
    assert process.returncode == 0, said
    version = desk.champion
    assert f"Promoted version {version}: accuracy" in said
    assert pipeline.steps_run(desk.log) == ["prepare", "register"]
    promoted = desk.client.get_model_version(registry.NAME, str(version))
    assert promoted.tags["promoted_from"] == "1"
    assert promoted.tags["promoted_reason"] == "new data"
    run = desk.client.get_run(promoted.run_id)
    uri = desk.client.tracking_uri
    fetched = registry.fetch(f"models:/{registry.NAME}@champion", tmp_path, uri)
    assert run.data.params["model_sha256"] == sha256(fetched)
    versions = desk.client.search_model_versions(f"name = '{registry.NAME}'")
    tagged = [v.version for v in versions if "promoted_at" in v.tags]
    assert tagged == [promoted.version]


@pytest.mark.slow
@pytest.mark.xdist_group("retraining")
def test_a_second_run_at_the_same_time_is_turned_away(desk: Desk) -> None:
    folder = desk.folder / "home/retraining"
    with pipeline.FileLock(folder / "lock"):
        said = subprocess.run(
            [sys.executable, "-m", "triage", "retrain"],
            env=desk.variables,
            cwd=desk.folder,
            capture_output=True,
            text=True,
            timeout=120,
        )
    assert said.returncode == 2
    assert "Another retraining runs" in said.stderr
