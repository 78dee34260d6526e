"""The fingerprint of the code behind the pages: content and names change it, nothing else does."""

from pathlib import Path

import pytest

from extensions.execution import code_digest


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "triage" / "deep").mkdir(parents=True)
    (tmp_path / "triage" / "deep" / "head.py").write_text("x = 1")
    (tmp_path / "requirements.lock").write_text("torch==2")
    return tmp_path


def test_changes_count(root: Path) -> None:
    seen = {code_digest(root)}
    (root / "triage" / "deep" / "head.py").write_text("x = 2")
    seen.add(code_digest(root))
    (root / "triage" / "deep" / "head.py").rename(root / "triage" / "deep" / "tail.py")
    seen.add(code_digest(root))
    (root / "requirements.lock").write_text("torch==3")
    seen.add(code_digest(root))
    assert len(seen) == 4


def test_what_no_cell_sees_does_not_count(root: Path) -> None:
    before = code_digest(root)
    (root / "README.md").write_text("words")
    (root / "triage" / "__pycache__").mkdir()
    (root / "triage" / "__pycache__" / "head.pyc").write_bytes(b"compiled")
    assert code_digest(root) == before
