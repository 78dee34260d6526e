"""Amounts as Kubernetes writes them."""

import math
import re

SUFFIXES = {
    **{"": 1.0, "m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9},
    **{"Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30},
}


def amount(quantity: object) -> float:
    """500m is 0.5, 1Ki is 1024. Raises ValueError."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(m|[kMG]|[KMG]i)?", str(quantity))
    if not match:
        raise ValueError(f"{quantity!r} is no quantity")
    return float(match[1]) * SUFFIXES[match[2] or ""]


def share(value: int | str, of: int, *, up: bool) -> int:
    """A number of pods, given as such or in per cent: maxSurge is rounded up, maxUnavailable down."""
    if isinstance(value, int):
        return value
    exact = of * float(value.removesuffix("%")) / 100
    return math.ceil(exact) if up else math.floor(exact)
