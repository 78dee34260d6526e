"""Data kept under its own digest, as git keeps a blob and a registry an image: the name is the content.

A snapshot is a folder TRIAGE_HOME/snapshots/DIGEST with the `train.csv` and `test.csv` that have this digest,
byte for byte, and the name they went by. `data.load("sha256:DIGEST")` reads one back.
"""

import hashlib
import os
import re
import shutil
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from triage import data
from triage.data import SNAPSHOT, SPLITS, Dataset
from triage.errors import TriageError
from triage.settings import Settings

SHORTEST = 6
"""Hex digits: fewer would be a guess, as with git's abbreviated commits."""


@dataclass(frozen=True)
class Snapshot:
    """Data that stays: `digest` is 64 hex digits, `path` the folder that holds it."""

    digest: str
    path: Path

    def __str__(self) -> str:
        return f"{SNAPSHOT}{self.digest}"


def store() -> Path:
    return Settings().home / "snapshots"


# region take
def take(source: Dataset | str | Path | None = None) -> Snapshot:
    """Keep a data set; a second call with the same content changes nothing.

    `source` is what `data.load` takes, or what it returned. Raises TriageError if the
    files have changed since they were read, or cannot be kept.
    """
    dataset = source if isinstance(source, Dataset) else data.load(source)
    if dataset.folder is None:
        raise TriageError(
            f"{dataset.name} was never read from files. "
            "Write train.csv and test.csv, and load them."
        )
    contents = {s: data.read_bytes(dataset.folder / f"{s}.csv") for s in SPLITS}
    found = data.digest_of(hashlib.sha256(contents[s]).hexdigest() for s in SPLITS)
    if found != dataset.digest:
        raise TriageError(
            f"{dataset.folder} has changed since it was read. Take the snapshot again."
        )
    path = store() / dataset.digest
    if not path.is_dir():
        files = {f"{split}.csv": content for split, content in contents.items()}
        keep(path, files | {"name": dataset.name.encode()})
    return Snapshot(read(dataset.digest).digest, path)


def keep(path: Path, files: dict[str, bytes]) -> None:
    """Make the folder `path` with these files: whole, or not at all."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(dir=path.parent, prefix=".draft-"))
        try:
            for name, content in files.items():
                (draft / name).write_bytes(content)
                (draft / name).chmod(0o444)  # an editor asks before it writes
            draft.chmod(0o755)
            os.rename(draft, path)
        except OSError:
            shutil.rmtree(draft)
            if not path.is_dir():  # else somebody kept the same content meanwhile
                raise
    except OSError as error:
        raise TriageError(
            f"Cannot write {path}: {error.strerror}. "
            "Set TRIAGE_HOME to a folder you may write to."
        ) from error


# endregion take


def find(digest: str) -> Path:
    """The folder of the one snapshot whose digest begins with `digest` (`sha256:` in front or not)."""
    prefix = digest.removeprefix(SNAPSHOT)
    if not re.fullmatch(rf"[0-9a-f]{{{SHORTEST},64}}", prefix):
        raise TriageError(
            f"{digest[:80]!r} is no digest. Write {SNAPSHOT} and {SHORTEST} to 64 hex digits."
        )
    found = sorted(store().glob(f"{prefix}*"))
    if not found:
        raise TriageError(
            f"No snapshot {SNAPSHOT}{prefix} in {store()}. "
            "Keep one with `python -m triage snapshot`, or set TRIAGE_HOME to where it is."
        )
    if len(found) > 1:
        raise TriageError(
            f"{len(found)} snapshots begin with {prefix}. Write more of the digest."
        )
    return found[0]


# region read
def read(digest: str) -> Dataset:
    """A snapshot's data, under the name it went by; refused unless it still has its digest."""
    path = find(digest)
    dataset = data.parse_folder(path, name=path.name)
    if dataset.digest != path.name:
        raise TriageError(
            f"{path} was altered: its files now have the digest {dataset.digest}. "
            "Delete the folder and take the snapshot again from where the data came from."
        )
    return replace(dataset, name=(path / "name").read_text())


# endregion read
