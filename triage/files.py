"""Files that are whole or absent: a reader never meets half of one."""

import hashlib
import os
import tempfile
from pathlib import Path

from triage.errors import TriageError


def write_atomically(path: Path, content: bytes) -> None:
    """Write `content` beside `path` and rename it into place; on any failure the old file stays as it was."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(
            dir=path.parent, prefix=f".{path.name}.", delete=False
        ) as file:
            try:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
                os.chmod(
                    file.name, 0o644
                )  # temporary files are private, this one is meant to be read
                os.replace(file.name, path)
            except BaseException:
                os.unlink(file.name)
                raise
    except OSError as error:
        raise TriageError(
            f"Cannot write {path}: {error.strerror}. Choose a folder you may write to."
        ) from error


def sha256(path: Path) -> str:
    """The file's SHA-256 as 64 hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
