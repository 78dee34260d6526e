"""GitHub's workflows run what people run, with pinned actions and no more rights than they need."""

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
# What a job may write, and nothing else.
WRITES = {
    ("model", "promote"): {"id-token"},
    ("publish", "deploy"): {"pages", "id-token"},
    ("nightly", "report"): {"issues"},
}
EACH = pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)


def jobs(path):
    return yaml.safe_load(path.read_text())["jobs"]


def steps(path):
    return [step for job in jobs(path).values() for step in job["steps"]]


def test_there_is_one_workflow_for_each_purpose():
    assert [path.stem for path in WORKFLOWS] == [
        "model",
        "nightly",
        "publish",
        "tests",
    ]


@EACH
def test_actions_are_pinned_by_commit_and_say_their_version(path):
    used = re.findall(r"uses: *(.*)", path.read_text())

    assert used
    for action in used:
        assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action), (
            action
        )


def test_all_workflows_pin_the_same_commit_of_an_action():
    used = {
        line
        for path in WORKFLOWS
        for line in re.findall(r"uses: *(.*)", path.read_text())
    }

    assert len({line.split("@")[0] for line in used}) == len(used)


@EACH
def test_rights_are_granted_job_by_job(path):
    assert yaml.safe_load(path.read_text())["permissions"] == {}
    for name, job in jobs(path).items():
        written = {
            right for right, level in job["permissions"].items() if level == "write"
        }
        assert written == WRITES.get((path.stem, name), set()), name
        assert job["permissions"].get("contents") != "write"


@EACH
def test_the_code_is_checked_out_without_credentials(path):
    for step in steps(path):
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False


@EACH
def test_every_job_ends_and_runs_of_a_workflow_do_not_race(path):
    assert "concurrency" in yaml.safe_load(path.read_text())
    for name, job in jobs(path).items():
        assert job["timeout-minutes"] <= 90, name


@EACH
def test_nothing_that_fails_is_waved_through(path):
    assert "continue-on-error" not in path.read_text()
    for step in steps(path):
        assert "||" not in step.get("run", "")


@EACH
def test_they_run_the_vocabulary_of_the_makefile(path):
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M)
    for step in steps(path):
        for target in re.findall(r"\bmake ([a-z]+)", step.get("run", "")):
            assert target in targets


@pytest.mark.parametrize(
    ("workflow", "job"),
    [("tests", "test"), ("nightly", "locked"), ("nightly", "fresh")],
)
def test_tests_in_ci_may_not_be_skipped(workflow, job):
    path = ROOT / f".github/workflows/{workflow}.yml"
    (step,) = [
        step for step in jobs(path)[job]["steps"] if step.get("run") == "make test"
    ]

    assert step["env"] == {"REQUIRE_SYSTEM": "1"}


def test_the_nightly_run_covers_every_supported_python_and_fresh_dependencies():
    nightly = jobs(ROOT / ".github/workflows/nightly.yml")

    assert nightly["locked"]["strategy"]["matrix"]["python"] == ["3.11", "3.12", "3.13"]
    assert "make lock UPGRADE=1" in [
        step.get("run") for step in nightly["fresh"]["steps"]
    ]
    assert set(nightly["report"]["needs"]) == {"locked", "fresh", "cluster"}
    for needed in nightly["report"]["needs"]:
        assert f"needs.{needed}.result != 'success'" in nightly["report"]["if"]
