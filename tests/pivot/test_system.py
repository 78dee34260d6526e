"""`make system`, with apt, Docker and podman played by shell scripts that write down how they were called."""

import os
import signal
import sys
from pathlib import Path

import pytest

from autograder.base import NoSource
from autograder.errors import InfrastructureError
from pivot import system
from pivot.host import Host

ROOT = Host("Debian", "debian", root=True)


@pytest.fixture
def machine(install, tmp_path, monkeypatch):
    """A Debian machine with nothing on it, whose apt-get "installs" by copying programs into the PATH."""
    store = tmp_path / "store"
    store.mkdir()
    monkeypatch.setattr(system, "LOGS", tmp_path)
    monkeypatch.setattr(system, "START", 10.0)
    monkeypatch.setattr(
        system, "PODMAN_SETTINGS", tmp_path / "containers.conf.d/50-the-pivot.conf"
    )
    monkeypatch.setattr(Host, "detect", lambda: ROOT)
    # The shell gets the commands it needs by their full names, since nothing else is on the PATH.
    programs = {
        "docker": f"test -e {tmp_path}/engine && echo 20.10.24 || {{ echo no daemon >&2; exit 1; }}",
        "dockerd": f'echo "$@" >> {tmp_path}/engine; exec /bin/sleep 60',
        "podman": "echo 4.3.1",
        "bwrap": "echo bubblewrap 0.8.0",
        "chromium": "echo Chromium 156.0.1",
        "wrk": "echo wrk 4.1.0; exit 1",
        "prometheus": "echo prometheus, version 2.42.0",
        "promtool": "echo promtool, version 2.42.0",
    }
    for name, script in programs.items():
        install(name, script).rename(store / name)
    install(
        "dpkg-query", f'test -e "{tmp_path}/installed-$4" && echo installed || exit 1'
    )
    install(
        "apt-get",
        f'echo "$@" >> {tmp_path}/apt; test "$3" = install || exit 0; shift 5\n'
        f"for package; do : > {tmp_path}/installed-$package; done; /bin/cp {store}/* {tmp_path}/bin/",
    )
    fonts = tmp_path / ".local/share/fonts"
    fonts.mkdir(parents=True)
    (fonts / "some.ttf").touch()
    monkeypatch.setattr(
        system.subprocess, "Popen", popen := Started(system.subprocess.Popen)
    )
    yield tmp_path
    for process in popen.engines:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


class Started:
    """Popen, keeping the engines it started so that none survives its test."""

    def __init__(self, popen):
        self.popen = popen
        self.engines = []

    def __call__(self, command, **options):
        process = self.popen(command, **options)
        if Path(command[0]).name == "dockerd":
            self.engines.append(process)
        return process


def test_an_empty_debian_gets_everything_and_a_second_run_does_nothing(machine, capsys):
    assert system.main() == 0
    apt = (machine / "apt").read_text()
    assert "install -y --no-install-recommends" in apt
    for package in (
        "docker.io",
        "podman",
        "catatonit",
        "bubblewrap",
        "chromium",
        "wrk",
        "prometheus",
    ):
        assert f" {package}" in apt
    assert (machine / "engine").read_text() == "--default-ulimit nofile=20000:20000\n"
    assert not system.PODMAN_SETTINGS.exists(), "podman's own settings work here"
    assert (
        "In place: docker 20.10.24, podman 4.3.1, bubblewrap 0.8.0, chromium 156.0.1"
        in capsys.readouterr().out
    )

    assert system.main() == 0
    assert (machine / "apt").read_text() == apt, "the second run called apt again"
    assert (machine / "engine").read_text().count("\n") == 1, (
        "the second run started another engine"
    )


def test_an_apt_that_fails_gives_one_sentence(machine, install, capsys):
    install(
        "apt-get",
        "echo Reading package lists...; echo 'E: Unable to locate package podman'; exit 100",
    )

    assert system.main() == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "E: Unable to locate package podman" in error
    assert not (machine / "engine").exists()


def test_an_engine_that_ends_at_once_is_reported(machine, install, capsys):
    install("dockerd", "echo failed to mount overlay; exit 1")

    (machine / "store/dockerd").unlink()
    assert system.main() == 1
    error = capsys.readouterr().err
    assert "Docker's engine does not start" in error
    assert "failed to mount overlay" in (machine / "dockerd.log").read_text()


def test_an_engine_that_never_answers_is_stopped_again(machine, monkeypatch, capsys):
    monkeypatch.setattr(system, "START", 0.3)
    (machine / "store/dockerd").write_text("#!/bin/sh\nexec /bin/sleep 60\n")

    assert system.main() == 1
    assert "Docker's engine does not start" in capsys.readouterr().err
    assert [engine.poll() for engine in system.subprocess.Popen.engines] == [
        -signal.SIGTERM
    ]


def test_podman_gets_cautious_settings_only_where_they_help(machine, capsys):
    settings = system.PODMAN_SETTINGS
    (machine / "store/podman").write_text(
        f'#!/bin/sh\ntest "$1" != run -o -e {settings} || {{ echo setrlimit >&2; exit 126; }}; echo 4.3.1\n'
    )

    assert system.main() == 0
    assert "nofile=20000:20000" in settings.read_text()
    assert f"Wrote {settings}" in capsys.readouterr().out


def test_settings_that_do_not_help_podman_are_taken_back(machine, capsys):
    (machine / "store/podman").write_text(
        '#!/bin/sh\ntest "$1" != run || exit 126; echo 4.3.1\n'
    )

    assert system.main() == 0, "docker does the work"
    assert not system.PODMAN_SETTINGS.exists()
    assert "podman cannot run a container" in capsys.readouterr().out


def test_ubuntu_gets_its_browser_from_playwright(machine, monkeypatch):
    ran = []
    monkeypatch.setattr(Host, "detect", lambda: Host("Ubuntu", "ubuntu", root=True))
    (machine / "store/chromium").unlink()
    monkeypatch.setattr(
        system,
        "run",
        lambda command, run=system.run, **env: (
            ran.append(command),
            run(command, **env),
        ),
    )
    monkeypatch.setattr(sys, "executable", "/bin/true")
    system.main()

    assert [
        sys.executable,
        "-m",
        "playwright",
        "install",
        "--with-deps",
        "chromium",
    ] in ran
    assert not any("chromium" in command for command in ran if command[0] == "apt-get")


@pytest.mark.parametrize(
    ("host", "command"),
    [
        (
            Host("Debian", "debian"),
            "sudo apt-get install -y --no-install-recommends bubblewrap",
        ),
        (Host("Fedora", "fedora", root=True), "dnf install -y bubblewrap"),
        (Host("macOS 15", "macos"), "brew install --cask docker-desktop"),
    ],
)
def test_elsewhere_it_says_what_is_missing_and_installs_nothing(
    machine, monkeypatch, capsys, host, command
):
    monkeypatch.setattr(Host, "detect", lambda: host)

    assert system.main() == 1
    assert f"    {command}\n" in capsys.readouterr().out
    assert not (machine / "apt").exists()


def test_elsewhere_it_is_content_with_one_engine(machine, install, monkeypatch, capsys):
    monkeypatch.setattr(Host, "detect", lambda: Host("Fedora", "fedora"))
    for name, script in {
        "podman": "echo 5.1",
        "bwrap": "echo 0.8.0",
        "chromium": "echo 142.0",
        "wrk": "echo wrk 4.1.0; exit 1",
        "prometheus": "echo prometheus, version 2.42.0",
        "promtool": "echo promtool, version 2.42.0",
    }.items():
        install(name, script)

    assert system.main() == 0
    assert (
        capsys.readouterr().out
        == "In place: podman 5.1, bubblewrap 0.8.0, chromium 142.0, prometheus 2.42.0\n"
    )


class Recipe:
    """base.ensure, in the place of which it stands: fails as told, and remembers whom it was asked for."""

    def __init__(self, *failures):
        self.failures = list(failures)
        self.asked = []

    def __call__(self, engine, say):
        self.asked.append(engine.program)
        if self.failures:
            raise self.failures.pop(0)


@pytest.fixture
def recipe(monkeypatch):
    def put(*failures):
        monkeypatch.setattr(system.base, "ensure", made := Recipe(*failures))
        return made

    return put


def test_every_engine_gets_the_base_image(machine, recipe):
    made = recipe()
    assert system.main() == 0
    assert made.asked == ["docker", "podman"]
    assert "debootstrap" not in (machine / "apt").read_text(), "a registry answered"


def test_debootstrap_comes_only_where_no_registry_answers(machine, recipe):
    made = recipe(NoSource("no registry"))
    assert system.main() == 0
    assert made.asked == ["docker", "docker", "podman"]
    assert "debootstrap" in (machine / "apt").read_text().splitlines()[-1]


def test_a_base_image_that_cannot_be_made_is_reported(machine, recipe, capsys):
    recipe(InfrastructureError("The base image could not be made: disk full"))
    assert system.main() == 1
    assert capsys.readouterr().err.endswith("could not be made: disk full\n")


def test_elsewhere_nothing_is_installed_for_the_base_image(
    machine, recipe, install, monkeypatch, capsys
):
    monkeypatch.setattr(Host, "detect", lambda: Host("Fedora", "fedora", root=True))
    install("podman", "echo 5.1")
    made = recipe(NoSource("Connect to a registry"))
    assert system.main() == 1
    assert made.asked == ["podman"]
    assert "Connect to a registry" in capsys.readouterr().err
    assert not (machine / "apt").exists()
