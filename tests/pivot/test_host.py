"""The machine is recognised, and the advice fits it."""

import platform
import sys

import pytest

from pivot import host
from pivot.host import Host, program

DEBIAN_ROOT = Host("Debian", "debian", root=True)
UBUNTU = Host("Ubuntu", "ubuntu", systemd=True)
WSL = Host("Ubuntu under WSL 2", "ubuntu", wsl=True)
FEDORA = Host("Fedora", "fedora", systemd=True)
MAC = Host("macOS 15", "macos")
UNKNOWN = Host("Gentoo", "linux")
WINDOWS = Host("Windows 11", "windows")


def machine(monkeypatch, release, kernel="6.1.0", uid=1000):
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(platform, "release", lambda: kernel)
    monkeypatch.setattr(host.os, "geteuid", lambda: uid)

    def read():
        if release is None:
            raise OSError("no os-release")
        return release

    monkeypatch.setattr(platform, "freedesktop_os_release", read)
    return Host.detect()


def test_debian_as_root(monkeypatch):
    seen = machine(
        monkeypatch, {"ID": "debian", "PRETTY_NAME": "Debian GNU/Linux 12"}, uid=0
    )

    assert (seen.name, seen.family, seen.root, seen.wsl) == (
        "Debian GNU/Linux 12",
        "debian",
        True,
        False,
    )


@pytest.mark.parametrize(
    ("release", "family"),
    [
        ({"ID": "linuxmint", "ID_LIKE": "ubuntu debian"}, "ubuntu"),
        ({"ID": "rocky", "ID_LIKE": "rhel centos fedora"}, "fedora"),
        ({"ID": "opensuse-leap", "ID_LIKE": "suse opensuse"}, "suse"),
        ({"ID": "gentoo"}, "linux"),
        ({}, "linux"),
        (None, "linux"),
    ],
)
def test_derived_systems_count_as_what_they_are_like(monkeypatch, release, family):
    assert machine(monkeypatch, release).family == family


def test_wsl_is_seen_by_its_kernel(monkeypatch):
    seen = machine(
        monkeypatch, {"ID": "debian"}, kernel="5.15.167.4-microsoft-standard-WSL2"
    )

    assert seen.wsl
    assert seen.name.endswith("under WSL 2")


def test_macos(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")

    assert Host.detect().family == "macos"


@pytest.mark.parametrize(
    ("where", "part", "command"),
    [
        (DEBIAN_ROOT, "docker", "apt-get install -y --no-install-recommends docker.io"),
        (UBUNTU, "docker", "sudo apt-get install -y --no-install-recommends docker.io"),
        (
            WSL,
            "bubblewrap",
            "sudo apt-get install -y --no-install-recommends bubblewrap",
        ),
        (
            UBUNTU,
            "chromium",
            f"{sys.executable} -m playwright install --with-deps chromium",
        ),
        (FEDORA, "docker", "sudo dnf install -y moby-engine"),
        (FEDORA, "chromium", "sudo dnf install -y chromium"),
        (MAC, "docker", "brew install --cask docker-desktop"),
        (MAC, "podman", "brew install podman"),
        (UNKNOWN, "bubblewrap", "install bubblewrap with your package manager"),
    ],
)
def test_the_command_that_installs_a_part(where, part, command):
    assert where.install(part) == command


def test_windows_is_sent_to_wsl():
    assert "WSL 2" in WINDOWS.install("docker")


@pytest.mark.parametrize(
    ("where", "command"),
    [
        (UBUNTU, "sudo systemctl enable --now docker"),
        (DEBIAN_ROOT, "make system"),
        (WSL, "sudo make system"),
        (MAC, "open -a Docker"),
    ],
)
def test_the_command_that_starts_dockers_engine(where, command):
    assert where.start_docker() == command


def test_programs_that_only_root_has_on_the_path_are_found(
    install, monkeypatch, tmp_path
):
    dockerd = install("dockerd", "exit 0")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert program("dockerd") == ""

    monkeypatch.setattr(host, "ROOTS_PATH", [str(dockerd.parent)])
    assert program("dockerd") == str(dockerd)
