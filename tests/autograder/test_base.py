"""The base image: what is in it, and the ways to get it, with the engines' programs played by scripts."""

import re
from pathlib import Path

import pytest
from engines import engine
from packaging.requirements import Requirement

from autograder import base
from autograder.commandline import CommandLine
from autograder.errors import InfrastructureError

__all__ = ["engine"]


class Made:
    """An engine as far as base.py needs one: a script that writes down how it was called."""

    architecture = "amd64"

    def __init__(self, tmp_path: Path, script: str):
        self.calls = tmp_path / "calls"
        self.calls.touch()
        program = tmp_path / "docker"
        program.write_text(
            f'#!/bin/sh\necho "$@" >> {self.calls}\nhas() {{ grep -q "^$1" {self.calls}; }}\n{script}\n'
        )
        program.chmod(0o755)
        self.cli = CommandLine("docker", str(program), {"PATH": "/usr/bin:/bin"})

    @property
    def called(self) -> list[str]:
        return [line.split()[0] for line in self.calls.read_text().splitlines()]


@pytest.fixture
def nothing_else(monkeypatch):
    """No other engine and no debootstrap on this machine; programs found so far stay."""
    monkeypatch.setattr(base, "program", lambda name: "")


def test_the_wheelhouse_is_what_the_lock_says_for_the_base_s_own_python():
    pins = base.pins("amd64")
    names = [Requirement(pin).name for pin in pins]
    assert names == sorted(set(names))
    assert set(base.WHEELS) <= set(names)
    assert {"starlette", "pydantic-core", "anyio", "h11"} <= set(names), (
        "what they need"
    )
    assert "colorama" not in names, "Windows only"
    lock = base.LOCK.read_text()
    for pin in pins:
        assert re.fullmatch(r"[a-z0-9-]+==[\w.]+", pin)
        assert f"\n{pin}" in lock
    (numpy,) = [pin for pin in pins if pin.startswith("numpy==")]
    assert f"{numpy} ; python_full_version < '3.12'" in lock


def test_the_name_changes_with_the_contents(monkeypatch):
    first = base.tag("amd64")
    assert re.fullmatch(r"localhost/the-pivot-base:[0-9a-f]{12}", first)
    assert base.tag("arm64") != first
    base.tag.cache_clear()
    assert base.tag("amd64") == first
    monkeypatch.setattr(base, "PIP_CONF", "[global]\n")
    base.tag.cache_clear()
    assert base.tag("amd64") != first
    base.tag.cache_clear()


def test_an_image_that_is_there_is_not_made_again(tmp_path):
    engine = Made(tmp_path, "exit 0")
    assert base.ensure(engine) == base.tag("amd64")
    assert engine.called == ["image"]


def test_from_the_registry(tmp_path, nothing_else, monkeypatch):
    monkeypatch.setattr(base, "_furnish", lambda folder, architecture: None)
    engine = Made(
        tmp_path, 'case "$1" in image) exit 1;; build) cat "$6/Dockerfile" >&2;; esac'
    )
    told = []
    assert base.ensure(engine, told.append) == base.tag("amd64")
    assert engine.called == ["image", "image", "pull", "build", "rmi"]
    assert len(told) == 1
    assert "docker" in told[0]


def test_the_users_own_image_of_that_name_stays(tmp_path, nothing_else, monkeypatch):
    monkeypatch.setattr(base, "_furnish", lambda folder, architecture: None)
    engine = Made(tmp_path, f'test "$1" != image || test "$5" = {base.REGISTRY}')
    base.ensure(engine)
    assert engine.called == ["image", "image", "build"]


def test_no_registry_and_no_debootstrap(tmp_path, nothing_else):
    engine = Made(tmp_path, "exit 1")
    with pytest.raises(
        base.NoSource, match=r"debootstrap is not installed.*make system"
    ):
        base.ensure(engine)


def test_debootstrap_that_fails_leaves_nothing(tmp_path, monkeypatch):
    broken = tmp_path / "debootstrap"
    broken.write_text("#!/bin/sh\necho E: no such mirror\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setattr(
        base, "program", lambda name: str(broken) if name == "debootstrap" else ""
    )
    monkeypatch.setattr(base.os, "geteuid", lambda: 0)
    monkeypatch.setattr(base.platform, "machine", lambda: "x86_64")
    before = set(Path("/var/tmp").glob("the-pivot-base-*"))
    with pytest.raises(InfrastructureError, match="E: no such mirror"):
        base.ensure(Made(tmp_path, "exit 1"))
    assert set(Path("/var/tmp").glob("the-pivot-base-*")) == before


@pytest.mark.slow
def test_it_is_like_the_image_it_stands_for(engine):
    image = engine.image(engine.base)
    code = (
        "import sys, sysconfig, subprocess\n"
        "print('%d.%d' % sys.version_info[:2], sys.executable, sysconfig.get_path('purelib'))\n"
        "print(subprocess.check_output(['pip', 'config', 'list'], text=True))\n"
    )
    with engine.run(image, command=["python", "-c", code]) as container:
        assert container.wait(30) == 0, container.logs()
        said = container.logs().decode()
    assert said.startswith("3.11 /usr/local/bin/python")
    assert "/usr/local/lib/python3.11/site-packages" in said
    assert "global.no-index='true'" in said
    assert image.config["Cmd"] == ["python3"]
    assert "USER" not in image.config
    assert image.size < 300_000_000


def test_a_stream_that_breaks_off_is_an_error():
    cli = CommandLine("docker", "/bin/sh", {})
    with (
        pytest.raises(InfrastructureError, match="failed"),
        base._piped(cli, "-c", "echo half; exit 3") as pipe,
    ):
        assert pipe.read() == b"half\n"
