"""The assignment `containerise`: its parts fit together, and it says the right things of what it meets."""

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from random import Random
from types import ModuleType

import pytest

from autograder import assignments, judge
from autograder.checks import Assignment
from autograder.probes.answer import Answer
from autograder.verdict import Verdict

FOLDER = assignments.COURSE / "02-containerise"
SUBMISSIONS = sorted(path.name for path in (FOLDER / "submissions").iterdir())
WRONG = [name for name in SUBMISSIONS if name.startswith("wrong-")]
# Without a service that becomes ready, or an image at all, there is more to lose than one check.
FATAL = {"wrong-foreign-base", "wrong-model-missing", "wrong-untouched-starter"}
# Wrong answers are wrong one by one and under load; a forger has several tricks, and none pays.
TWICE = {"wrong-mocked", "wrong-forged"}
# What podman does in its own way: layers, signals and health checks.
ON_PODMAN = [
    "reference",
    "wrong-healthcheck-always-well",
]


@pytest.fixture(scope="module")
def containerise() -> Assignment:
    return assignments.load(FOLDER)


def module(containerise: Assignment, name: str) -> ModuleType:
    """One of the assignment's modules; which package they are in is the loader's affair."""
    function = containerise.checks["containerise/builds"].function
    return sys.modules[f"{function.__module__.rpartition('.')[0]}.{name}"]


def expectation(name: str) -> dict:
    return json.loads((FOLDER / "submissions" / name / "expected.json").read_bytes())


def graded(name: str, containerise: Assignment) -> Verdict:
    folder = FOLDER / "submissions" / name
    return judge.grade(folder, containerise, learner=name, seed=7)


# --- its parts ---


def test_only_an_image_that_is_not_built_or_not_ready_costs_other_checks_their_points(
    containerise: Assignment,
) -> None:
    needs = {need for check in containerise.checks.values() for need in check.needs}
    assert needs == {"containerise/builds", "containerise/ready"}


def test_every_check_has_a_submission_that_fails_it_alone(
    containerise: Assignment,
) -> None:
    lost = [expectation(name)["loses"] for name in WRONG if name not in FATAL | TWICE]
    assert all(len(loses) == 1 for loses in lost)
    never = {f"containerise/{check}" for check in ("builds", "ready", "answers")}
    assert {loses[0] for loses in lost} == containerise.checks.keys() - never
    for check in never:
        assert any(check in expectation(name)["loses"] for name in FATAL | TWICE)


def test_expected_points_are_those_of_the_checks_that_are_not_lost(
    containerise: Assignment,
) -> None:
    for name in SUBMISSIONS:
        expected = expectation(name)
        lost = sum(containerise.checks[id].points for id in expected["loses"])
        halves = {"containerise/healthcheck", "containerise/pinned"}
        partly = (
            1 if set(expected["loses"]) & halves and len(expected["loses"]) == 1 else 0
        )
        assert 20 - lost <= expected["points"] <= 20 - lost + partly, name


def test_notebook_and_checks_name_the_same_figures(containerise: Assignment) -> None:
    contract = (FOLDER / "notebook.md").read_text()
    bench, checks = module(containerise, "bench"), module(containerise, "checks")
    assert f"at most {checks.BUDGET / 1e6:.0f} MB on top" in contract
    assert f"at most {checks.CHANGED / 1e6:.0f} MB of layers" in contract
    assert f"{bench.MEMORY.removesuffix('m')} MB of memory" in contract
    assert f"{bench.PIDS} processes and threads" in contract
    assert f"0.0.0.0:{bench.PORT}" in contract
    assert f"within {bench.GRACE:.0f} seconds" in contract


# --- what lies in the build folder ---


def test_planted_secrets_are_others_each_time(
    containerise: Assignment, tmp_path: Path
) -> None:
    plant = module(containerise, "bench").plant
    planted = []
    for number, seed in enumerate((1, 1, 2)):
        folder = tmp_path / str(number)
        folder.mkdir()
        planted.append(plant(folder, Random(seed)))
        for name, value in planted[-1].items():
            assert value in (folder / name).read_text()
    assert planted[0] == planted[1]
    assert not set(planted[0].values()) & set(planted[2].values())


# --- reading requirements.txt ---


@pytest.mark.parametrize(
    ("text", "pins"),
    [
        ("numpy==2.4.6\n", {"numpy": "2.4.6"}),
        ("# a comment\n\nNumPy == 2.4.6  # and why\n", {"numpy": "2.4.6"}),
        ("uvicorn[standard]==0.54.0\n", {"uvicorn": "0.54.0"}),
        ("Prometheus_Client===0.26.0", {"prometheus-client": "0.26.0"}),
        (
            "h11==0.16.0 \\\n    --hash=sha256:00 \\\n    --hash=sha256:11\n",
            {"h11": "0.16.0"},
        ),
        (
            'numpy==2.4.6 ; python_version < "3.12"\nnumpy==2.5.5 ; python_version >= "3.12"\n',
            {"numpy": "2.4.6"},
        ),
        ("--require-hashes\r\nidna==3.20\r\n", {"idna": "3.20"}),
    ],
)
def test_pins_are_read_as_pip_reads_them(
    text: str, pins: dict[str, str], containerise: Assignment
) -> None:
    found = module(containerise, "pins").read(text)
    assert (found.pins, found.loose) == (pins, [])


@pytest.mark.parametrize(
    "line",
    [
        *("numpy", "numpy>=2", "numpy~=2.4", "numpy==2.*", "numpy==2.4.6,>2"),
        *("-r more.txt", "--requirement more.txt", "-e .", "./wheel.whl", "--pre"),
        *("numpy @ https://example.com/numpy.whl", "git+https://example.com/numpy"),
    ],
)
def test_lines_that_leave_a_choice_are_named(
    line: str, containerise: Assignment
) -> None:
    found = module(containerise, "pins").read(f"idna==3.20\n{line}\n")
    assert found.loose == [line]


@pytest.mark.parametrize(
    "marker",
    ["(" * 5000 + 'os_name == "posix"' + ")" * 5000, 'os_name ~= "posix"', "§"],
)
def test_markers_made_to_break_the_reader_are_lines_like_any_other(
    marker: str, containerise: Assignment
) -> None:
    found = module(containerise, "pins").read(f"idna==3.20\nh11==0.16.0 ; {marker}\n")
    assert found.pins == {"idna": "3.20"}
    assert len(found.loose) == 1


@pytest.mark.parametrize(
    ("pin", "version", "allowed"),
    [
        *(("2.13.0", "2.13.0+cpu", True), ("2.13", "2.13.0", True)),
        *(("2.13.0", "2.13.1", False), ("1.0rc1", "1.0rc1", True)),
        *(("what ever", "1.0", False), ("1.0", "no_version", False)),
    ],
)
def test_installed_version_is_compared_as_pip_does(
    pin: str, version: str, allowed: bool, containerise: Assignment
) -> None:
    assert module(containerise, "checks").allows(pin, version) is allowed


def test_half_a_character_in_an_intent_can_be_written_down(
    containerise: Assignment,
) -> None:
    answer = Answer(200, {}, rb'{"intent": "\ud800x"}', 0.0, 0)
    assert module(containerise, "bench").intent(answer).encode() == b"?x"


def test_metadata_in_layers_names_packages(containerise: Assignment) -> None:
    packages = module(containerise, "packages")
    site = "usr/local/lib/python3.11/site-packages"
    names = [
        f"{site}/pydantic_core-2.50.4.dist-info/METADATA",
        f"{site}/pydantic_core-2.50.4.dist-info/RECORD",
        f"{site}/setuptools/_vendor/wheel-0.45.1.dist-info/METADATA",
        "libs/h11-0.16.0.dist-info/METADATA",
        f"{site}/idna-3.20.dist-info/METADATA",
        f"{site}/.wh.idna-3.20.dist-info",  # what a later layer deletes was installed too
    ]
    assert packages.installed(names) == {
        ("pydantic-core", "2.50.4"),
        ("h11", "0.16.0"),
        ("idna", "3.20"),
    }


# --- whose socket it is ---


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="needs Linux's /proc")
def test_kernel_names_the_owner_of_a_listening_socket(
    containerise: Assignment,
) -> None:
    program = module(containerise, "bench").SOCKET_OWNERS
    with socket.create_server(("127.0.0.1", 0)):
        said = subprocess.run(
            [sys.executable, "-I", "-c", program], capture_output=True, check=True
        )
    assert os.getuid() in json.loads(said.stdout)


# --- what it says ---


def assert_as_expected(name: str, verdict: Verdict) -> None:
    assert verdict.status == "graded", verdict.message
    lost = {
        check.id: f"{check.seen} {check.advice}"
        for check in verdict.checks
        if check.points < check.max_points
    }
    expected = expectation(name)
    assert sorted(lost) == sorted(expected["loses"]), lost
    assert verdict.points == pytest.approx(expected["points"], abs=0.005), lost
    assert all(check.seen for check in verdict.checks)


@pytest.mark.parametrize("name", SUBMISSIONS)
@pytest.mark.slow
@pytest.mark.needs("docker")
def test_submission_loses_just_the_points_of_its_mistake(
    name: str, containerise: Assignment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIVOT_ENGINE", "docker")
    assert_as_expected(name, graded(name, containerise))


@pytest.mark.parametrize("name", ON_PODMAN)
@pytest.mark.slow
@pytest.mark.needs("podman")
def test_podman_sees_the_same(
    name: str, containerise: Assignment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIVOT_ENGINE", "podman")
    assert_as_expected(name, graded(name, containerise))


@pytest.mark.slow
@pytest.mark.needs("docker")
def test_what_was_planted_and_drawn_does_not_reach_the_learner(
    containerise: Assignment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIVOT_ENGINE", "docker")
    bench = module(containerise, "bench")
    mocked = (FOLDER / "submissions/wrong-mocked/Dockerfile").read_text()
    copies_all = mocked.replace("COPY service.py .", "COPY . .")
    folder = tmp_path / "work"
    folder.mkdir()
    (folder / "Dockerfile").write_text(copies_all)
    shutil.copy(FOLDER / "submissions/wrong-mocked/requirements.txt", folder)
    verdict = judge.grade(folder, containerise, learner="ada", seed=7)
    lost = {check.id: check for check in verdict.checks if not check.points}
    assert {"containerise/secrets", "containerise/answers"} <= lost.keys()
    shown = " ".join(check.seen + check.advice for check in verdict.checks)
    (tmp_path / "planted").mkdir()
    planted = bench.plant(tmp_path / "planted", Random("7/planted"))
    hidden = [*planted.values(), *lost["containerise/answers"].evidence["messages"]]
    assert not [text for text in hidden if text in shown]
