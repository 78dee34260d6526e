"""A folder for what a grading needs for a while; what a judge that was killed left is removed by the next."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from autograder.owner import alive, this_process

PREFIX = "the-pivot-"
OWNER = "owner"  # the file that says whose a folder is


@contextmanager
def room() -> Iterator[Path]:
    """A new temporary folder of this process, removed at the end."""
    sweep()
    with tempfile.TemporaryDirectory(prefix=PREFIX) as temporary:
        folder = Path(temporary)
        (folder / OWNER).write_text(this_process())
        yield folder


def sweep() -> None:
    """Remove the folders here whose owners are gone."""
    for owner in Path(tempfile.gettempdir()).glob(f"{PREFIX}*/{OWNER}"):
        with suppress(OSError):  # somebody else's, or being removed by its owner
            if not alive(owner.read_text()):
                shutil.rmtree(owner.parent, ignore_errors=True)
