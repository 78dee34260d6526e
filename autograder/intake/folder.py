"""An untrusted folder, walked by open folders and never by paths: no link is followed, whatever is
swapped."""

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import islice
from typing import NoReturn

from autograder.errors import LearnerError
from autograder.intake.names import shown
from autograder.intake.source import (
    FILE,
    FOLDER,
    PIECE,
    Changed,
    Entry,
    Limits,
    nothing,
)

# O_NONBLOCK: opening a pipe that was put in a file's place meanwhile must not wait for its other end.
OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
KINDS = {
    stat.S_IFREG: FILE,
    stat.S_IFDIR: FOLDER,
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFBLK: "a device",
    stat.S_IFCHR: "a device",
}


class Folder:
    """The folder open as `descriptor`, which stays the caller's to close."""

    alters = True

    def __init__(self, descriptor: int, limits: Limits):
        self._descriptor = descriptor
        self._limits = limits

    def entries(self, skip: Callable[[str], bool]) -> Iterator[Entry]:
        yield from self._walk(os.dup(self._descriptor), "", skip)

    def _walk(
        self, folder: int, above: str, skip: Callable[[str], bool]
    ) -> Iterator[Entry]:
        try:
            with os.scandir(folder) as listing:
                found = sorted(
                    entry.name for entry in islice(listing, self._limits.entries + 1)
                )
            for name in found:
                path = f"{above}{name}"
                with suppress(FileNotFoundError):  # it went away since
                    entry = _entry(folder, name, path)
                    yield entry
                    if entry.kind == FOLDER and not skip(path):
                        below = _open(folder, name, path, os.O_DIRECTORY)
                        yield from self._walk(below, f"{path}/", skip)
        finally:
            os.close(folder)


class SingleFile:
    """The one file open as `descriptor`, under the name it was handed in with."""

    alters = True

    def __init__(self, descriptor: int, name: str):
        self._descriptor = descriptor
        self._name = name

    def entries(self, skip: Callable[[str], bool]) -> Iterator[Entry]:
        status = os.fstat(self._descriptor)

        def pieces() -> Iterator[bytes]:
            os.lseek(self._descriptor, 0, os.SEEK_SET)
            return _read(os.dup(self._descriptor))

        yield Entry(self._name, _kind(status), False, pieces, _stamp(status))


def _entry(folder: int, name: str, path: str) -> Entry:
    try:
        status = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except PermissionError as error:
        _explain(error, path)
    kind = _kind(status)

    def pieces() -> Iterator[bytes]:
        descriptor = _open(folder, name, path)
        if _stamp(os.fstat(descriptor)) != _stamp(status):
            os.close(descriptor)
            raise Changed(path)
        return _read(descriptor)

    executable = bool(status.st_mode & stat.S_IXUSR)
    return Entry(
        path, kind, executable, pieces if kind == FILE else nothing, _stamp(status)
    )


def _kind(status: os.stat_result) -> str:
    if stat.S_ISREG(status.st_mode) and status.st_nlink > 1:
        return "a hard link"  # perhaps to a file that is not the learner's to hand in
    return KINDS.get(stat.S_IFMT(status.st_mode), "a special file")


def _stamp(status: os.stat_result) -> tuple[int, ...]:
    return (
        status.st_dev,
        status.st_ino,
        status.st_mode,
        status.st_nlink,
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
    )


def _open(folder: int, name: str, path: str, flags: int = 0) -> int:
    try:
        return os.open(name, OPEN | flags, dir_fd=folder)
    except OSError as error:
        _explain(error, path)


def _explain(error: OSError, path: str) -> NoReturn:
    if error.errno in (errno.ELOOP, errno.ENOTDIR, errno.ENOENT, errno.ENXIO):
        raise Changed(path) from error  # it was something else a moment ago
    if error.errno == errno.EACCES:
        raise LearnerError(
            f"{shown(path)} may not be read: its permissions forbid it.",
            "Allow everybody to read it (chmod a+rX) and hand it in again.",
        ) from error
    raise error


def _read(descriptor: int) -> Iterator[bytes]:
    with open(descriptor, "rb", buffering=0) as file:
        while piece := file.read(PIECE):
            yield piece
