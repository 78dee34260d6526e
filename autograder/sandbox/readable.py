"""Files that a user without any rights can read, whoever owns them."""

import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def readable(folder: Path) -> Iterator[Path]:
    """`folder` itself if everyone may read all of it, else a copy in a place only the judge can enter.

    Never changes `folder`: it may be anything on the machine, and the judge may be root.
    """
    if all(open_to_everyone(path) for path in (folder, *folder.rglob("*"))):
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="readable-") as private:
        copy = Path(private, "copy")
        shutil.copytree(folder, copy, symlinks=True)
        for path in (copy, *copy.rglob("*")):
            mode = path.lstat().st_mode
            if not stat.S_ISLNK(mode):
                path.chmod(stat.S_IMODE(mode) | _needed(mode))
        yield copy


def open_to_everyone(path: Path) -> bool:
    mode = path.lstat().st_mode
    return stat.S_ISLNK(mode) or mode & _needed(mode) == _needed(mode)


def _needed(mode: int) -> int:
    return 0o555 if stat.S_ISDIR(mode) or mode & stat.S_IXUSR else 0o444
