"""The assignment `orchestrate`: its parts fit together, and pods get what their manifests deserve."""

import json
import shutil
import sys
from pathlib import Path
from types import ModuleType

import pytest

from autograder import assignments, judge
from autograder.checks import Assignment
from autograder.verdict import CheckResult, Verdict

FOLDER = assignments.COURSE / "05-orchestrate"
SUBMISSIONS = sorted(path.name for path in (FOLDER / "submissions").iterdir())
WRONG = [name for name in SUBMISSIONS if name.startswith("wrong-")]
# What is not accepted, or never becomes ready, cannot be looked at any further.
FATAL = {
    "wrong-untouched-starter",
    "wrong-misspelt",
    "wrong-probes-another-port",
    "wrong-user-by-name",
}
# A probe that asks the wrong question does so while loading, and of a version without a model.
TWICE = {"wrong-ready-is-alive", "wrong-liveness-asks-for-the-model"}


@pytest.fixture(scope="module")
def orchestrate() -> Assignment:
    return assignments.load(FOLDER)


def module(orchestrate: Assignment, name: str) -> ModuleType:
    """One of the assignment's modules; which package they are in is the loader's affair."""
    function = orchestrate.checks["orchestrate/reads"].function
    return sys.modules[f"{function.__module__.rpartition('.')[0]}.{name}"]


def expectation(name: str) -> dict:
    return json.loads((FOLDER / "submissions" / name / "expected.json").read_bytes())


def graded(folder: Path, orchestrate: Assignment) -> Verdict:
    verdict = judge.grade(folder, orchestrate, learner="ada", seed=7)
    assert verdict.status == "graded", verdict.message
    return verdict


# --- its parts ---


def test_every_check_has_a_submission_that_fails_it_alone(
    orchestrate: Assignment,
) -> None:
    losses = [expectation(name)["loses"] for name in WRONG if name not in FATAL | TWICE]
    assert all(len(loses) == 1 for loses in losses)
    never = {"orchestrate/reads", "orchestrate/runs"}
    assert {loses[0] for loses in losses} == orchestrate.checks.keys() - never
    for check in never:
        assert any(check in expectation(name)["loses"] for name in FATAL)


def test_notebook_and_checks_name_the_same_figures(orchestrate: Assignment) -> None:
    contract = " ".join((FOLDER / "notebook.md").read_text().split())
    checks, hidden = (module(orchestrate, name) for name in ("checks", "hidden"))
    bench = module(orchestrate, "bench")
    assert f"at most {checks.MOST >> 20}Mi" in contract
    assert f"port {bench.PORT} of the pod" in contract
    assert f"{hidden.SLOW_START} seconds may pass" in contract
    assert f"no traffic after {hidden.UNREADY} seconds" in contract
    assert f"started again after {hidden.STUCK}" in contract
    assert f"sent {hidden.LAG - 0.5:g} seconds after" in contract
    assert f"Kubernetes {bench.manifests.VERSION}" in contract


def test_manifests_of_right_submissions_keep_the_policy(
    orchestrate: Assignment,
) -> None:
    bench, policy = (module(orchestrate, name) for name in ("bench", "policy"))
    kinds = ("Deployment", "Service", "ConfigMap", "PodDisruptionBudget")
    for name in SUBMISSIONS:
        if name in FATAL:
            continue
        found = bench.manifests.read(FOLDER / "submissions" / name / bench.FILE)
        stack = bench.Stack(*(bench.only(found, kind) for kind in kinds))
        broken = policy.broken(stack)
        loses = "orchestrate/policy" in expectation(name)["loses"]
        assert len(broken) == (1 if loses else 0), (name, broken)


# --- what it says ---


def first_lost(folder: Path, orchestrate: Assignment, check: str) -> CheckResult:
    with (
        judge.taken_in(folder, orchestrate) as (_, copy),
        judge.work_on(copy, orchestrate, seed=7) as work,
    ):
        wanted = orchestrate.required([f"orchestrate/{check}"])
        return list(judge.run_checks(work, list(wanted)))[-1]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("kind: ConfigMap", "kind: Secret", "There is no ConfigMap"),
        ("startupProbe:", "startupProb:", "'startupProb' was unexpected"),
        ("replicas: 3", "replicas: three", "spec.replicas"),
        ("apiVersion: policy/v1", "apiVersion: policy/v1beta1", "no such kind"),
    ],
)
def test_what_kubernetes_refuses_is_named(
    tmp_path: Path, orchestrate: Assignment, old: str, new: str, said: str
) -> None:
    folder = shutil.copytree(FOLDER / "submissions/reference", tmp_path / "in")
    path = folder / "triage.yaml"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))
    result = first_lost(folder, orchestrate, "reads")
    assert result.points == 0
    assert said in result.seen


@pytest.mark.slow
@pytest.mark.needs("base-image")
@pytest.mark.parametrize("name", SUBMISSIONS)
def test_submission_gets_what_it_deserves(name: str, orchestrate: Assignment) -> None:
    verdict = graded(FOLDER / "submissions" / name, orchestrate)
    lost = {check.id for check in verdict.checks if check.points < check.max_points}
    assert lost == set(expectation(name)["loses"])
    assert verdict.points == expectation(name)["points"]
