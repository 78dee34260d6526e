"""The temporary folders of gradings, and those of judges that were killed."""

import subprocess
import sys

import pytest

from autograder.room import room


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


def test_it_is_there_and_gone(place):
    with room() as folder:
        assert folder.is_dir()
        assert folder.parent == place
    assert not list(place.iterdir())


def test_what_a_killed_judge_left_is_removed_and_nothing_else(place):
    script = (
        "import os, tempfile\n"
        f"tempfile.tempdir = {str(place)!r}\n"
        "from autograder.room import room\n"
        "with room() as folder:\n"
        "    (folder / 'work').mkdir()\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    assert subprocess.run([sys.executable, "-c", script]).returncode == -9
    left = list(place.iterdir())
    assert len(left) == 1
    (place / "the-pivot-of-somebody").mkdir()
    with room() as first, room() as second:
        assert sorted(place.iterdir()) == sorted(
            [first, second, place / "the-pivot-of-somebody"]
        )
    assert [path.name for path in place.iterdir()] == ["the-pivot-of-somebody"]
