"""The assignment `gate-the-model`: its parts fit together, its candidates are what the contract says,
and it says the right things of what it meets."""

import hashlib
import json
import re
import shutil
import struct
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load

from autograder import assignments, judge, learner
from autograder.checks import Assignment
from autograder.errors import LearnerError
from autograder.verdict import CheckResult, Verdict

FOLDER = assignments.COURSE / "04-gate-the-model"
SUBMISSIONS = sorted(path.name for path in (FOLDER / "submissions").iterdir())
WRONG = [name for name in SUBMISSIONS if name.startswith("wrong-")]
# Where every run has the same colour, or GitHub would run nothing, there is nothing more to look at.
FATAL = {
    "wrong-misspelt-key",
    "wrong-pipe-hides-it",
    "wrong-continue-on-error",
    "wrong-lets-nothing-through",
    "wrong-believes-the-card",
}
# Without a summary there is no telling refused from broken, and no reason to look at.
SILENT = {"wrong-silent-when-red"}
# Cannot be read as an array of answers.
UNUSABLE = ("cut-off", "misfit", "no-number")


@pytest.fixture(scope="module")
def gate() -> Assignment:
    return assignments.load(FOLDER)


@pytest.fixture(scope="module")
def candidates(gate: Assignment) -> ModuleType:
    return module(gate, "candidates")


@pytest.fixture(scope="module")
def drawing(gate: Assignment) -> ModuleType:
    return module(gate, "drawing")


@pytest.fixture(scope="module")
def bench(gate: Assignment) -> ModuleType:
    return module(gate, "bench")


def module(gate: Assignment, name: str) -> ModuleType:
    """One of the assignment's modules; which package they are in is the loader's affair."""
    function = gate.checks["gate-the-model/reads"].function
    return sys.modules[f"{function.__module__.rpartition('.')[0]}.{name}"]


def expectation(name: str) -> dict:
    return json.loads((FOLDER / "submissions" / name / "expected.json").read_bytes())


def handed_in(folder: Path, *changes: tuple[str, str, str], **more: str) -> Path:
    """The reference with changes, each `(file, old, new)`, and with more files."""
    shutil.copytree(FOLDER / "submissions" / "reference", folder, dirs_exist_ok=True)
    for file, old, new in changes:
        text = (folder / file).read_text()
        assert old in text
        (folder / file).write_text(text.replace(old, new))
    for name, text in more.items():
        (folder / f"{name}.py").write_text(text)
    return folder


def graded(folder: Path, gate: Assignment, seed: int = 7) -> Verdict:
    verdict = judge.grade(folder, gate, learner="ada", seed=seed)
    assert verdict.status == "graded", verdict.message
    return verdict


def checked(folder: Path, gate: Assignment, id: str) -> CheckResult:
    """One check and what it needs, as the judge runs them."""
    with (
        judge.taken_in(folder, gate) as (_, copy),
        judge.work_on(copy, gate, seed=7) as work,
    ):
        return list(judge.run_checks(work, list(gate.required([id]))))[-1]


def lost(verdict: Verdict) -> list[str]:
    return sorted(one.id for one in verdict.checks if one.points < one.max_points)


# --- its parts ---


def test_every_check_of_a_colour_needs_both_colours_first(gate: Assignment) -> None:
    for check in gate.checks.values():
        if check.hidden or check.id.endswith(("/tells", "/broken")):
            assert set(check.needs) <= {
                "gate-the-model/decides",
                "gate-the-model/tells",
            }
            assert check.needs


def test_every_check_has_a_submission_that_fails_it_alone(gate: Assignment) -> None:
    alone = [expectation(name)["loses"] for name in WRONG if name not in FATAL | SILENT]
    assert all(len(loses) == 1 for loses in alone)
    never = {f"gate-the-model/{check}" for check in ("reads", "decides", "tells")}
    assert {loses[0] for loses in alone} == gate.checks.keys() - never
    for check in never:
        assert any(check in expectation(name)["loses"] for name in FATAL | SILENT)


@pytest.mark.slow
def test_learners_can_draw_the_candidates_of_the_public_checks(
    candidates: ModuleType, tmp_path: Path, drawing: ModuleType
) -> None:
    for name in ("model.py", "drawing.py", "candidates.py"):
        shutil.copyfile(FOLDER / name, tmp_path / name)
    command = [sys.executable, "candidates.py"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    draw = drawing.Draw(0)
    expected = json.loads((tmp_path / "examples/expected.json").read_bytes())
    assert expected.keys() == candidates.KINDS.keys()
    assert (tmp_path / "champion/model.safetensors").read_bytes() == draw.champion
    for kind in ("better", "worse", "no-number"):
        drawn = candidates.candidate(draw, kind)
        example = tmp_path / "examples" / kind / "model.safetensors"
        assert example.read_bytes() == drawn.file
        assert (expected[kind] == "promote") == drawn.good


# --- its candidates ---


def opened(drawing: ModuleType, file: bytes) -> tuple[Any, dict]:
    """What a model file answers to every ticket, and its card."""
    [length] = struct.unpack("<Q", file[:8])
    header = json.loads(file[8 : 8 + length])
    tensors = {name: array.astype(np.float32) for name, array in load(file).items()}
    logits = drawing.matrix() @ tensors["weights"] + tensors["bias"]
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    answers = drawing.Answers(
        logits.argmax(axis=1), odds.max(axis=1) / odds.sum(axis=1)
    )
    return answers, json.loads(header["__metadata__"]["card"])


@pytest.mark.parametrize("seed", [0, 11, 2**47])
def test_candidates_are_as_the_contract_says(
    seed: int, candidates: ModuleType, drawing: ModuleType
) -> None:
    draw = drawing.Draw(seed)
    before, card = opened(drawing, draw.champion)
    was_right = before.said == draw.truth
    assert 0.7 < was_right[draw.test].mean() < 0.9
    for kind in candidates.KINDS.keys() - set(UNUSABLE):
        drawn = candidates.candidate(draw, kind)
        after, _ = opened(drawing, drawn.file)
        gain = (after.said == draw.truth).astype(float) - was_right
        overall = gain[draw.test].mean()
        slices = {
            name: gain[member & draw.test].mean()
            for name, member in drawing.slices().items()
        }
        worse = draw.calibration_error(after) - draw.calibration_error(before)
        bad = {fault for fault in drawn.faults if fault.startswith("slice")}
        for name, change in slices.items():
            if f"slice {name}" in bad:
                assert change < -1 / 3, (kind, name)
            elif "accuracy" not in drawn.faults:
                assert change >= -0.1 - 1e-9, (kind, name)
        assert overall < -0.1 if "accuracy" in drawn.faults else overall > -0.01, kind
        assert worse > 0.1 if "calibration" in drawn.faults else worse < 0.05, kind
        known = set(card["intents"])
        intents = opened(drawing, drawn.file)[1]["intents"]
        assert (set(intents) == known) == ("schema" not in drawn.faults), kind


def test_memory_shows_in_the_training_split_only(
    candidates: ModuleType, drawing: ModuleType
) -> None:
    draw = drawing.Draw(3)
    answers, _ = opened(drawing, candidates.candidate(draw, "overfitted").file)
    right = answers.said == draw.truth
    assert right[~draw.test].all()
    assert right[draw.test].mean() < draw.champion_right[draw.test].mean() - 0.1


def test_some_messages_get_no_number_and_most_do(
    candidates: ModuleType, drawing: ModuleType
) -> None:
    draw = drawing.Draw(3)
    weights = load(candidates.candidate(draw, "no-number").file)["weights"]
    [bucket] = np.flatnonzero(np.isnan(weights).any(axis=1))
    met = (drawing.matrix()[draw.test, bucket] > 0).sum()
    assert 2 <= met <= 4


def test_the_slow_one_computes_an_order_of_magnitude_longer(
    drawing: ModuleType,
) -> None:
    """Told by how often each expression runs over the whole message at each word, not by a clock."""
    rng = np.random.default_rng(0)
    fast, slow = (drawing.pattern(rng, slow=slow) for slow in (False, True))
    for ticket in drawing.tickets()[::50]:
        assert re.findall(fast, ticket["text"].lower()) == re.findall(
            slow, ticket["text"].lower()
        )
    assert slow.count(".*") - fast.count(".*") == 2  # each multiplies by the length


def test_nothing_beside_behaviour_tells_good_from_bad(
    candidates: ModuleType, drawing: ModuleType
) -> None:
    sizes: dict[bool, set[int]] = {True: set(), False: set()}
    keys = set()
    for seed in range(4):
        draw = drawing.Draw(seed)
        for kind in candidates.KINDS.keys() - {"cut-off", "misfit", "unknown-intent"}:
            drawn = candidates.candidate(draw, kind)
            _, card = opened(drawing, drawn.file)
            keys.add(tuple(sorted(card)))
            assert 0.9 <= card["claimed_accuracy"] <= 0.99
            if kind != "slow":  # its expression is eight characters longer
                sizes[drawn.good].add(len(drawn.file) // 16)
    assert len(keys) == 1
    assert max(sizes[True]) - min(sizes[True]) <= 2
    assert sizes[False] <= set(range(min(sizes[True]) - 1, max(sizes[True]) + 2))


def test_a_seed_gives_the_same_again_and_another_seed_gives_others(
    candidates: ModuleType, drawing: ModuleType
) -> None:
    first, again, other = (drawing.Draw(seed) for seed in (5, 5, 6))
    assert first.champion == again.champion != other.champion
    assert first.table("test") == again.table("test") != other.table("test")
    for kind in candidates.KINDS:
        ours = candidates.candidate(first, kind).file
        assert (
            ours
            == candidates.candidate(again, kind).file
            != candidates.candidate(other, kind).file
        )


def test_the_two_splits_share_no_message(drawing: ModuleType) -> None:
    draw = drawing.Draw(1)
    assert draw.table("test").count(b"\n") > 300
    assert (draw.test.sum() + (~draw.test).sum()) == len(drawing.tickets())
    for member in drawing.slices().values():
        assert (member & draw.test).sum() >= 15


# --- what it reads in a summary ---


@pytest.mark.parametrize(
    ("summary", "promote", "reasons"),
    [
        ("Promote", True, set()),
        ("# Promote: all is well\n", True, set()),
        (
            "figures\n\n**Refuse: accuracy, slice angry**\n\n- more",
            False,
            {"accuracy", "slice angry"},
        ),
        ("## Refuse: schema.", False, {"schema"}),
        ("> Refuse:", False, set()),
    ],
)
def test_a_decision_is_found_in_markdown(
    summary: str, promote: bool, reasons: set[str], bench: ModuleType
) -> None:
    assert bench.decision(summary) == bench.Decision(promote, frozenset(reasons))


@pytest.mark.parametrize("summary", ["", "It is refused.", "we Promote", "Promoted"])
def test_no_decision_is_none(summary: str, bench: ModuleType) -> None:
    assert bench.decision(summary) is None


@pytest.mark.parametrize(
    ("summary", "seen"),
    [
        ("Promote\nRefuse: accuracy", "2 lines"),
        ("Refuse: it is bad", "because of 'it is bad'"),
        ("Refuse: slice", "because of 'slice'"),
        ("Refuse: <script>" + "x" * 9999, "because of '<script>x{72}'"),
    ],
)
def test_what_cannot_be_understood_is_said(
    summary: str, seen: str, bench: ModuleType
) -> None:
    with pytest.raises(LearnerError, match=seen):
        bench.decision(summary)


# --- what it says of submissions ---


@pytest.mark.parametrize("name", SUBMISSIONS)
@pytest.mark.slow
@pytest.mark.needs("bubblewrap")
def test_submission_loses_just_the_points_of_its_mistake(
    name: str, gate: Assignment
) -> None:
    verdict = graded(FOLDER / "submissions" / name, gate)
    expected = expectation(name)
    assert lost(verdict) == sorted(expected["loses"]), [
        f"{check.id}: {check.seen}" for check in verdict.checks
    ]
    assert verdict.points == pytest.approx(expected["points"], abs=0.005)
    for check in verdict.checks:
        assert check.seen
        assert check.advice or check.points == check.max_points


PIN = "@3d3c42e5aac5ba805825da76410c181273ba90b1 # v7.0.1"


@pytest.mark.parametrize(
    ("check", "old", "new", "seen"),
    [
        ("audit", PIN, "@v7 # zizmor: ignore[unpinned-uses]", "line 22: unpinned"),
        ("audit", "persist-credentials: false", "fetch-depth: 1", "credential"),
        ("audit", "contents: read", "contents: write", "more than read the code"),
        ("audit", "contents: read", "id-token: write", "more than read the code"),
        ("audit", "permissions: {}", "permissions: read-all", ""),
        ("frame", "workflow_dispatch:", "pull_request:", "pull_request, repository"),
        ("frame", "group: gate", "group: gate-${{ github.ref }}", "Two runs can go on"),
        ("frame", "cancel-in-progress: false", "cancel-in-progress: true", "cancels"),
        ("frame", "timeout-minutes: 10", "timeout-minutes: 360", "go on for hours"),
        ("frame", "actions/checkout", "actions/cache", "begin in an empty folder"),
        ("frame", "  cancel-in-progress: false\n", "", ""),
    ],
)
def test_workflow_file_is_read_for_its_rights_and_its_frame(
    check: str, old: str, new: str, seen: str, gate: Assignment, tmp_path: Path
) -> None:
    folder = handed_in(tmp_path, ("workflow.yml", old, new))
    result = checked(folder, gate, f"gate-the-model/{check}")
    assert (result.points == 0) == bool(seen), result.seen
    assert seen in result.seen


@pytest.mark.slow
@pytest.mark.needs("bubblewrap")
def test_starter_runs_and_keeps_little_of_the_contract(gate: Assignment) -> None:
    verdict = graded(FOLDER / "starter", gate)
    said = {check.id.split("/")[1]: check for check in verdict.checks}
    assert verdict.points == 1
    assert "excessive-permissions" in said["audit"].seen
    assert "starts on pull_request, push" in said["frame"].seen
    assert "says Refuse, and is green" in said["decides"].seen
    assert "pipefail" in said["decides"].advice


@pytest.mark.slow
@pytest.mark.needs("bubblewrap")
def test_hidden_candidates_reach_the_instructor_and_not_the_learner(
    gate: Assignment,
) -> None:
    folder = FOLDER / "submissions/wrong-intents-only"
    slices = checked(folder, gate, "gate-the-model/slices")
    tried = {one["candidate"]: one for one in slices.evidence["trials"]}
    assert tried["worse-style"]["green"]
    [fault] = tried["worse-style"]["faults"]
    assert fault.removeprefix("slice ") not in slices.seen + slices.advice


@pytest.mark.slow
@pytest.mark.needs("bubblewrap")
def test_learner_sees_at_once_what_a_change_did(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(
        handed_in(tmp_path, ("gate.py", "return 1 if reasons", "return 1 if"))
    )
    before = learner.check("gate-the-model/decides")
    assert before.mark == "Not yet"
    assert "SyntaxError" in before.seen
    handed_in(tmp_path)
    assert learner.check("gate-the-model/decides").mark == "Right"
    assert learner.check("gate-the-model/slices").mark == "Later"


# --- those who want points without work ---

STATIC = 4  # for a good workflow file, whatever it runs
DECIDE = "run: python gate.py > decision.md"


@pytest.mark.slow
@pytest.mark.needs("bubblewrap")
@pytest.mark.parametrize(
    "step",
    [
        pytest.param("run: echo Promote > decision.md", id="always green"),
        pytest.param(
            'run: "echo Refuse: schema > decision.md; false"', id="always red"
        ),
        pytest.param(
            "run: cat /proc/$PPID/cmdline; ls /proc/$PPID/fd; kill -9 $PPID",
            id="kills the runner",
        ),
        pytest.param(
            'run: \'python -c "import os; os.write(1, b\\"0 [1]\\")"; exit 0\'',
            id="talks like the runner",
        ),
    ],
)
def test_a_gate_that_looks_at_nothing_earns_nothing(
    step: str, gate: Assignment, tmp_path: Path
) -> None:
    verdict = graded(handed_in(tmp_path, ("workflow.yml", DECIDE, step)), gate)
    assert verdict.points == STATIC


@pytest.mark.slow
@pytest.mark.needs("bubblewrap")
def test_hard_coded_decisions_are_worth_nothing_on_other_candidates(
    gate: Assignment, candidates: ModuleType, tmp_path: Path, drawing: ModuleType
) -> None:
    draw = drawing.Draw(0)
    good = [
        hashlib.sha256(candidates.candidate(draw, kind).file).hexdigest()
        for kind in ("better", "equal", "restless")
    ]
    code = f"""
import hashlib, sys
digest = hashlib.sha256(open("candidate/model.safetensors", "rb").read()).hexdigest()
good = digest in {good}
print("Promote" if good else "Refuse: accuracy")
sys.exit(not good)
"""
    folder = handed_in(tmp_path, gate=code)
    assert graded(folder, gate, seed=0).points > STATIC
    assert graded(folder, gate, seed=1).points == STATIC


@pytest.mark.slow
@pytest.mark.needs("bubblewrap")
def test_the_model_and_the_data_are_the_judges_own(
    gate: Assignment, tmp_path: Path
) -> None:
    """A learner's model.py is replaced, and what lies in the workspace's folders comes from the judge."""
    peek = "\nimport os\nprint(sorted(os.listdir('.')), sorted(os.listdir('data')), file=sys.stderr)\n"
    folder = handed_in(
        tmp_path,
        ("gate.py", 'if __name__ == "__main__":', f'{peek}if __name__ == "__main__":'),
        model="def load(path):\n    raise SystemExit(0)\n",
    )
    (folder / "data").mkdir()
    (folder / "data" / "test.csv").write_text("text,category,style\n")
    decides = checked(folder, gate, "gate-the-model/decides")
    assert decides.points == decides.max_points
    seen = decides.evidence["better"]["log"]
    assert "['test.csv', 'train.csv']" in seen
    assert "checks.py" not in seen
    assert "hidden.py" not in seen


@pytest.mark.slow
@pytest.mark.needs("bubblewrap")
def test_a_gate_without_end_is_stopped_and_told(
    gate: Assignment,
    bench: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bench, "LIMITS", bench.Limits(seconds=1))
    step = "run: trap '' TERM; sleep 600"
    folder = handed_in(tmp_path, ("workflow.yml", DECIDE, step))
    decides = checked(folder, gate, "gate-the-model/decides")
    assert "limit of time" in decides.seen
    assert decides.points == 0


@pytest.mark.slow
@pytest.mark.needs("bubblewrap")
def test_a_summary_of_odd_bytes_can_be_written_down(
    gate: Assignment, tmp_path: Path
) -> None:
    odd = r"printf 'Refuse: \377\355\240\200\0' > decision.md; exit 1"
    step = f"run: |\n          {odd}"
    verdict = graded(handed_in(tmp_path, ("workflow.yml", DECIDE, step)), gate)
    assert verdict.points == STATIC
    verdict.write(tmp_path / "verdict.json")
    assert Verdict.read(tmp_path / "verdict.json") == verdict


@pytest.mark.parametrize(
    ("old", "new", "seen"),
    [
        ("jobs:", "jobs: &a", "anchor"),
        (DECIDE, f"{DECIDE}\n        shell: python", "shell 'python'"),
        (DECIDE, "run: echo ${{ github.sha }}", "expression"),
        ("timeout-minutes", "timeout-minute", "timeout-minute"),
        ("    runs-on", "    container: alpine\n    runs-on", "`container`"),
        ("on:", "on: [\non:", "workflow.yml, line 5"),
    ],
)
def test_a_workflow_that_cannot_be_run_is_told_why(
    old: str, new: str, seen: str, gate: Assignment, tmp_path: Path
) -> None:
    verdict = graded(handed_in(tmp_path, ("workflow.yml", old, new)), gate)
    assert verdict.points == 0
    assert seen in verdict.checks[0].seen
