"""Which Python packages an image holds, by the names of its files: its own pip could say anything."""

import re
from collections.abc import Iterable

from packaging.utils import canonicalize_name

METADATA = re.compile(r"(?:^|/)([\w.]+)-([\w.+!]+)\.dist-info/METADATA$", re.ASCII)
VENDORED = "/_vendor/"  # setuptools carries copies with their metadata


def installed(names: Iterable[str]) -> set[tuple[str, str]]:
    """Canonical name and version of every package among these files; one deleted later was installed too."""
    matches = (METADATA.search(name) for name in names if VENDORED not in name)
    return {(canonicalize_name(match[1]), match[2]) for match in matches if match}
