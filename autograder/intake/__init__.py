"""Take in a submission: whatever was handed in becomes a clean copy of plain files, or a sentence why not.

Nothing in it is believed: not the sizes an archive declares, not a name, not that it stays as it is while it
is read. Shadowing names such as `sitecustomize.py` or `requests.py` are taken like any other, because nothing
ever imports from the copy outside a sandbox.
"""

import contextlib
import errno
import hashlib
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from autograder.errors import InfrastructureError, LearnerError
from autograder.intake.archive import archive
from autograder.intake.folder import OPEN, Folder, SingleFile
from autograder.intake.names import Wanted, shown
from autograder.intake.plan import Plan, survey
from autograder.intake.source import LIMITS, Changed, Entry, Limits, Source, megabytes

__all__ = ["LIMITS", "Intake", "LeftOut", "Limits", "TakenFile", "take_in"]

ATTEMPTS = 3
NOT_PLAIN = LearnerError(
    "The submission itself is a link or a special file.",
    "Hand in a folder, an archive or a notebook.",
)


@dataclass(frozen=True)
class TakenFile:
    path: str
    size: int
    executable: bool


@dataclass(frozen=True)
class LeftOut:
    path: str
    reason: str


@dataclass(frozen=True)
class Intake:
    """What was taken, sorted by path, and what was left out.

    `digest` (64 hex digits) is the submission's identity: the same files give the same digest, whether they
    came as a folder, a zip or a tar. `notes` are sentences for the learner.
    """

    folder: Path
    files: tuple[TakenFile, ...]
    left_out: tuple[LeftOut, ...]
    digest: str
    notes: list[str]


def take_in(
    source: Path,
    destination: Path,
    *,
    wanted: Sequence[str] | None = None,
    limits: Limits = LIMITS,
) -> Intake:
    """Copy a folder, a zip, a tar (.gz, .bz2, .xz) or one .ipynb to the new folder `destination`.

    `wanted` are glob patterns from the top of the submission: only files that match are taken, the rest is
    left out unread. Folders that are alone at the top are unwrapped. Files get mode 0644, or 0755 if their
    owner may execute them (a Dockerfile may copy such a script); empty folders are not carried.

    Raises LearnerError if the learner can mend it, InfrastructureError if `source` is not there or the
    machine fails. Then there is no `destination`.
    """
    source, destination = Path(source), Path(destination)
    try:
        for _ in range(ATTEMPTS):
            with contextlib.suppress(Changed), _opened(source, limits) as origin:
                return _take(origin, destination, Wanted(wanted), limits)
    except OSError as error:
        raise InfrastructureError(
            f"Cannot copy {source} to {destination}: {error.strerror or error}."
        ) from error
    raise LearnerError(
        "The submission changed again and again while it was read.",
        "Hand it in again once nothing writes to it any more.",
    )


@contextlib.contextmanager
def _opened(source: Path, limits: Limits) -> Iterator[Source]:
    try:
        descriptor = os.open(source, OPEN)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):
            raise NOT_PLAIN from error
        raise
    with contextlib.ExitStack() as opened:
        opened.callback(os.close, descriptor)
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISDIR(mode):
            yield Folder(descriptor, limits)
        elif not stat.S_ISREG(mode):
            raise NOT_PLAIN
        elif source.suffix == ".ipynb":
            yield SingleFile(descriptor, source.name)
        else:
            yield opened.enter_context(archive(descriptor, limits))


def _take(origin: Source, destination: Path, wanted: Wanted, limits: Limits) -> Intake:
    plan = survey(origin, wanted, limits)
    unfinished = Path(
        tempfile.mkdtemp(dir=destination.parent, prefix=f".{destination.name}.")
    )
    try:
        files, digest = _copy(origin, plan, unfinished, limits)
        if origin.alters and survey(origin, wanted, limits).stamps != plan.stamps:
            raise Changed
        _open_to_readers(unfinished)
        os.rename(unfinished, destination)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    left_out = tuple(LeftOut(*item) for item in sorted(plan.left_out.items()))
    return Intake(destination, files, left_out, digest, plan.notes)


def _copy(
    origin: Source, plan: Plan, folder: Path, limits: Limits
) -> tuple[tuple[TakenFile, ...], str]:
    """Write what is planned into `folder`; what was written, and the digest of all of it. Raises Changed."""
    taken: dict[str, tuple[TakenFile, bytes]] = {}
    total = 0
    for entry in origin.entries(lambda path: path not in plan.folders):
        path = plan.paths.get(entry.path)
        if path is None:
            continue
        if entry.stamp != plan.stamps[entry.path]:
            raise Changed
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        size, digest = _write(entry, target, path, limits, limits.total - total)
        total += size
        taken[path] = TakenFile(path, size, entry.executable), digest
    if len(taken) != len(plan.paths):
        raise Changed
    whole = hashlib.sha256()
    for path in sorted(taken):
        file, digest = taken[path]
        whole.update(f"{path}\0{'x' if file.executable else '-'}\0".encode() + digest)
    return tuple(taken[path][0] for path in sorted(taken)), whole.hexdigest()


def _write(
    entry: Entry, target: Path, path: str, limits: Limits, room: int
) -> tuple[int, bytes]:
    """Size and sha256 of what was written to `target`; LearnerError as soon as it is too much."""
    size = 0
    digest = hashlib.sha256()
    with target.open("xb") as file:
        for piece in entry.pieces():
            size += len(piece)
            if size > limits.file:
                raise LearnerError(
                    f"{shown(path)} is larger than {megabytes(limits.file)}.",
                    "Hand in only what the assignment asks for.",
                )
            if size > room:
                raise LearnerError(
                    f"The submission is larger than {megabytes(limits.total)} in all.",
                    "Hand in only what the assignment asks for.",
                )
            digest.update(piece)
            file.write(piece)
        os.fchmod(file.fileno(), 0o755 if entry.executable else 0o644)
    return size, digest.digest()


def _open_to_readers(folder: Path) -> None:
    """Whatever this process's umask: a container's user reads the copy too."""
    for path, _, _ in os.walk(folder):
        os.chmod(path, 0o755)
