"""Every step of both pipelines, run for real and in order, in a clean checkout with a registry of its own.

The first run finds no champion and makes one. The second, as Jenkins, trains on data in which an export has
mixed up two labels: no data test can see it, and the gate must.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import mlflow
import pandas as pd
import pytest
from delivery.pipelines import Step, jenkins_steps, workflow_steps

ROOT = Path(__file__).parents[2]
ENVIRONMENT = Path(sys.prefix)
MIXED_UP = {"refund_request": "refund_status", "refund_status": "refund_request"}
GITHUB = ["bash", "-e"]  # what GitHub runs a step with if it names no shell
JENKINS = ["sh", "-xe"]

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("delivery")]


@dataclass
class Machine:
    """A checkout and the environment variables its steps see."""

    checkout: Path
    variables: dict[str, str]

    def run(
        self, steps: list[Step], shell: list[str], **more: str
    ) -> list[tuple[str, int]]:
        """Run steps until one fails, each as a script; return names and exit codes."""
        done = []
        for step in steps:
            done.append((step.name, self.exit_code(step, shell, more)))
            if done[-1][1]:
                break
        return done

    def exit_code(self, step: Step, shell: list[str], more: Mapping[str, str]) -> int:
        script = self.checkout.parent / "step.sh"
        script.write_text(step.command)
        finished = subprocess.run(
            [*shell, str(script)],
            cwd=self.checkout,
            env=self.variables | more,
            capture_output=True,
            text=True,
            timeout=300,
        )
        print(f"{step.name}: {finished.returncode}\n{finished.stdout}{finished.stderr}")
        return finished.returncode

    @property
    def decision(self) -> str:
        return (self.checkout / ".triage/gate.txt").read_text()

    def aliases(self) -> dict[str, int]:
        client = mlflow.MlflowClient(self.variables["MLFLOW_TRACKING_URI"])
        aliases = client.get_registered_model("triage").aliases
        return {name: int(version) for name, version in aliases.items()}


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    """The working tree as git would check it out, and the installed environment, so `make setup` is quick."""
    folder = tmp_path_factory.mktemp("runner")
    checkout = folder / "checkout"
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
        text=True,
    ).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (checkout / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, checkout / name)
    # make must find the environment finished: else it would install this checkout into it.
    assert (ENVIRONMENT / ".installed").exists(), "run the tests with `make test`"
    (checkout / ".venv").symlink_to(ENVIRONMENT)
    for name in ("requirements.lock", "pyproject.toml"):
        os.utime(checkout / name, (0, 0))
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("TRIAGE_", "MLFLOW_", "PYTHON", "GITHUB_"))
    }
    variables = {
        "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db",
        "GITHUB_STEP_SUMMARY": str(folder / "summary.md"),
        "REASON": "https://ci.example/run/7",
        "PIP_NO_INDEX": "1",
    }
    return Machine(checkout, kept | variables)


@pytest.fixture(scope="module")
def first(machine: Machine) -> list[tuple[str, int]]:
    steps = workflow_steps(machine.checkout / ".github/workflows/model.yml")
    return machine.run(steps, GITHUB)


@pytest.fixture(scope="module")
def mixed_up(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tickets, but two intents of the training split have each other's label."""
    folder = tmp_path_factory.mktemp("export")
    tickets = ROOT / "triage/tickets"
    shutil.copy(tickets / "test.csv", folder)
    train = pd.read_csv(tickets / "train.csv", keep_default_na=False)
    train["category"] = train["category"].replace(MIXED_UP)
    train.to_csv(folder / "train.csv", index=False)
    return folder


@pytest.fixture(scope="module")
def second(
    machine: Machine, first: list[tuple[str, int]], mixed_up: Path
) -> list[tuple[str, int]]:
    steps = jenkins_steps(machine.checkout / "Jenkinsfile")
    return machine.run(steps, JENKINS, TRIAGE_DATA=str(mixed_up))


def test_the_first_run_makes_a_champion(
    machine: Machine, first: list[tuple[str, int]]
) -> None:
    steps = workflow_steps(ROOT / ".github/workflows/model.yml")
    assert first == [(step.name, 0) for step in steps]

    assert machine.aliases() == {"champion": 1, "candidate": 1}
    client = mlflow.MlflowClient(machine.variables["MLFLOW_TRACKING_URI"])
    champion = client.get_model_version_by_alias("triage", "champion")
    assert machine.variables["REASON"] in champion.tags.values()
    assert (
        "no champion yet" in Path(machine.variables["GITHUB_STEP_SUMMARY"]).read_text()
    )


def test_the_second_run_stops_at_the_gate_and_moves_nothing(
    machine: Machine, second: list[tuple[str, int]]
) -> None:
    assert second == [
        ("Set up", 0),
        ("Validate the data", 0),
        ("Train", 0),
        ("Evaluate", 0),
        ("Test the behaviour", 0),
        ("Register the candidate", 0),
        ("Compare with the champion", 1),
    ]
    assert machine.aliases() == {"champion": 1, "candidate": 2}
    assert machine.decision.startswith("Refuse: ")
    assert "intent refund_request" in machine.decision
    assert "intent refund_status" in machine.decision


def test_a_gate_that_cannot_decide_has_another_exit_code_and_no_decision(
    machine: Machine, second: list[tuple[str, int]]
) -> None:
    (gate,) = [
        step
        for step in jenkins_steps(machine.checkout / "Jenkinsfile")
        if "triage gate" in step.command
    ]
    nobody = "http://127.0.0.1:1"

    assert machine.exit_code(gate, JENKINS, {"MLFLOW_TRACKING_URI": nobody}) == 2
    assert machine.decision == ""
