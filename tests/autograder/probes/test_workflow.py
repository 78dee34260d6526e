"""Reading a workflow that a stranger wrote: what is refused, what the schema says, what the auditor says."""

import contextlib
import re
from pathlib import Path

import pytest

from autograder.errors import InfrastructureError, LearnerError
from autograder.probes import workflow

GOOD = """\
name: Gate
on:
  workflow_dispatch:
permissions: {}
jobs:
  gate:
    name: Gate
    runs-on: ubuntu-24.04
    timeout-minutes: 10
    steps:
      - uses: actions/checkout@3d3c42e5aac5ba805825da76410c181273ba90b1 # v7.0.1
        with:
          persist-credentials: false
      - run: python gate.py
"""


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "workflow.yml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def changed(old: str, new: str) -> str:
    assert old in GOOD
    return GOOD.replace(old, new, 1)


def test_it_is_read_as_github_reads_it(tmp_path: Path) -> None:
    path = written(
        tmp_path, "on: push\nenv: {a: yes, b: true, c: 010, d: 2026-11-26, e: }"
    )
    assert workflow.read(path) == {
        "on": "push",
        "env": {"a": "yes", "b": True, "c": "010", "d": "2026-11-26", "e": None},
    }


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        pytest.param("a: [1", "line 1: expected", id="syntax"),
        pytest.param("a: &x [1]\nb: *x", "Line 1 .* an anchor", id="anchor"),
        pytest.param("a: *x", "Line 1 .* an anchor or alias", id="alias"),
        pytest.param("a: 1\na: 2", "Line 2 .* 'a' a second time", id="twice"),
        pytest.param("1: a", "Line 1 .* not a word", id="number as key"),
        pytest.param("[a]: 1", "Line 1 .* not a word", id="list as key"),
        pytest.param("a: !!python/name:os.system x", "the tag", id="code"),
        pytest.param("a: !!int 0x", "the tag", id="tag"),
        pytest.param("a: " + "[" * 5000, "nested more than", id="deep"),
        pytest.param("a: " + "{b: " * 3000, "nested more than", id="deep mapping"),
        pytest.param("a: b\n" * 4_000, "has 20,000 bytes", id="large"),
        pytest.param(b"a: \xff", "not UTF-8", id="bytes"),
        pytest.param("a: \0", "not YAML", id="NUL"),
        pytest.param('a: "\\ud800"', "not UTF-8", id="half a pair"),
        pytest.param("", "holds no workflow", id="empty"),
        pytest.param("- a", "holds no workflow", id="list"),
        pytest.param("a: 1\n---\nb: 2", "line 2: but found another", id="two"),
    ],
)
def test_what_is_no_workflow_is_refused_with_a_sentence(
    text: str | bytes, seen: str, tmp_path: Path
) -> None:
    with pytest.raises(LearnerError, match=seen) as refused:
        workflow.read(written(tmp_path, text))
    assert len(refused.value.seen) < 300
    assert refused.value.advice


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("", "", ""),
        ("timeout-minutes", "timeout-minute", "jobs.gate: .*'timeout-minute' was"),
        ("workflow_dispatch", "workflow_despatch", "on: .*'workflow_despatch'"),
        ("permissions: {}", "permissions: all", "permissions: 'all' is not"),
        ("    runs-on: ubuntu-24.04\n", "", "jobs.gate: 'runs-on' is a required"),
        ("- run:", "- runs:", "jobs.gate.steps.1: 'uses' is a required"),
    ],
)
def test_the_schema_names_the_place(
    old: str, new: str, complaint: str, tmp_path: Path
) -> None:
    found = workflow.complaint(workflow.read(written(tmp_path, changed(old, new))))
    assert re.match(f"(?:{complaint})", found) if complaint else found == "", found


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "job",
    [
        pytest.param(f"uses: {'a/' * 60}b", id="exponential"),
        pytest.param(f"name: {'${{' * 4_000}", id="quadratic"),
        pytest.param(f"timeout-minutes: {'${{' * 4_000}", id="quadratic refused"),
        pytest.param(f"environment: {{name: a, url: {'${{' * 4_000}}}", id="url"),
        pytest.param(f"steps: [{'{run: a}, ' * 1_400}]", id="many steps"),
    ],
)
def test_no_workflow_keeps_the_judge_busy(job: str, tmp_path: Path) -> None:
    path = written(tmp_path, f"on: push\njobs:\n  a:\n    runs-on: b\n    {job}")
    with contextlib.suppress(LearnerError):
        workflow.complaint(workflow.read(path))


def test_the_auditor_has_nothing_against_a_good_one(tmp_path: Path) -> None:
    assert workflow.audit(written(tmp_path, GOOD)) == []


def test_what_the_auditor_cannot_read_is_no_pass(tmp_path: Path) -> None:
    with pytest.raises(LearnerError, match="zizmor cannot make sense of workflow"):
        workflow.audit(written(tmp_path, "on: push"))


def test_without_an_auditor_it_is_the_machines_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for program, seen in (("/bin/false", "failed"), ("/nowhere", "did not finish")):
        monkeypatch.setattr(workflow, "zizmor", lambda program=program: program)
        with pytest.raises(InfrastructureError, match=seen):
            workflow.audit(written(tmp_path, GOOD))


@pytest.mark.parametrize(
    ("old", "new", "rule", "line"),
    [
        (
            "@3d3c42e5aac5ba805825da76410c181273ba90b1 # v7.0.1",
            "@v7",
            "unpinned-uses",
            11,
        ),
        (
            "@3d3c42e5aac5ba805825da76410c181273ba90b1 # v7.0.1",
            "@v7 # zizmor: ignore[unpinned-uses]",
            "unpinned-uses",
            11,
        ),
        ("persist-credentials: false", "fetch-depth: 1", "artipacked", 11),
        ("workflow_dispatch", "pull_request_target", "dangerous-triggers", 2),
        (
            "python gate.py",
            "echo ${{ github.event.client_payload.who }}",
            "template-injection",
            14,
        ),
    ],
)
def test_the_auditor_finds(
    old: str, new: str, rule: str, line: int, tmp_path: Path
) -> None:
    path = written(tmp_path, changed(old, new))
    (tmp_path / "zizmor.yml").write_text(f"rules: {{{rule}: {{disable: true}}}}")
    found = workflow.audit(path)
    assert rule in {one.rule for one in found}
    assert line in {one.line for one in found if one.rule == rule}
    assert all(one.about for one in found)
