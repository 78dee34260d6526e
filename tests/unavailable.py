"""What a test says when a part of the system it needs is not there."""

import os
from typing import NoReturn

import pytest

REQUIRE_SYSTEM = os.environ.get("REQUIRE_SYSTEM") == "1"


def unavailable(reason: str) -> NoReturn:
    """Skip, or fail where a skipped test would be a hole in the gate."""
    if REQUIRE_SYSTEM:
        pytest.fail(f"REQUIRE_SYSTEM=1, and {reason}", pytrace=False)
    pytest.skip(reason)
