"""The Jenkinsfile is read strictly, and runs what the workflow runs."""

from pathlib import Path

import pytest
from delivery.pipelines import (
    PipelineError,
    Step,
    jenkins_steps,
    shared,
    workflow_steps,
)

ROOT = Path(__file__).parents[2]
JENKINSFILE = ROOT / "Jenkinsfile"
WORKFLOW = ROOT / ".github/workflows/model.yml"

SMALL = """\
// A comment.
pipeline {
    agent {
        label 'models'
    }
    stages {
        stage('One') { // another
            steps {
                sh 'first'
                sh 'second > file.txt'
            }
        }

        stage('Two') {
            environment {
                URL = "${env.BUILD_URL}"
                TOKEN = credentials('token')
            }
            steps {
                sh 'echo "$URL"'
            }
            post {
                always {
                    archiveArtifacts 'file.txt'
                }
            }
        }
    }
}
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "Jenkinsfile"
    path.write_text(text)
    return path


def test_both_files_run_the_same_steps_in_the_same_order() -> None:
    assert shared(jenkins_steps(JENKINSFILE)) == shared(workflow_steps(WORKFLOW))
    assert [step.name for step in shared(jenkins_steps(JENKINSFILE))] == [
        "Set up",
        "Validate the data",
        "Train",
        "Evaluate",
        "Test the behaviour",
        "Register the candidate",
        "Compare with the champion",
        "Promote",
    ]


def test_only_the_summary_is_github_s_alone() -> None:
    steps = workflow_steps(WORKFLOW)

    others = [step.name for step in steps if step not in shared(steps)]
    assert others == ["Show the decision"]
    assert jenkins_steps(JENKINSFILE) == shared(jenkins_steps(JENKINSFILE))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param("triage gate >", "triage gate --alpha 0.5 >", id="other option"),
        pytest.param("triage behave", "triage evaluate", id="other verb"),
        pytest.param("stage('Train')", "stage('Fit')", id="other name"),
        pytest.param(
            "sh '.venv/bin/python -m triage evaluate'",
            "sh 'true'",
            id="step left out",
        ),
        pytest.param(
            "sh '.venv/bin/python -m triage register'",
            "sh '.venv/bin/python -m triage register'\n"
            "sh '.venv/bin/python -m triage promote candidate'",
            id="step more",
        ),
    ],
)
def test_a_difference_is_seen(old: str, new: str, tmp_path: Path) -> None:
    text = JENKINSFILE.read_text()
    assert text.count(old) == 1

    changed = jenkins_steps(write(tmp_path, text.replace(old, new)))

    assert shared(changed) != shared(workflow_steps(WORKFLOW))


def test_another_order_is_seen(tmp_path: Path) -> None:
    text = JENKINSFILE.read_text()
    for old, new in [("evaluate'", "?'"), ("behave'", "evaluate'"), ("?'", "behave'")]:
        text = text.replace(old, new)

    assert shared(jenkins_steps(write(tmp_path, text))) != shared(
        workflow_steps(WORKFLOW)
    )


def test_steps_are_read_in_order(tmp_path: Path) -> None:
    assert jenkins_steps(write(tmp_path, SMALL)) == [
        Step("One", "first"),
        Step("One", "second > file.txt"),
        Step("Two", 'echo "$URL"'),
    ]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param("pipeline {", "node {", id="scripted pipeline"),
        pytest.param("sh 'first'", 'sh "first ${env.X}"', id="Groovy expands the text"),
        pytest.param("sh 'first'", "sh 'fir\\'st'", id="escape in a text"),
        pytest.param("sh 'first'", "sh(script: 'first')", id="named argument"),
        pytest.param("sh 'first'", "sh(returnStatus: true)", id="status ignored"),
        pytest.param("sh 'first'", "echo 'first'", id="another step"),
        pytest.param("sh 'first'", "script {\nsh 'first'\n}", id="Groovy code"),
        pytest.param("sh 'first'", "if (x) {\nsh 'first'\n}", id="condition"),
        pytest.param("sh 'first'", "sh 'a' sh 'b'", id="two on one line"),
        pytest.param("sh 'first'", "A = 'first'", id="assignment among the steps"),
        pytest.param("stage('One') {", "stage {", id="stage without a name"),
        pytest.param(
            "post {", "when {\nbranch 'main'\n}\npost {", id="stage that may be skipped"
        ),
        pytest.param("post {", "steps {\nsh 'x'\n}\npost {", id="steps twice"),
        pytest.param("post {", "failFast 'x'\npost {", id="unknown directive"),
        pytest.param("always {", "failure {", id="unknown condition"),
        pytest.param("    agent {\n        label 'models'\n    }\n", "", id="no agent"),
        pytest.param("    stages {", "    parallel {", id="no stages"),
        pytest.param("// A comment.", "@Library('x') _", id="shared library"),
        pytest.param("// A comment.", "/* A comment. */", id="block comment"),
    ],
)
def test_what_it_does_not_know_is_refused(old: str, new: str, tmp_path: Path) -> None:
    assert SMALL.count(old) == 1

    with pytest.raises(PipelineError, match=r"^line \d+: "):
        jenkins_steps(write(tmp_path, SMALL.replace(old, new)))


def test_jobs_that_run_side_by_side_are_refused(tmp_path: Path) -> None:
    text = WORKFLOW.read_text()
    path = write(tmp_path, text.replace("    needs: candidate\n", ""))

    with pytest.raises(PipelineError, match="follow None; expected one"):
        workflow_steps(path)


@pytest.mark.parametrize("key", ["if: false", "continue-on-error: true", "shell: sh"])
def test_a_step_that_might_not_count_is_refused(key: str, tmp_path: Path) -> None:
    text = WORKFLOW.read_text()
    path = write(
        tmp_path, text.replace("- name: Train\n", f"- name: Train\n        {key}\n")
    )

    with pytest.raises(PipelineError, match="'Train'"):
        workflow_steps(path)
