"""Cases that hit the judge itself: killed at work, given the same job twice."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from small_assignment import hand_in, notes

from autograder.verdict import Verdict

__all__ = ["hand_in", "notes"]
HandIn = Callable[..., Path]
pytestmark = pytest.mark.slow

JUDGE = """
import sys
from pathlib import Path
from autograder.batch import Job, grade_all
root = Path(sys.argv[1])
jobs = [
    Job(path / "notes", root / "assignments" / "01-notes", path.name, root / "verdicts" / f"{path.name}.json")
    for path in sorted((root / "submitted").iterdir())
]
if __name__ == "__main__":
    for job, verdict in grade_all(jobs, workers=2):
        print(job.learner, flush=True)
"""


def test_40_judge_killed_mid_write(notes: Path, hand_in: HandIn, tmp_path: Path):
    for number in range(60):
        hand_in(f"{number} notes", f"learner{number:02}")
    script = tmp_path / "judge.py"
    script.write_text(JUDGE)
    command = [sys.executable, str(script), str(tmp_path)]
    verdicts = tmp_path / "verdicts"
    for some in (1, 20, 40):  # killed when about so many are done
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            deadline = time.monotonic() + 60
            while len(list(verdicts.glob("learner*.json"))) < some:
                assert time.monotonic() < deadline
                time.sleep(0.005)
            process.send_signal(signal.SIGKILL)
        before = {
            path: path.stat().st_mtime_ns for path in verdicts.glob("learner*.json")
        }
        for path in before:
            assert Verdict.read(path).status == "graded"
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    assert len(list(verdicts.glob("learner*.json"))) == 60
    assert all(path.stat().st_mtime_ns == written for path, written in before.items())
    assert workers_of(script) == []


def test_41_job_delivered_twice(notes: Path, hand_in: HandIn, tmp_path: Path):
    """Two judges at once on the same submissions: one verdict each, whole, and both judges agree on it."""
    for number in range(8):
        hand_in(f"{number} notes", f"learner{number}")
    script = tmp_path / "judge.py"
    script.write_text(JUDGE)
    command = [sys.executable, str(script), str(tmp_path)]
    judges = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(2)]
    for process in judges:
        said, _ = process.communicate(timeout=120)
        assert process.returncode == 0
        assert len(said.split()) == 8
    verdicts = [Verdict.read(path) for path in (tmp_path / "verdicts").iterdir()]
    assert len(verdicts) == 8
    assert {verdict.status for verdict in verdicts} == {"graded"}


def workers_of(script: Path) -> list[int]:
    """Processes that still have this script on their command line."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            command = (entry / "cmdline").read_bytes()
        except OSError:
            continue
        if str(script).encode() in command and int(entry.name) != os.getpid():
            found.append(int(entry.name))
    return found
