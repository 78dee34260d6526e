"""Untrusted archives. Archives within them are just files, never opened."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from typing import BinaryIO

from autograder.errors import LearnerError
from autograder.intake.source import PIECE, Changed, Limits, Source, megabytes
from autograder.intake.tars import Tar, is_tar
from autograder.intake.zips import open_zip

UNSUPPORTED = LearnerError(
    "The submission is not an archive this judge can read.",
    "Hand in a folder, a notebook, a .zip or a .tar.gz.",
)


@contextlib.contextmanager
def archive(descriptor: int, limits: Limits) -> Iterator[Source]:
    """The archive open as `descriptor`, by its content and not by its name. Raises LearnerError, Changed."""
    with _copied(descriptor, limits) as file:
        start = file.read(512)
        if start.startswith((b"PK\x03\x04", b"PK\x05\x06")):
            with open_zip(file) as opened:
                yield opened
        elif is_tar(start):
            yield Tar(file, start, limits)
        else:
            raise UNSUPPORTED


@contextlib.contextmanager
def _copied(descriptor: int, limits: Limits) -> Iterator[BinaryIO]:
    """A copy that nobody else can change, so that names and contents are read from the same archive."""
    before = os.fstat(descriptor)
    with (
        tempfile.TemporaryFile() as copy,
        open(descriptor, "rb", buffering=0, closefd=False) as file,
    ):
        file.seek(0)
        while piece := file.read(PIECE):
            copy.write(piece)
            if copy.tell() > limits.archive:
                raise LearnerError(
                    f"The archive is larger than {megabytes(limits.archive)}.",
                    "Pack only what the assignment asks for.",
                )
        after = os.fstat(descriptor)
        if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
            raise Changed
        copy.seek(0)
        yield copy
