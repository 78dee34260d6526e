"""Reading a requirements.txt the way pip does, as far as pinning goes."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from packaging.markers import UndefinedComparison, UndefinedEnvironmentName
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

HASH = re.compile(r"\s--hash[= ]\S+")
COMMENT = re.compile(r"(^|\s)#.*$")
MORE = ("--requirement", "--constraint", "--editable", "--pre")
# Markers can nest, and compare what cannot be compared.
NOT_READABLE = (
    InvalidRequirement,
    UndefinedComparison,
    UndefinedEnvironmentName,
    RecursionError,
    ValueError,  # numbers of thousands of digits
)
# What decides over lines such as `numpy==2.4.6 ; python_full_version < "3.12"`.
THERE = {
    "python_version": "3.11",
    "python_full_version": "3.11.0",
    "sys_platform": "linux",
    "platform_system": "Linux",
    "os_name": "posix",
}


@dataclass(frozen=True)
class Requirements:
    """`pins`: version by canonical name. `loose`: the lines that leave the choice to the day of the build."""

    pins: dict[str, str]
    loose: list[str]


def read(text: str) -> Requirements:
    pins: dict[str, str] = {}
    loose: list[str] = []
    for line in _lines(text):
        try:
            requirement = Requirement(line)
            if requirement.marker and not requirement.marker.evaluate(THERE):
                continue
        except NOT_READABLE:
            if not _is_option(line):
                loose.append(line)
            continue
        if version := _only_version(requirement):
            pins[canonicalize_name(requirement.name)] = version
        else:
            loose.append(line)
    return Requirements(pins, loose)


def _lines(text: str) -> Iterator[str]:
    """Logical lines, without comments and hashes."""
    for line in text.replace("\\\n", " ").splitlines():
        if line := HASH.sub("", COMMENT.sub("", line)).strip():
            yield line


def _only_version(requirement: Requirement) -> str | None:
    match list(requirement.specifier):
        case [only] if only.operator in ("==", "===") and "*" not in only.version:
            return only.version
    return None


def _is_option(line: str) -> bool:
    """An option for pip, such as --no-binary, that does not bring in further requirements."""
    return line.startswith("--") and not line.startswith(MORE)
