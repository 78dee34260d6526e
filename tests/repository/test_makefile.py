"""The task vocabulary: complete, and safe against the Pythons one really meets."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TARGETS = [
    "help",
    "setup",
    "book",
    "serve",
    "notebooks",
    "classroom",
    "test",
    "quick",
    "check",
    "format",
    "bench",
    "data",
    "tracking",
    "retrain",
    "lock",
    "system",
    "clean",
]
NOT_A_PYTHON = "#!/bin/sh\necho 'pyenv: command not found' >&2\nexit 127\n"
NAMES = ("python3.11", "python3.12", "python3.13", "python3")

pytestmark = pytest.mark.skipif(not shutil.which("make"), reason="make is missing")


def make(*arguments, cwd=ROOT, **environment):
    # A make that runs this very test must not lend its flags to the one under test.
    inherited = {
        name: value
        for name, value in os.environ.items()
        if name not in ("MAKEFLAGS", "MAKELEVEL", "PYTHON")
    }
    command = [shutil.which("make"), *arguments]
    return subprocess.run(
        command,
        cwd=cwd,
        env=inherited | environment,
        text=True,
        capture_output=True,
        timeout=120,
    )


@pytest.fixture
def checkout(tmp_path):
    """A small project whose `python` only writes down what it is asked."""
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / "requirements.lock").touch()
    (tmp_path / "bin").mkdir()
    for name in NAMES:
        put(tmp_path / "bin" / name, NOT_A_PYTHON)
    return tmp_path


def put(path, script):
    path.write_text(script)
    path.chmod(0o755)


def working_python(checkout, pip="exit 0"):
    """A Python that passes the check, makes a .venv in which it stands itself, and plays pip."""
    return f"""#!/bin/sh
    echo "$@" >> {checkout}/calls
    case "$*" in
        "-m venv .venv") mkdir -p .venv/bin && cp "$0" .venv/bin/python ;;
        *"pip install"*) {pip} ;;
    esac
    """


def setup(checkout, *arguments):
    return make("setup", *arguments, cwd=checkout, PATH=f"{checkout}/bin:/usr/bin:/bin")


def calls(checkout):
    path = checkout / "calls"
    return path.read_text().splitlines() if path.exists() else []


def test_make_alone_lists_every_target():
    listed = [line.split()[1] for line in make().stdout.splitlines()]

    assert listed == TARGETS


@pytest.mark.parametrize("target", TARGETS)
def test_every_target_is_understood(target):
    assert make("--dry-run", target).returncode == 0


def test_without_a_python_it_says_how_to_get_one(checkout):
    result = setup(checkout)

    assert result.returncode == 2
    for way in (
        "apt-get install python3",
        "brew install python@3.13",
        "uv python install",
        "PYTHON=",
    ):
        assert way in result.stdout
    assert not (checkout / ".venv").exists()


def test_shims_that_are_no_python_are_passed_over(checkout):
    put(checkout / "bin/python3.12", working_python(checkout))

    assert setup(checkout).returncode == 0
    assert "-m venv .venv" in calls(checkout)


def test_a_python_out_of_range_is_refused(checkout):
    # The real interpreter, made to believe that it is another version.
    script = f'#!/bin/sh\nexec {sys.executable} -c "import sys; sys.version_info = (3, 14); $2"\n'
    put(checkout / "bin/python3", script)
    assert "No Python" in setup(checkout).stdout

    put(checkout / "bin/python3", script.replace("(3, 14)", "(3, 12)"))
    assert "No Python" not in setup(checkout).stdout


def test_a_python_can_be_named(checkout):
    put(checkout / "mine", working_python(checkout))

    assert setup(checkout, f"PYTHON={checkout}/mine").returncode == 0


def test_setup_installs_the_lock_once_and_again_when_it_changes(checkout):
    put(checkout / "bin/python3.11", working_python(checkout))
    assert setup(checkout).returncode == 0
    installs = [call for call in calls(checkout) if "pip install" in call]
    assert installs[0].endswith("-r requirements.lock")
    assert installs[1].endswith("--no-deps --no-build-isolation --editable .")

    before = calls(checkout)
    assert setup(checkout).returncode == 0
    assert calls(checkout) == before, "nothing had changed"

    for name in ("requirements.lock", "pyproject.toml"):
        later = (checkout / ".venv/.installed").stat().st_mtime + 10
        os.utime(checkout / name, (later, later))
        before = calls(checkout)
        assert setup(checkout).returncode == 0
        assert len(calls(checkout)) > len(before), f"{name} had changed"
        os.utime(checkout / ".venv/.installed", (later + 10, later + 10))


def test_an_interrupted_installation_leaves_no_stamp_and_is_taken_up_again(checkout):
    put(checkout / "bin/python3.11", working_python(checkout, pip="kill -KILL $$"))
    assert setup(checkout).returncode != 0
    assert not (checkout / ".venv/.installed").exists()

    put(checkout / ".venv/bin/python", working_python(checkout))
    assert setup(checkout).returncode == 0
    assert (checkout / ".venv/.installed").exists()


def test_targets_side_by_side_set_up_once(checkout):
    put(checkout / "bin/python3.11", working_python(checkout))
    make(
        "-j4",
        "setup",
        "system",
        "tracking",
        "bench",
        cwd=checkout,
        PATH=f"{checkout}/bin:/usr/bin:/bin",
    )

    assert calls(checkout).count("-m venv .venv") == 1


@pytest.mark.parametrize(("required", "status"), [("", 0), ("1", 2)])
def test_a_missing_system_part_stops_the_tests_only_if_it_is_required(
    checkout, required, status
):
    put(checkout / "bin/python3.11", working_python(checkout))
    assert setup(checkout).returncode == 0
    put(
        checkout / ".venv/bin/python",
        f'#!/bin/sh\necho "$@" >> {checkout}/calls\ntest "$3" != pivot.system\n',
    )

    for name in ("ruff", "mypy"):  # make check comes first, and passes
        put(checkout / ".venv/bin" / name, "#!/bin/sh\n")

    result = make("test", cwd=checkout, REQUIRE_SYSTEM=required)

    assert result.returncode == status
    assert any("-m pytest" in call for call in calls(checkout)) == (status == 0)


def test_ci_requires_the_system():
    script = Path(ROOT / ".ci/run")

    assert os.access(script, os.X_OK)
    assert script.read_text().splitlines() == [
        "#!/usr/bin/env bash",
        "set -euo pipefail",
        'cd "$(dirname "$0")/.."',
        "REQUIRE_SYSTEM=1 make test",
    ]
