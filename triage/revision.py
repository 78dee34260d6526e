"""Which code this is: the commit that git knows, and a digest that needs no git."""

import hashlib
import subprocess
from pathlib import Path

PACKAGE = Path(__file__).parent
UNKNOWN = "unknown"


def git_commit(folder: Path = PACKAGE) -> str:
    """The commit checked out in `folder`, 40 hex digits, with `-dirty` if its files differ from it.

    `unknown` where git is missing or does not know the folder, as in an installed package or an image.
    """
    commit = git(folder, "rev-parse", "HEAD")
    # An environment inside somebody else's repository is not part of that repository.
    if commit is None or not git(folder, "ls-files", "."):
        return UNKNOWN
    return commit + "-dirty" if git(folder, "status", "--porcelain", ".") else commit


def git(folder: Path, *arguments: str) -> str | None:
    """What git prints, or None if it cannot answer."""
    command = ["git", "-C", str(folder), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def code_digest(folder: Path = PACKAGE) -> str:
    """SHA-256 over names and contents of the folder's Python files, 64 hex digits."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        digest.update(f"{path.relative_to(folder).as_posix()} {content}\n".encode())
    return digest.hexdigest()
