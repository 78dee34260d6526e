"""A machine made of shell scripts: nothing of the real one is found."""

from collections.abc import Callable
from pathlib import Path

import pytest

from pivot import capabilities, host

Install = Callable[[str, str], Path]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Gives a function that puts a program, the body of a shell script, on an otherwise empty PATH."""
    programs = tmp_path / "bin"
    programs.mkdir()
    monkeypatch.setenv("PATH", str(programs))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(host, "ROOTS_PATH", [])
    monkeypatch.setattr(capabilities, "SHARED_BROWSERS", str(tmp_path / "browsers"))
    monkeypatch.setattr(capabilities, "APPLICATIONS", str(tmp_path / "Applications"))

    def put(name: str, script: str) -> Path:
        path = programs / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        return path

    return put
