"""Which Python packages an image holds, by the names of its files: its own pip could say anything."""

import re
from collections.abc import Iterable

from packaging.utils import canonicalize_name

METADATA = re.compile(r"(?:^|/)([\w.]+)-([\w.+!]+)\.dist-info/METADATA$", re.ASCII)
DELETED = re.compile(r"(?:^|/)\.wh\.([\w.]+)-([\w.+!]+)\.dist-info$", re.ASCII)
VENDORED = "/_vendor/"  # setuptools carries copies with their metadata


def installed(names: Iterable[str]) -> set[tuple[str, str]]:
    """Canonical name and version of every package among these files."""
    files = [name for name in names if ".dist-info" in name and VENDORED not in name]
    return _named(METADATA, files) - _named(DELETED, files)


def _named(pattern: re.Pattern[str], names: list[str]) -> set[tuple[str, str]]:
    matches = (pattern.search(name) for name in names)
    return {(canonicalize_name(match[1]), match[2]) for match in matches if match}
