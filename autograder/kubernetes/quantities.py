"""Amounts and shares as Kubernetes writes and rounds them."""

import math
import re


def amount(quantity: str | int | float) -> float:
    """500m is 0.5, 1Ki is 1024. Raises ValueError for what is no positive quantity."""
    from kubernetes.utils.quantity import parse_quantity  # with it comes a whole client

    # Python's numbers may have blanks, signs and underscores, or be NaN; Kubernetes' may not.
    if not re.fullmatch(r"[0-9.]+[A-Za-z0-9]*", str(quantity)):
        raise ValueError(f"{quantity!r} is no quantity")
    value = float(parse_quantity(quantity))
    if value <= 0:
        raise ValueError(f"{quantity} is not more than nothing")
    return value


def share(value: int | str, of: int, *, up: bool) -> int:
    """A number of pods, given as such or in per cent: maxSurge is rounded up, maxUnavailable down.

    Raises ValueError for what is neither.
    """
    if isinstance(value, int):
        return value
    if not value.endswith("%"):
        raise ValueError(f"{value!r} is neither a number nor a percentage")
    exact = of * int(value[:-1]) / 100
    return math.ceil(exact) if up else math.floor(exact)
