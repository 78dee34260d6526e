"""What every test starts from: a clean environment, and the parts it needs or a reason to be skipped."""

import functools
import os
import time
from pathlib import Path

import pytest
from executed import findings, output  # noqa: F401  fixtures
from unavailable import unavailable

from pivot.capabilities import CAPABILITIES, Part, find

# Workers share the cores: PyTorch threads that spin for each other's core make everything many times slower.
os.environ.setdefault("OMP_NUM_THREADS", "1")

PARTS = {
    name
    for capability in CAPABILITIES
    for choice in capability.needs
    for name in choice
}


@functools.cache
def present(name: str) -> Part:
    """Looked for once, and again if it did not answer: another test may be filling the machine on purpose."""
    part = find(name)
    if not part.ready:
        time.sleep(2)
        part = find(name)
    return part


def pytest_runtest_setup(item: pytest.Item) -> None:
    for mark in item.iter_markers("needs"):
        for name in mark.args:
            assert name in PARTS, (
                f"needs({name!r}): no such part, known are {sorted(PARTS)}"
            )
            part = present(name)
            if not part.ready:
                unavailable(f"{name} is missing; get it with: {part.fix}")


def pytest_xdist_auto_num_workers() -> int:
    """One more than there are cores: many tests wait for a container to start, to fail or to end."""
    return (os.cpu_count() or 1) + 1


@pytest.fixture(autouse=True)
def nobody_elses_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees this shell's settings or writes to the checkout's .triage."""
    for name in ("TRIAGE_DATA", "TRIAGE_ENCODER", "TRIAGE_IMAGE", "TRIAGE_TRUST"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TRIAGE_HOME", str(tmp_path / ".triage"))
    monkeypatch.setenv(
        "MLFLOW_TRACKING_URI", "http://127.0.0.1:1"
    )  # nobody listens there
