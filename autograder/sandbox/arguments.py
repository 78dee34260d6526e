"""What a learner's program sees and may use, as arguments for bwrap and the programs it runs first."""

import os
import resource
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from autograder.sandbox import Limits

VENV = "/venv"  # where the course's environment is in a sandbox: its own place may be in the checkout
ENVIRONMENT = {
    "PATH": f"{VENV}/bin:/usr/bin:/bin",
    "HOME": "/tmp",
    "USER": "learner",
    "LOGNAME": "learner",
    "LANG": "C.UTF-8",
    "MPLCONFIGDIR": "/tmp",
    "MPLBACKEND": "agg",
    "PYTHONDONTWRITEBYTECODE": "1",
    "OMP_WAIT_POLICY": "PASSIVE",  # threads that spin would keep the judge's other jobs from the processor
}
SYSTEM = ("/usr", "/lib", "/lib32", "/lib64", "/bin", "/sbin")
SETTINGS = ("/etc/ld.so.cache", "/etc/alternatives", "/etc/localtime")


def view(
    folder: Path,
    sockets: Path | None,
    env: Mapping[str, str],
    limits: Limits,
    *,
    root: bool,
) -> list[str]:
    """Namespaces, mounts and environment. `root` says whether the judge is root."""
    arguments = [
        "--unshare-ipc --unshare-pid --unshare-net --unshare-uts --unshare-cgroup-try",
        "--die-with-parent --new-session --hostname sandbox",
        "--cap-drop ALL",
        # What setpriv needs to become somebody else; it gives them up with that.
        "--cap-add CAP_SETUID --cap-add CAP_SETGID --cap-add CAP_SETPCAP"
        if root
        else "--unshare-user",
    ]
    words = " ".join(arguments).split()
    for place in SYSTEM:
        if os.path.islink(place):
            words += ["--symlink", os.readlink(place), place]
        elif os.path.isdir(place):
            words += ["--ro-bind", place, place]
    for source, place in _mounts():
        for parent in reversed(Path(place).parents[:-1]):
            words += ["--dir", str(parent)]  # else only root could pass through it
        words += ["--ro-bind-try", source, place]
    tmpfs = ["--perms", "1777", "--size", str(limits.disk), "--tmpfs"]
    words += ["--proc", "/proc", "--dev", "/dev", *tmpfs, "/tmp", *tmpfs, "/dev/shm"]
    words += ["--ro-bind", str(folder), "/work", "--chdir", "/work"]
    if sockets is not None:
        words += ["--dir", "/run", "--bind", str(sockets), "/run/judge"]
    # These two are file systems in memory without a limit.
    words += ["--remount-ro", "/dev", "--remount-ro", "/"]
    for name, value in {**ENVIRONMENT, **env}.items():
        words += ["--setenv", name, value]
    return words


def _mounts() -> Iterator[tuple[str, str]]:
    """What is seen besides the system's programs: (here, there)."""
    for place in SETTINGS:
        if os.path.exists(place):
            yield place, place
    yield sys.prefix, VENV
    if not Path(sys.base_prefix).is_relative_to("/usr"):
        yield sys.base_prefix, sys.base_prefix  # the environment's python links to it


def step_down(user: int | None, limits: Limits) -> list[str]:
    """Programs that give up what is left of root's powers and set the limits of each process.

    The number of processes must be limited within the namespaces, and by a user other than root:
    the kernel counts those of (user, user namespace), and exempts root.
    """
    words = []
    if user is not None:
        words = [
            *("setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"),
            *("--no-new-privs", "--bounding-set=-all", "--inh-caps=-all"),
        ]
    bounds = {
        "nproc": (resource.RLIMIT_NPROC, limits.processes),
        "nofile": (resource.RLIMIT_NOFILE, limits.files),
        "fsize": (resource.RLIMIT_FSIZE, limits.disk),
        # Private memory; the address space would also count what PyTorch reserves and never touches.
        "data": (resource.RLIMIT_DATA, limits.memory),
        "core": (resource.RLIMIT_CORE, 0),
    }
    words.append("prlimit")
    for name, (kind, wanted) in bounds.items():
        allowed = resource.getrlimit(kind)[1]  # a limit can be lowered, not raised
        if allowed != resource.RLIM_INFINITY:
            wanted = min(wanted, allowed)
        words.append(f"--{name}={wanted}:{wanted}")
    return words
