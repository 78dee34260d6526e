"""The model's workflow is what GitHub accepts, what an auditor lets pass, and what may move an alias."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator

ROOT = Path(__file__).parents[2]
WORKFLOW = ROOT / ".github/workflows/model.yml"
SCHEMA_ID = "https://json.schemastore.org/github-workflow.json"


def zizmor() -> str:
    path = shutil.which("zizmor", path=ROOT / ".venv/bin") or shutil.which("zizmor")
    assert path, "zizmor is missing; `make setup` installs it"
    return path


@pytest.fixture(scope="module")
def schema() -> Draft7Validator:
    """GitHub's workflow schema as SchemaStore publishes it; zizmor carries a copy in its program file."""
    program = Path(zizmor()).read_bytes()
    named = program.index(f'"$id": "{SCHEMA_ID}"'.encode())
    text = program[program.rindex(b"{", 0, named) : named + 1_000_000]
    found, _ = json.JSONDecoder().raw_decode(text.decode(errors="replace"))
    assert found["$id"] == SCHEMA_ID
    assert {"on", "jobs"} <= set(found["required"])
    return Draft7Validator(found)


def problems(schema: Draft7Validator, text: str) -> list[str]:
    workflow = yaml.safe_load(text)
    workflow["on"] = workflow.pop(True)  # what YAML 1.1 makes of a bare `on`
    return [error.message for error in schema.iter_errors(workflow)]


def findings(text: str, folder: Path) -> set[str]:
    """The names of what zizmor objects to, at its most suspicious."""
    path = folder / ".github/workflows/model.yml"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    command = [zizmor(), "--offline", "--persona=auditor", "--format=json", str(path)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60)
    found = {finding["ident"] for finding in json.loads(run.stdout)}
    assert (run.returncode == 0) == (not found), run.stderr
    return found


def changed(old: str, new: str) -> str:
    text = WORKFLOW.read_text()
    assert old in text
    return text.replace(old, new, 1)


def test_it_is_a_workflow_by_the_schema(schema: Draft7Validator) -> None:
    assert problems(schema, WORKFLOW.read_text()) == []


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
def test_the_schema_refuses(old: str, new: str, schema: Draft7Validator) -> None:
    assert problems(schema, changed(old, new)) != []


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
