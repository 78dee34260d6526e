"""What can be handed in, seen as one kind of thing: a series of entries, each read in pieces."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

MB = 1 << 20
PIECE = 1 << 16


@dataclass(frozen=True)
class Limits:
    """Sizes are in bytes and counted while reading: what an archive declares is never believed."""

    files: int = 1_000
    file: int = 25 * MB
    total: int = 50 * MB
    depth: int = 16
    """Folders in folders, the file itself counted."""
    path: int = 400
    """Bytes of a whole path; its parts are limited to 255 by every file system."""
    entries: int = 20_000
    """Everything met on the way, left-out things too."""
    archive: int = 50 * MB
    """The archive as it was handed in."""
    unpacked: int = 200 * MB
    """What a tar unpacks to, left-out members too: they cannot be passed over unread."""


LIMITS = Limits()
FILE, FOLDER = "file", "folder"


class Changed(Exception):
    """The submission changed while it was read. Reading it again may help."""


@dataclass(frozen=True)
class Entry:
    """`kind` is FILE, FOLDER, or what else it is, in words for the learner.

    `stamp` differs whenever the content does. `pieces` reads a file, and only until the next entry is asked
    for.
    """

    path: str
    kind: str
    executable: bool
    pieces: Callable[[], Iterator[bytes]]
    stamp: tuple[int, ...] = ()


class Source(Protocol):
    alters: bool
    """Whether somebody else can change it meanwhile."""

    def entries(self, skip: Callable[[str], bool]) -> Iterator[Entry]:
        """Everything in it, once per call. A folder for whose path `skip` holds need not be looked into.

        Raises LearnerError where it is damaged, Changed where it changes, OSError where the machine fails.
        """
        ...


def nothing() -> Iterator[bytes]:
    """The pieces of what has no content."""
    return iter(())


def megabytes(size: int) -> str:
    return f"{size / MB:g} MB"
