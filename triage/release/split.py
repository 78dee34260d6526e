"""Who gets the canary: a stable, even choice by key, and nothing that has to be stored."""

import hashlib


# region split
def position(key: str, salt: str) -> float:
    """Where this key stands from 0 to 1: the same for ever, evenly spread over keys."""
    digest = hashlib.sha256(f"{salt}/{key}".encode()).digest()
    return int.from_bytes(digest[:8]) / 2**64


def chosen(key: str, share: float, salt: str) -> bool:
    """Whether this key is among the `share`, 0 to 1. Who is stays so when it grows."""
    return position(key, salt) < share


# endregion split
