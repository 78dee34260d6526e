"""The model's workflow is what GitHub accepts, what an auditor lets pass, and what may move an alias."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from autograder.probes import workflow as probe

ROOT = Path(__file__).parents[2]
WORKFLOW = ROOT / ".github/workflows/model.yml"


def complaint(text: str, folder: Path) -> str:
    """What the schema has against a workflow; "" if nothing."""
    path = folder / "model.yml"
    path.write_text(text)
    return probe.complaint(probe.read(path))


def findings(text: str, folder: Path) -> set[str]:
    """The names of what zizmor objects to, at its most suspicious."""
    path = folder / "model.yml"
    path.write_text(text)
    return {finding.rule for finding in probe.audit(path, persona="auditor")}


def changed(old: str, new: str) -> str:
    text = WORKFLOW.read_text()
    assert old in text
    return text.replace(old, new, 1)


def test_it_is_a_workflow_by_the_schema(tmp_path: Path) -> None:
    assert complaint(WORKFLOW.read_text(), tmp_path) == ""


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param("timeout-minutes:", "timeout-minute:", id="key misspelt"),
        pytest.param("contents: read", "contents: reading", id="unknown right"),
        pytest.param(
            "run: make setup", "runs: make setup", id="step that does nothing"
        ),
        pytest.param("  schedule:", "  scheduled:", id="unknown trigger"),
        pytest.param("runs-on: ubuntu-24.04", "needs: []", id="job without a runner"),
    ],
)
def test_the_schema_refuses(old: str, new: str, tmp_path: Path) -> None:
    assert complaint(changed(old, new), tmp_path) != ""


def test_the_audit_finds_nothing(tmp_path: Path) -> None:
    assert findings(WORKFLOW.read_text(), tmp_path) == set()


@pytest.mark.parametrize(
    ("old", "new", "finding"),
    [
        pytest.param(
            "run: make setup",
            "run: echo ${{ github.event.client_payload.reason }} && make setup",
            "template-injection",
            id="the sender of an event writes the script",
        ),
        pytest.param(
            "actions/checkout@3d3c42e5aac5ba805825da76410c181273ba90b1 # v7.0.1",
            "actions/checkout@v7",
            "unpinned-uses",
            id="an action that may change",
        ),
        pytest.param(
            "permissions: {}",
            "permissions: write-all",
            "excessive-permissions",
            id="every right",
        ),
        pytest.param(
            "persist-credentials: false",
            "fetch-depth: 1",
            "artipacked",
            id="the token stays on disk",
        ),
        pytest.param(
            "  schedule:",
            "  pull_request_target:\n  schedule:",
            "dangerous-triggers",
            id="a fork's code with the project's rights",
        ),
    ],
)
def test_the_audit_finds(old: str, new: str, finding: str, tmp_path: Path) -> None:
    assert finding in findings(changed(old, new), tmp_path)


# What neither schema nor audit knows about models


@pytest.fixture(scope="module")
def workflow() -> dict[Any, Any]:
    return yaml.safe_load(WORKFLOW.read_text())


def test_commit_schedule_and_data_start_it_and_pull_requests_do_not(
    workflow: dict[Any, Any],
) -> None:
    assert set(workflow[True]) == {
        "push",
        "schedule",
        "repository_dispatch",
        "workflow_dispatch",
    }
    assert workflow["jobs"]["candidate"]["if"] == "github.ref == 'refs/heads/main'"


def test_two_trainings_wait_for_each_other(workflow: dict[Any, Any]) -> None:
    assert workflow["concurrency"] == {"group": "model", "cancel-in-progress": False}


def test_only_the_promoting_job_has_an_identity(workflow: dict[Any, Any]) -> None:
    candidate, promote = workflow["jobs"]["candidate"], workflow["jobs"]["promote"]

    assert candidate["permissions"] == {"contents": "read"}
    assert promote["permissions"] == {"contents": "read", "id-token": "write"}
    assert promote["environment"] == "production"
    assert "environment" not in candidate
    assert "secrets." not in WORKFLOW.read_text()


def test_the_environment_is_cached_and_no_model_ever(workflow: dict[Any, Any]) -> None:
    assert re.findall(r"^ *cache\S*: .*", WORKFLOW.read_text(), re.M) == [
        "          cache: pip",
        "          cache-dependency-path: requirements.lock",
    ]
    for step in workflow["jobs"]["promote"]["steps"]:
        assert "cache" not in step.get("with", {})


def test_no_step_has_a_pipe_that_could_swallow_a_failure(
    workflow: dict[Any, Any],
) -> None:
    for job in workflow["jobs"].values():
        for step in job["steps"]:
            assert "|" not in step.get("run", "")
