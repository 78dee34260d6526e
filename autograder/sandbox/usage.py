"""What a sandbox's processes use, seen from outside, through the /proc of their own namespace."""

import os
from pathlib import Path

from autograder.sandbox import Limits

PAGE = os.sysconf("SC_PAGE_SIZE")
FILES = 20_000  # files in /tmp or /dev/shm; each costs the kernel about a kilobyte that no limit counts
SOCKETS = 1024  # open at once, of all processes; their buffers belong to none
ENTRIES = 64  # files and folders in a service's folder for sockets, which is on the host's disk


def broken(init: int, limits: Limits, sockets: Path | None = None) -> str:
    """The limit that the processes under `init` (first of its pid namespace) broke, else ""."""
    root = f"/proc/{init}/root"
    try:
        if os.path.samefile(root, "/"):
            return ""  # bwrap has not left the host's yet, and everybody's processes would be counted
        if _memory(f"{root}/proc", limits.memory) > limits.memory:
            return "memory"
        if _sockets(f"{root}/proc/1/net/sockstat") > SOCKETS:
            return "memory"
        if any(_files(root + place) > FILES for place in ("/tmp", "/dev/shm")):
            return "disk"
    except OSError:  # it is ending
        return ""
    if sockets is not None and _overfull(sockets, limits.disk):
        return "disk"
    return ""


def _memory(proc: str, enough: int) -> int:
    """Bytes in use by all processes. What they share is counted once if counting it often gives too much."""
    processes = [name for name in os.listdir(proc) if name.isdigit()]
    total = sum(_resident(f"{proc}/{name}/statm") for name in processes)
    if total > enough:
        total = sum(_share(f"{proc}/{name}/smaps_rollup") for name in processes)
    return total


def _resident(path: str) -> int:
    fields = _read(path).split()
    return int(fields[1]) * PAGE if fields else 0


def _share(path: str) -> int:
    for line in _read(path).splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    return 0


def _read(path: str) -> str:
    """A file of /proc; empty if its process has ended."""
    try:
        with open(path) as file:
            return file.read()
    except OSError:
        return ""


def _sockets(path: str) -> int:
    """`sockets: used 5` is how the file begins; it speaks of one network namespace."""
    fields = _read(path).split()
    return int(fields[2]) if fields else 0


def _files(place: str) -> int:
    status = os.statvfs(place)
    return status.f_files - status.f_ffree


def _overfull(folder: Path, size: int) -> bool:
    entries = 0
    for parent, folders, files in os.walk(folder):
        entries += len(folders) + len(files)
        for name in files:
            try:
                size -= os.lstat(os.path.join(parent, name)).st_blocks * 512
            except OSError:
                continue
        if entries > ENTRIES or size < 0:
            return True
    return False


def program(init: int) -> int | None:
    """The process id, as the judge sees it, of the program that `init` started; None if it has ended."""
    for child in _read(f"/proc/{init}/task/{init}/children").split():
        for line in _read(f"/proc/{child}/status").splitlines():
            if line.startswith("NSpid:") and line.split()[-1] == "2":
                return int(child)
    return None
