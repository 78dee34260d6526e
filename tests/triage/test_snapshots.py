"""Data kept under its digest: the same content once, whole or absent, and never taken for another."""

import os
import threading
from pathlib import Path

import pytest

from triage import data, snapshots
from triage.data import Dataset
from triage.errors import TriageError

ROWS = "".join(f"{word} {n},{word}\n" for word in ("late", "broken") for n in range(5))


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    folder = tmp_path / "desk"
    folder.mkdir()
    for split in data.SPLITS:
        (folder / f"{split}.csv").write_text(f"text,category\n{ROWS}")
    return folder


def kept() -> list[str]:
    return sorted(path.name for path in snapshots.store().glob("*"))


def test_what_is_kept_can_be_read_back_after_the_source_is_gone(desk: Path) -> None:
    (desk / "train.csv").write_bytes(b"\xef\xbb\xbftext,category\r\n" + ROWS.encode())
    before = data.load(desk)
    content = (desk / "train.csv").read_bytes()
    taken = snapshots.take(desk)
    for path in desk.iterdir():
        path.unlink()
    after = data.load(str(taken))
    assert (taken.path / "train.csv").read_bytes() == content
    assert (after.name, after.digest) == ("desk", before.digest)
    assert after.train.equals(before.train)
    assert after.test.equals(before.test)


def test_a_digest_is_that_of_the_content_alone(desk: Path) -> None:
    first = snapshots.take(desk)
    other_name = desk.rename(desk.with_name("final_v2"))
    assert snapshots.take(data.load(other_name)) == first
    assert kept() == [first.digest]
    with (other_name / "test.csv").open("a") as file:
        file.write("one more,late\n")
    second = snapshots.take(other_name)
    assert second.digest != first.digest
    assert kept() == sorted([first.digest, second.digest])
    assert data.load(str(first)).name == "desk"  # the first name stays


def test_a_snapshot_of_a_snapshot_is_itself(desk: Path) -> None:
    taken = snapshots.take(desk)
    assert snapshots.take(str(taken)) == taken
    assert kept() == [taken.digest]


def test_the_start_of_a_digest_is_enough_while_only_one_begins_so(desk: Path) -> None:
    taken = snapshots.take(desk)
    assert snapshots.find(taken.digest[:8]) == taken.path
    assert snapshots.find(f"sha256:{taken.digest}") == taken.path
    assert data.load(f"sha256:{taken.digest[:6]}").digest == taken.digest
    (snapshots.store() / (taken.digest[:10] + "0" * 54)).mkdir()
    with pytest.raises(TriageError, match="2 snapshots begin with"):
        snapshots.find(taken.digest[:10])


@pytest.mark.parametrize(
    "digest", ["", "abc", "sha256:", "../../etc", "ABCDEF01", "*" * 8, "0" * 65]
)
def test_what_is_no_digest_finds_nothing(desk: Path, digest: str) -> None:
    snapshots.take(desk)
    with pytest.raises(TriageError, match="is no digest"):
        snapshots.find(digest)


def test_an_unknown_digest_says_where_it_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(
        TriageError, match=r"No snapshot sha256:000000 in .*TRIAGE_HOME"
    ):
        data.load("sha256:000000")


@pytest.mark.parametrize("split", data.SPLITS)
def test_an_altered_snapshot_is_refused(desk: Path, split: str) -> None:
    taken = snapshots.take(desk)
    path = taken.path / f"{split}.csv"
    path.chmod(0o644)
    path.write_text(path.read_text().replace("late 1,late", "late 1,broken"))
    for use in (data.load, snapshots.take):
        with pytest.raises(TriageError, match="was altered"):
            use(str(taken))
    with pytest.raises(TriageError, match="was altered"):
        snapshots.take(desk)  # nobody is told that this is kept


def test_files_that_changed_since_they_were_read_are_not_kept(desk: Path) -> None:
    dataset = data.load(desk)
    with (desk / "train.csv").open("a") as file:
        file.write("one more,late\n")
    with pytest.raises(TriageError, match="has changed since it was read"):
        snapshots.take(dataset)
    assert kept() == []


def test_data_without_files_and_data_that_is_none_are_refused(
    desk: Path, small: Dataset
) -> None:
    with pytest.raises(TriageError, match="never read from files"):
        snapshots.take(small)
    (desk / "test.csv").write_text("text\nhello\n")
    with pytest.raises(TriageError, match="lacks the column category"):
        snapshots.take(desk)
    assert kept() == []


def test_a_full_disk_leaves_nothing_behind(
    desk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "rename", full)
    with pytest.raises(TriageError, match="No space left on device"):
        snapshots.take(desk)
    assert kept() == []


def test_a_home_that_cannot_be_written_is_one_sentence(
    desk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRIAGE_HOME", str(desk / "train.csv"))
    with pytest.raises(TriageError, match="Set TRIAGE_HOME"):
        snapshots.take(desk)


def test_ten_at_once_keep_it_once(desk: Path) -> None:
    taken: list[snapshots.Snapshot] = []
    start = threading.Barrier(10)

    def take() -> None:
        start.wait()
        taken.append(snapshots.take(desk))

    threads = [threading.Thread(target=take) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) == 10
    assert len(set(taken)) == 1
    assert kept() == [taken[0].digest]


def test_an_editor_is_warned(desk: Path) -> None:
    taken = snapshots.take(desk)
    modes = {path.stat().st_mode & 0o777 for path in taken.path.iterdir()}
    assert modes == {0o444}
