"""Names in a submission: which are refused, which are left out, which are asked for."""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from fnmatch import translate
from functools import cache

from autograder.errors import LearnerError
from autograder.intake.source import Limits

LEFT_OUT = {
    ".git": "version control",
    ".hg": "version control",
    ".svn": "version control",
    "__pycache__": "compiled by Python",
    ".ipynb_checkpoints": "Jupyter's own copies",
    ".virtual_documents": "Jupyter's own copies",
    ".venv": "installed packages",
    "venv": "installed packages",
    "node_modules": "installed packages",
    ".cache": "a cache",
    ".pytest_cache": "a cache",
    ".mypy_cache": "a cache",
    ".ruff_cache": "a cache",
    ".hypothesis": "a cache",
    ".idea": "an editor's settings",
    ".vscode": "an editor's settings",
    ".DS_Store": "the file manager's notes",
    "__MACOSX": "the file manager's notes",
    "Thumbs.db": "the file manager's notes",
    "desktop.ini": "the file manager's notes",
}
TIMESTAMP = "timestamp.txt"
"""nbgrader puts it beside what was handed in; deeper down the name is the learner's own."""

# Characters that make a listing read otherwise than the name is.
TURNING = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}


def shown(path: str) -> str:
    """A path as it may stand in a sentence: no control characters, and not too long."""
    text = "".join(
        character if _ordinary(character) else ascii(character)[1:-1]
        for character in path[:200]
    )
    return f"“{text if len(text) <= 100 else text[:60] + '…' + text[-39:]}”"


def canonical(path: str) -> str:
    """The path in its one spelling, `a/b`, and "" for the top itself.

    Raises LearnerError if it leads elsewhere.
    """
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if path.startswith("/") or re.match("[A-Za-z]:", path):
        refuse(path, "is an absolute path", "Pack the files with paths relative to")
    if ".." in parts:
        refuse(path, "leads out of the submission", "Pack the files from inside")
    if "\\" in path:
        refuse(path, "has a backslash in its name", "Use / between folders in")
    if "\0" in path:
        refuse(path, "has a NUL in its name", "Pack again")
    return "/".join(parts)


def refuse(path: str, fault: str, remedy: str) -> None:
    raise LearnerError(f"{shown(path)} {fault}.", f"{remedy} your folder.")


def vet(path: str, limits: Limits) -> None:
    """Raises LearnerError for a name that other systems or readers would take for another one, or not take at
    all."""
    try:
        size = len(path.encode())
    except UnicodeEncodeError:
        raise LearnerError(
            f"The name {shown(path)} is not UTF-8.", "Rename it, best in plain letters."
        ) from None
    if not all(map(_ordinary, path)):
        raise LearnerError(
            f"The name {shown(path)} has control characters in it.",
            "Rename it, best in plain letters.",
        )
    parts = path.split("/")
    longest = max(len(part.encode()) for part in parts)
    if size > limits.path or longest > 255:
        raise LearnerError(
            f"The name {shown(path)} is too long: {size} bytes.",
            f"Keep a path under {limits.path} bytes and each name in it under 256.",
        )
    if len(parts) > limits.depth:
        raise LearnerError(
            f"{shown(path)} lies {len(parts)} levels deep.",
            f"Hand in at most {limits.depth} levels of folders.",
        )


@cache
def _ordinary(character: str) -> bool:
    return (
        unicodedata.category(character) not in ("Cc", "Cs", "Zl", "Zp")
        and unicodedata.bidirectional(character) not in TURNING
    )


def left_out(path: str) -> tuple[str, str] | None:
    """The outermost part of `path` that is never taken, and the reason; None if all of it may be."""
    parts = path.split("/")
    for count, part in enumerate(parts, 1):
        if reason := LEFT_OUT.get(part) or _leftover(part):
            return "/".join(parts[:count]), reason
    return None


def _leftover(name: str) -> str:
    if name.endswith((".pyc", ".pyo")):
        return "compiled by Python"
    return "the file manager's notes" if name.startswith("._") else ""


def vet_together(paths: Iterable[str]) -> None:
    """Raises LearnerError for names that are one and the same on another system, or a file and a folder at
    once."""
    spelling: dict[str, str] = {}
    files = set(paths)
    for path in sorted(files):
        for above in upwards(path):
            if above != path and above in files:
                raise LearnerError(
                    f"{shown(above)} is both a file and a folder.",
                    "Rename one of them.",
                )
            key = unicodedata.normalize(
                "NFC", unicodedata.normalize("NFD", above).casefold()
            )
            other = spelling.setdefault(key, above)
            if other != above:
                raise LearnerError(
                    f"{shown(other)} and {shown(above)} differ only in capital letters or in the way "
                    "accents are stored: on many systems they are the same file.",
                    "Rename one of them.",
                )


def upwards(path: str) -> Iterator[str]:
    while path:
        yield path
        path = path.rpartition("/")[0]


class Wanted:
    """The files an assignment asks for, as glob patterns from the top; `None` asks for everything.

    `*` stays within a folder, `**` is any number of folders.
    """

    def __init__(self, patterns: Sequence[str] | None):
        self.patterns = patterns
        self._parts = [pattern.split("/") for pattern in patterns or ()]

    def takes(self, path: str) -> bool:
        parts = path.split("/")
        return self.patterns is None or any(_match(p, parts) for p in self._parts)

    def looks_into(self, path: str) -> bool:
        """Whether something below the folder `path` may be asked for."""
        parts = path.split("/")
        return self.patterns is None or any(
            "**" in pattern[: len(parts)]
            or (len(pattern) > len(parts) and _match(pattern[: len(parts)], parts))
            for pattern in self._parts
        )

    def missing(self, paths: Iterable[str]) -> list[str]:
        """The files asked for by their very name that are not among `paths`."""
        there = set(paths)
        return [
            pattern
            for pattern in self.patterns or ()
            if not re.search(r"[*?\[]", pattern) and pattern not in there
        ]


def _match(pattern: list[str], parts: list[str]) -> bool:
    if not pattern:
        return not parts
    if pattern[0] == "**":
        rest = pattern[1:]
        if not rest:
            return bool(parts)
        return any(_match(rest, parts[count:]) for count in range(len(parts) + 1))
    return (
        bool(parts)
        and _compiled(pattern[0]).match(parts[0]) is not None
        and _match(pattern[1:], parts[1:])
    )


@cache
def _compiled(part: str) -> re.Pattern[str]:
    return re.compile(translate(part))
