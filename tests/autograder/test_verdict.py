"""Verdicts on disk."""

from pathlib import Path

import pytest

from autograder.verdict import CheckResult, Verdict

CHECK = CheckResult(
    id="a/one", title="One", hidden=True, points=1, max_points=2, seen="Half of it."
)
VERDICT = Verdict(
    status="graded",
    assignment="a",
    learner="ada",
    points=1,
    max_points=2,
    checks=[CHECK],
)


def test_what_is_written_is_read(tmp_path: Path):
    path = tmp_path / "new" / "ada.json"
    VERDICT.write(path)
    assert Verdict.read(path) == VERDICT


@pytest.mark.parametrize(
    "content", [b"", b"\x80\x04}", b'{"status": "graded"}', b'{"status": "fine"}']
)
def test_what_is_no_verdict_is_refused(content: bytes, tmp_path: Path):
    (tmp_path / "ada.json").write_bytes(content)
    with pytest.raises(ValueError, match="Verdict"):
        Verdict.read(tmp_path / "ada.json")
