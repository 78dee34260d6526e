"""Which engine is used, and what is said when there is none; docker and podman are played by scripts."""

from pathlib import Path

import pytest

from autograder import commandline
from autograder.engine import Engine
from autograder.errors import InfrastructureError
from pivot import host


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    programs = tmp_path / "bin"
    programs.mkdir()
    monkeypatch.setenv("PATH", str(programs))
    monkeypatch.setattr(host, "ROOTS_PATH", [])
    monkeypatch.delenv("PIVOT_ENGINE", raising=False)

    def put(name: str, script: str) -> None:
        path = programs / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    return put


def test_docker_comes_first_podman_second(install):
    install("podman", "echo amd64")
    assert Engine.connect().program == "podman"
    install("docker", "echo amd64")
    assert Engine.connect().program == "docker"
    install("docker", "exit 1")
    assert Engine.connect().program == "podman"


def test_the_environment_chooses(install, monkeypatch):
    install("podman", "echo arm64")
    install("docker", "echo arm64")
    monkeypatch.setenv("PIVOT_ENGINE", "podman")
    engine = Engine.connect()
    assert (engine.program, engine.architecture) == ("podman", "arm64")
    monkeypatch.setenv("PIVOT_ENGINE", "lxc")
    with pytest.raises(InfrastructureError, match="docker or podman"):
        Engine.connect()


def test_no_engine_names_what_helps(install):
    with pytest.raises(InfrastructureError, match=r"make system.*pivot doctor"):
        Engine.connect()
    install("docker", "exit 1")
    with pytest.raises(InfrastructureError, match="Docker does not answer"):
        Engine.connect("docker")


def test_no_base_image_names_what_makes_it(install):
    script = (
        'test "$1" = version && echo amd64 && exit; echo "No such image" >&2; exit 1'
    )
    install("docker", script)
    with pytest.raises(InfrastructureError, match="make system"):
        _ = Engine.connect("docker").base
    install("docker", script.replace("No such image", "disk quota exceeded"))
    with pytest.raises(InfrastructureError, match="disk quota exceeded"):
        _ = Engine.connect("docker").base


def test_docker_keeps_the_address_but_not_the_proxies_of_the_users_settings(install):
    install(
        "docker",
        'case "$1" in context) echo unix:///somewhere.sock;; *) echo amd64;; esac',
    )
    environment = Engine.connect("docker").cli.environment
    assert environment["DOCKER_HOST"] == "unix:///somewhere.sock"
    assert not Path(environment["DOCKER_CONFIG"]).exists()


def test_an_engine_that_hangs_is_given_up(install, monkeypatch):
    install("docker", 'test "$1" = ps && exec /bin/sleep 60; echo amd64')
    engine = Engine.connect("docker")
    with pytest.raises(
        InfrastructureError, match=r"did not answer within 0\.2 seconds"
    ):
        engine.cli.ask("ps", seconds=0.2)


@pytest.mark.parametrize(
    "said",
    [
        "locating image with ID 21a5: image not known",
        "locating item named manifest for image with ID 21a5: file does not exist",
    ],
)
def test_an_image_another_job_removed_meanwhile_is_no_error(
    said, install, tmp_path, monkeypatch
):
    monkeypatch.setattr(commandline, "PAUSES", (0.0, 0.0))
    calls = tmp_path / "calls"
    install(
        "podman",
        f'test "$1" != images && echo amd64 && exit; echo >> {calls}\n'
        f"test $(/usr/bin/wc -l < {calls}) = 2 && echo all && exit\n"
        f'echo "Error: {said}" >&2; exit 125',
    )
    cli = Engine.connect("podman").cli
    assert cli.tell("images") == "all\n"
    with pytest.raises(InfrastructureError, match=said):
        cli.tell("images")
    assert calls.read_text().count("\n") == 2 + 3


def test_a_container_that_is_being_removed_counts_as_removed(install):
    script = (
        'case "$1" in version) echo amd64;; rm) echo "$SAID" >&2; exit 1;; '
        "context) echo unix:///x.sock;; esac"
    )

    def remove(said: str) -> None:
        install("docker", script.replace("$SAID", said))
        Engine.connect("docker")._remove("the-pivot-x")

    remove("Error: No such container: the-pivot-x")
    remove("Error response: removal of container the-pivot-x is already in progress")
    with pytest.raises(InfrastructureError, match="the disk is read-only"):
        remove("Error response: the disk is read-only")
