"""What the probes make of what programs say, whatever they say."""

import os
import threading
import time
from importlib import metadata
from pathlib import Path

import pytest

from pivot import capabilities
from pivot.capabilities import (
    CAPABILITIES,
    Capability,
    Part,
    ask,
    find,
    needs,
    survey,
    unmet,
)
from pivot.host import Host

DEBIAN = Host("Debian", "debian")
MAC = Host("macOS 15", "macos")


def test_an_engine_that_answers_is_ready(install):
    docker = install("docker", 'test "$1" = version && echo 28.2.2')

    assert find("docker", DEBIAN) == Part("docker", version="28.2.2", path=str(docker))


def test_no_client_is_simply_missing(install):
    part = find("docker", DEBIAN)

    assert (part.ready, part.problem) == (False, "")
    assert part.fix == "sudo apt-get install -y --no-install-recommends docker.io"


def test_a_client_without_an_engine_is_told_to_install_one(install):
    install("docker", "echo Cannot connect to the Docker daemon >&2; exit 1")
    part = find("docker", DEBIAN)

    assert not part.ready
    assert part.problem == "no engine answers: Cannot connect to the Docker daemon"
    assert "docker.io" in part.fix


def test_an_installed_engine_is_told_to_start(install):
    install("docker", "exit 1")
    install("dockerd", "exit 0")

    assert (
        find("docker", Host("Debian", "debian", systemd=True)).fix
        == "sudo systemctl enable --now docker"
    )
    assert find("docker", DEBIAN).fix == "sudo make system"


def test_an_engine_that_belongs_to_others_is_told_who_may_use_it(install):
    install("docker", "echo permission denied while trying to connect >&2; exit 1")

    assert "usermod -aG docker" in find("docker", DEBIAN).fix


def test_podman_on_macos_needs_its_machine(install):
    install("podman", "echo 'Error: unable to connect to Podman socket' >&2; exit 125")
    part = find("podman", MAC)

    assert part.problem == "Error: unable to connect to Podman socket"
    assert part.fix == "podman machine init --now"


def test_bubblewrap_counts_only_if_it_makes_a_sandbox(install):
    install("bwrap", 'test "$1" = --version && echo bubblewrap 0.8.0')
    part = find("bubblewrap", Host("Ubuntu", "ubuntu"))
    assert not part.ready
    assert part.problem.startswith("it cannot make a sandbox")
    assert "apparmor_restrict_unprivileged_userns=0" in part.fix

    install("bwrap", "echo bubblewrap 0.8.0")
    assert find("bubblewrap", DEBIAN).version == "0.8.0"


def test_a_browser_with_noise_on_stderr_is_understood(install):
    install(
        "chromium",
        "echo '[: 25276514304: unexpected operator' >&2; echo Chromium 156.0.8078.79 built on Debian",
    )

    assert find("chromium", DEBIAN).version == "156.0.8078.79"


def test_a_broken_browser_does_not_hide_a_working_one(install):
    install("chromium", "exit 3")
    assert "exit status 3" in find("chromium", DEBIAN).problem

    chrome = install("google-chrome", "echo Google Chrome 142.0.1")
    assert find("chromium", DEBIAN).path == str(chrome)


def test_playwrights_own_download_is_found(install, tmp_path):
    inside = tmp_path / ".cache/ms-playwright/chromium-1200/chrome-linux64"
    inside.mkdir(parents=True)
    install("chrome", "echo Google Chrome for Testing 142.0.1").rename(
        inside / "chrome"
    )

    assert find("chromium", DEBIAN).version == "142.0.1"


def test_a_cluster_must_be_reachable(install):
    install(
        "kubectl",
        'test "$1" = config && echo kind-course || { echo connection refused >&2; exit 1; }',
    )
    part = find("cluster", DEBIAN)
    assert part.problem == "the context kind-course does not answer: connection refused"

    install("kubectl", "echo kind-course")
    assert find("cluster", DEBIAN).version == "context kind-course"


def test_kubectl_without_a_context_is_no_cluster_and_no_problem(install):
    install("kubectl", "echo error: current-context is not set >&2; exit 1")
    part = find("cluster", DEBIAN)

    assert (part.ready, part.problem) == (False, "")
    assert "podman" in part.fix


def test_a_missing_package_is_advised_to_set_up(monkeypatch):
    def not_there(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", not_there)

    assert find("torch", DEBIAN) == Part("torch", fix="make setup")


def test_jupyter_book_2_is_another_tool(monkeypatch):
    monkeypatch.setattr(metadata, "version", lambda name: "2.1.0")

    assert "another tool" in find("jupyter-book", DEBIAN).problem


@pytest.mark.parametrize(
    ("script", "ok", "line"),
    [
        ("echo one; echo two", True, "one"),
        ("echo one >&2; echo two >&2; exit 1", False, "two"),
        ("exit 7", False, "it fails with exit status 7"),
        (r"printf '\377\376\000 \033[31mred\n'", True, "\ufffd\ufffd [31mred"),
        (
            "i=0; while [ $i -lt 20000 ]; do echo 0123456789; i=$((i+1)); done",
            True,
            "0123456789",
        ),
        ("kill -9 $$", False, "it fails with exit status -9"),
    ],
)
def test_odd_output(install, script, ok, line):
    answer = ask(str(install("odd", script)))

    assert (answer.ok, answer.line) == (ok, line)


def test_a_program_that_hangs_is_ended_with_its_children(install, tmp_path):
    sleeping = install("hang", f"/bin/sleep 60 & echo $! > {tmp_path}/child; wait")
    begun = time.monotonic()
    answer = ask(str(sleeping), patience=1.5)

    assert not answer.ok
    assert "does not answer within 1.5 seconds" in answer.line
    assert time.monotonic() - begun < 10
    child = int((tmp_path / "child").read_text())
    while running(child):  # killed, and gone as soon as the kernel gets round to it
        assert time.monotonic() - begun < 30, (
            "the child outlived the program that was ended"
        )
        time.sleep(0.01)


def running(pid: int) -> bool:
    """Whether a process is alive; one that is dead and not yet collected is not."""
    try:
        os.kill(pid, 0)
        return (
            Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
        )
    except OSError:
        return False


def test_a_program_gets_none_of_our_input(install):
    asking = install("asking", "read line && echo it read $line")
    ours, theirs = os.pipe()
    kept = os.dup(0)
    os.write(theirs, b"ours\n")
    os.dup2(ours, 0)
    try:
        assert ask(str(asking)).line == "it fails with exit status 1"
    finally:
        os.dup2(kept, 0)
        for end in (ours, theirs, kept):
            os.close(end)


def test_a_program_that_cannot_start_is_a_finding(tmp_path):
    broken = tmp_path / "broken"
    broken.write_text("#!/no/such/interpreter\n")
    broken.chmod(0o755)

    assert ask(str(broken)).line.startswith("it does not start")


def test_either_engine_will_do_and_the_broken_one_is_named_first():
    containers = Capability("containers", "", (("docker", "podman"),))
    missing, broken, ready = (
        Part("docker"),
        Part("podman", problem="no"),
        Part("podman", version="5.1"),
    )

    assert unmet(containers, DEBIAN, {"docker": missing, "podman": ready}) == []
    assert unmet(containers, DEBIAN, {"docker": missing, "podman": broken}) == [broken]
    assert unmet(containers, DEBIAN, {"docker": missing, "podman": Part("podman")}) == [
        missing
    ]


def test_bubblewrap_is_asked_for_on_linux_only():
    containers = next(
        capability for capability in CAPABILITIES if capability.name == "containers"
    )

    assert ("bubblewrap",) in needs(containers, DEBIAN)
    assert ("bubblewrap",) not in needs(containers, MAC)


@pytest.mark.parametrize(
    "family",
    [
        "debian",
        "ubuntu",
        "fedora",
        "suse",
        "arch",
        "alpine",
        "linux",
        "macos",
        "windows",
    ],
)
def test_on_an_empty_machine_everything_that_is_missing_comes_with_advice(
    install, family
):
    parts = survey(Host(family, family))

    assert not parts["docker"].ready
    assert all(part.ready or part.fix for part in parts.values())


def test_every_part_is_probed_once_and_the_slow_ones_do_not_add_up(monkeypatch):
    names = {
        name
        for capability in CAPABILITIES
        for choice in capability.needs
        for name in choice
    }
    all_at_once = threading.Barrier(len(names), timeout=30)

    def probe(name, host):
        all_at_once.wait()  # breaks, and raises, unless every probe is under way together
        return Part(name)

    monkeypatch.setattr(capabilities, "find", probe)

    assert set(survey(DEBIAN)) == names
