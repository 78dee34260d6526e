"""What every test starts from: a clean environment, and either the parts it needs or a reason to be skipped."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from unavailable import unavailable

from pivot.capabilities import find


def pytest_runtest_setup(item: pytest.Item) -> None:
    for mark in item.iter_markers("needs"):
        for name in mark.args:
            part = find(name)
            if not part.ready:
                unavailable(f"{name} is missing; get it with: {part.fix}")


@pytest.fixture(autouse=True)
def nobody_elses_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No test sees this shell's settings or writes to the checkout's .triage."""
    for name in ("TRIAGE_DATA", "TRIAGE_ENCODER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TRIAGE_HOME", str(tmp_path / ".triage"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")  # nobody listens there
    yield
