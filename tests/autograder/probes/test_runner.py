"""A job's steps, as GitHub would run them, and colours as GitHub would show them."""

from pathlib import Path

import pytest

from autograder.errors import InfrastructureError, LearnerError
from autograder.probes import runner, workflow
from autograder.probes.runner import Run
from autograder.sandbox import Completed, Limits
from autograder.sandbox.bubblewrap import Bubblewrap
from autograder.sandbox.direct import Direct


def document(folder: Path, steps: str, job: str = "", top: str = "") -> dict:
    """A workflow with these lines in its places."""
    path = folder / "workflow.yml"
    path.write_text(
        f"on: push\n{top}\njobs:\n  gate:\n    runs-on: ubuntu-24.04\n    {job}\n    steps:\n"
        + "".join(f"      {line}\n" for line in steps.splitlines())
    )
    return workflow.read(path)


def run(
    folder: Path, steps: str, job: str = "", top: str = "", seconds: float = 20
) -> Run:
    found = runner.steps(document(folder, steps, job, top))
    return runner.run(found, Direct(), folder, Limits(seconds=seconds))


@pytest.mark.parametrize(
    ("steps", "green"),
    [
        ("- run: true", True),
        ("- run: 'false'", False),
        ("- run: exit 3", False),
        ("- run: false | cat", True),
        ("- {run: false | cat, shell: bash}", False),
        ("- {run: false | cat, shell: sh}", True),
        ("- run: false || true", True),
        ("- {run: 'false', continue-on-error: true}", True),
        ("- {run: 'false', continue-on-error: false}", False),
        ('- run: |\n    false\n    echo "not reached"', False),
        ("- {run: 'false', continue-on-error: true}\n- run: 'false'", False),
        ("- uses: actions/checkout@v7\n- run: true", True),
        ("- run: 'false'\n- {run: true, if: always()}", False),
        ("- {run: 'false', if: failure()}", True),
        ("- {run: true, working-directory: nowhere}", False),
    ],
)
def test_a_run_has_the_colour_that_github_would_show(
    steps: str, green: bool, tmp_path: Path
) -> None:
    assert run(tmp_path, steps).green is green


@pytest.mark.parametrize(
    ("condition", "runs"),
    [
        ("success()", False),
        ("hashFiles('here.txt') != ''", False),
        ("failure()", True),
        ("always()", True),
        ("'!cancelled()'", True),
        ("'${{ always() }}'", True),
        ("always() && hashFiles('here.txt') != ''", True),
        ("always() && hashFiles('elsewhere.txt') != ''", False),
        ("failure() && hashFiles('elsewhere.txt') == ''", True),
    ],
)
def test_after_a_failed_step_the_condition_decides(
    condition: str, runs: bool, tmp_path: Path
) -> None:
    steps = f'- run: touch here.txt; exit 1\n- run: echo ran >> "$GITHUB_STEP_SUMMARY"\n  if: {condition}'
    found = run(tmp_path, steps)
    assert not found.green
    assert found.summary == ("ran\n" if runs else "")
    assert found.failed == "number 1"


def test_files_stay_between_steps_and_the_folder_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    steps = '- run: echo a > sub/file\n- run: cat file >> "$GITHUB_STEP_SUMMARY"\n  working-directory: sub'
    assert run(tmp_path, steps).summary == "a\n"
    assert list((tmp_path / "sub").iterdir()) == []


def test_the_nearest_environment_counts_and_the_runner_adds_its_own(
    tmp_path: Path,
) -> None:
    steps = '- run: echo "$A $B $C $D $CI" >> "$GITHUB_STEP_SUMMARY"\n  env: {A: step, D: 0}'
    found = run(tmp_path, steps, "env: {A: job, B: job}", "env: {A: top, B: top, C: 1}")
    assert found.summary == "step job 1 0 true\n"


def test_python_is_the_courses_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    found = run(tmp_path, "- run: python -c 'import safetensors'")
    assert found.green, found.log


@pytest.mark.parametrize(
    ("steps", "job", "seen"),
    [
        ("- {run: true, shell: python}", "", "shell 'python'"),
        ("- run: echo ${{ github.sha }}", "", "has an expression"),
        ("- {run: true, env: {A: '${{ secrets.A }}'}}", "", "has an expression"),
        ("- {run: true, if: github.ref == 'x'}", "", "does not understand this `if`"),
        ("- {run: true, if: hashFiles('**') != ''}", "", "not understand this `if`"),
        ("- {run: true, if: always() && failure()}", "", "several states"),
        ("- run: true", "strategy: {matrix: {a: [1]}}", "`strategy` in the job"),
        ("- run: true", "container: alpine", "`container` in the job"),
        ("- run: true", "continue-on-error: 'true'", "continue-on-error"),
        ("- run: true", "if: 'false'", "`if` in the job"),
        ("- uses: actions/checkout@v7", "", "no `run` step"),
    ],
)
def test_what_is_not_understood_is_refused(
    steps: str, job: str, seen: str, tmp_path: Path
) -> None:
    with pytest.raises(LearnerError, match=seen):
        runner.steps(document(tmp_path, steps, job))


def test_two_jobs_are_refused(tmp_path: Path) -> None:
    two = document(tmp_path, "- run: true")
    two["jobs"]["other"] = two["jobs"]["gate"]
    with pytest.raises(LearnerError, match="2 jobs"):
        runner.steps(two)


def test_defaults_of_the_workflow_are_refused(tmp_path: Path) -> None:
    with pytest.raises(LearnerError, match="`defaults` in the workflow"):
        runner.steps(
            document(tmp_path, "- run: true", top="defaults: {run: {shell: bash}}")
        )


# --- what a hostile step can do ---


def test_a_step_without_end_is_stopped_and_red(tmp_path: Path) -> None:
    found = run(tmp_path, "- run: sleep 60", seconds=1)
    assert (found.green, found.stopped) == (False, "time")


def test_a_step_that_kills_the_runner_is_red(tmp_path: Path) -> None:
    assert not run(tmp_path, "- run: kill -9 $PPID").green


@pytest.mark.parametrize(
    "steps",
    [
        '- run: rm "$GITHUB_STEP_SUMMARY"; mkdir "$GITHUB_STEP_SUMMARY"',
        '- run: rm "$GITHUB_STEP_SUMMARY"',
        '- {run: "true", env: {"A=B": c}}',
        "- {run: 'true', working-directory: /nowhere}",
        "- run: chmod 0 . && rm -rf ../workspace",
    ],
)
def test_what_upsets_the_runner_is_red(steps: str, tmp_path: Path) -> None:
    assert not run(tmp_path, f"{steps}\n- run: 'true'").green


def test_a_summary_is_cut_and_made_printable(tmp_path: Path) -> None:
    steps = (
        '- run: head -c 1000000 /dev/zero | tr "\\0" "\\377" > "$GITHUB_STEP_SUMMARY"'
    )
    found = run(tmp_path, steps)
    assert found.green
    assert len(found.summary) == 64_000
    found.summary.encode()


@pytest.mark.needs("bubblewrap")
def test_without_its_first_step_it_is_the_machines_fault(tmp_path: Path) -> None:
    class Dead(Bubblewrap):
        def run(self, *_: object, **__: object) -> Completed:  # type: ignore[override]
            return Completed(1, b"", b"no space left", 0.1, "")

    with pytest.raises(InfrastructureError, match="no space left"):
        runner.run(runner.steps(document(tmp_path, "- run: true")), Dead(), tmp_path)


@pytest.mark.parametrize(
    "said",
    [
        b'["ended", false, "\\ud800"]',
        b'["ended", "no", 3]',
        b'["ran", 99, 1]',
        b'["ran", "x", 1]',
        pytest.param(b"[" * 100_000, id="deep"),
        b"\xff\xfe",
        b"{}",
    ],
)
def test_forged_messages_are_data(
    said: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Forger:
        name = "forger"

        def run(self, *_: object, **__: object) -> Completed:
            lines = [b'n ["begun"]', b"n " + said, b"", b"x [1]"]
            return Completed(0, b"\n".join(lines) + b"\n", b"", 0.1, "")

    monkeypatch.setattr(runner.secrets, "token_hex", lambda _: "n")
    job = runner.steps(document(tmp_path, "- run: true"))
    found = runner.run(job, Forger(), tmp_path)  # type: ignore[arg-type]
    found.summary.encode()
    assert found.green == (b"false" in said)
