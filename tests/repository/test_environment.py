"""One lock, and every way to install the project installs it."""

import json
import re
import tomllib
from pathlib import Path

import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LOCK = (ROOT / "requirements.lock").read_text()


def locked() -> dict[str, Requirement]:
    lines = [
        line for line in LOCK.splitlines() if line and not line.lstrip().startswith("#")
    ]
    return {canonicalize_name((pin := Requirement(line)).name): pin for line in lines}


def declared() -> list[Requirement]:
    extras = PROJECT["optional-dependencies"].values()
    return [
        Requirement(line)
        for group in (PROJECT["dependencies"], *extras)
        for line in group
    ]


def test_the_lock_pins_one_exact_version_of_each_package():
    assert len(locked()) > 100
    for pin in locked().values():
        assert re.fullmatch(r"==[^,*]+", str(pin.specifier)), f"{pin} is no pin"


def test_the_lock_satisfies_every_declared_dependency():
    pins = locked()
    for requirement in declared():
        name = canonicalize_name(requirement.name)
        assert name in pins, f"{requirement} is not in requirements.lock: run make lock"
        version = Version(next(iter(pins[name].specifier)).version)
        assert requirement.specifier.contains(version, prereleases=True), (
            f"the lock has {version}: run make lock"
        )


def test_the_lock_is_for_every_platform_and_names_no_index():
    assert "make lock" in LOCK.splitlines()[1]
    assert "sys_platform == 'darwin'" in LOCK
    assert "index-url" not in LOCK


def test_the_lock_leaves_cuda_out():
    assert not [name for name in locked() if name.startswith(("nvidia-", "triton"))]


def test_conda_and_binder_install_the_same_lock():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    *conda, pip = environment["dependencies"]
    options = [line for line in pip["pip"] if line.startswith("--extra-index-url ")]

    assert conda == ["python=3.11", "pip"], (
        "packages come from the lock, not from conda"
    )
    assert [line for line in pip["pip"] if line not in options] == [
        "-r requirements.lock",
        "-e .",
    ]
    assert (
        Version("3.11") in Requirement(f"python{PROJECT['requires-python']}").specifier
    )


def test_the_dev_container_installs_the_same_lock_and_has_an_engine():
    container = json.loads((ROOT / ".devcontainer/devcontainer.json").read_text())

    assert container["postCreateCommand"] == "make setup"
    assert "/python:3.11-" in container["image"]
    assert any("docker-in-docker" in feature for feature in container["features"])
    assert set(container["portsAttributes"]) == {"5000", "8000"}
