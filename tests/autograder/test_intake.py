"""What an honest learner hands in is taken as it is, however it was packed."""

import os
import shutil
import stat
import subprocess
import zipfile
from pathlib import Path

import pytest

from autograder.errors import InfrastructureError, LearnerError
from autograder.intake import Limits, take_in
from autograder.intake.names import Wanted


@pytest.fixture
def work(tmp_path: Path) -> Path:
    folder = tmp_path / "serve"
    (folder / "app" / "templates").mkdir(parents=True)
    (folder / "service.py").write_text("import app\n")
    (folder / "app" / "__init__.py").write_text("")
    (folder / "app" / "templates" / "größe.html").write_bytes(b"\xff\x00")
    (folder / "start.sh").write_text("#!/bin/sh\n")
    (folder / "start.sh").chmod(0o755)
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__" / "app.pyc").write_text("")
    (folder / "timestamp.txt").write_text("2026-11-22 12:00:00 UTC")
    (folder / "app" / "timestamp.txt").write_text("mine")
    return folder


FILES = [
    ("app/__init__.py", False),
    ("app/templates/größe.html", False),
    ("app/timestamp.txt", False),
    ("service.py", False),
    ("start.sh", True),
]


def test_the_same_files_have_one_digest_however_they_are_packed(
    work: Path, tmp_path: Path
) -> None:
    sources = [work]
    for options, suffix in (
        ("-czf", ".tar.gz"),
        ("-cJf", ".tar.xz"),
        ("-cjf", ".tar.bz2"),
        ("-cf", ".tar"),
    ):
        for name, top in (("inside", (work, ".")), ("outside", (tmp_path, "serve"))):
            path = tmp_path / f"{name}{suffix}"
            subprocess.run(["tar", "-C", top[0], options, path, top[1]], check=True)
            sources.append(path)
    for name, top in (("inside", work), ("outside", tmp_path)):
        path = tmp_path / f"{name}.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for file in sorted(work.rglob("*")):
                archive.write(file, file.relative_to(top))
        sources.append(path)
    nested = tmp_path / "downloads" / "alice"
    shutil.copytree(work, nested / "serve")
    sources.append(nested.parent)
    assert len(sources) == 12
    digests = set()
    for number, source in enumerate(sources):
        intake = take_in(source, tmp_path / "out" / str(number)) if number else None
        if intake is None:
            (tmp_path / "out").mkdir()
            intake = take_in(source, tmp_path / "out" / "0")
        assert [(file.path, file.executable) for file in intake.files] == FILES, source
        digests.add(intake.digest)
    assert len(digests) == 1


def test_content_name_and_mode_each_change_the_digest(
    work: Path, tmp_path: Path
) -> None:
    changes = [
        lambda: None,
        lambda: (work / "service.py").write_text("import ape\n"),
        lambda: (work / "service.py").rename(work / "server.py"),
        lambda: (work / "start.sh").chmod(0o644),
        lambda: (work / "start.sh").unlink(),
    ]
    digests = []
    for number, change in enumerate(changes):
        change()
        digests.append(take_in(work, tmp_path / f"out{number}").digest)
    assert len(set(digests)) == len(changes)


def test_what_is_left_out_has_no_say_in_the_digest(work: Path, tmp_path: Path) -> None:
    before = take_in(work, tmp_path / "before").digest
    (work / ".git").mkdir()
    (work / ".git" / "HEAD").write_text("ref: refs/heads/main")
    (work / ".DS_Store").write_text("")
    (work / "timestamp.txt").write_text("another")
    intake = take_in(work, tmp_path / "after")
    assert intake.digest == before
    assert [(out.path, out.reason) for out in intake.left_out] == [
        (".DS_Store", "the file manager's notes"),
        (".git", "version control"),
        ("__pycache__", "compiled by Python"),
        ("timestamp.txt", "nbgrader's note of when this was handed in"),
    ]


def test_the_copy_is_readable_by_all_and_keeps_what_scripts_need(
    work: Path, tmp_path: Path
) -> None:
    (work / "service.py").chmod(0o600)
    (work / "start.sh").chmod(0o4700)
    before = os.umask(0o077)
    try:
        copy = take_in(work, tmp_path / "copy").folder
    finally:
        os.umask(before)
    modes = {
        str(path.relative_to(copy)): stat.S_IMODE(path.stat().st_mode)
        for path in (copy, *copy.rglob("*"))
    }
    assert {modes["."], modes["app"], modes["app/templates"]} == {0o755}
    assert modes["service.py"] == 0o644
    assert modes["start.sh"] == 0o755
    assert (copy / "app/templates/größe.html").read_bytes() == b"\xff\x00"


def test_only_what_is_asked_for_is_taken(work: Path, tmp_path: Path) -> None:
    with (work / "model.safetensors").open("wb") as file:
        file.truncate(1 << 30)  # far over the limit, but nobody reads it
    intake = take_in(work, tmp_path / "copy", wanted=("service.py", "app/*.py"))
    assert [file.path for file in intake.files] == ["app/__init__.py", "service.py"]
    left = {out.path: out.reason for out in intake.left_out}
    assert left["model.safetensors"] == "not asked for"
    assert intake.notes == []


def test_a_folder_that_is_asked_for_is_not_unwrapped(tmp_path: Path) -> None:
    (tmp_path / "work" / "chart").mkdir(parents=True)
    (tmp_path / "work" / "chart" / "values.yaml").write_text("")
    intake = take_in(tmp_path / "work", tmp_path / "copy", wanted=("chart/**",))
    assert [file.path for file in intake.files] == ["chart/values.yaml"]


@pytest.mark.parametrize(
    ("asked", "there", "hint"),
    [
        ("service.py", "Service.py", True),
        ("Dockerfile", "Dockerfile.txt", True),
        ("service.py", "src/service.py", True),
        ("service.py", "README.md", False),
    ],
)
def test_a_name_that_is_nearly_right_gets_a_hint(
    asked: str, there: str, hint: bool, tmp_path: Path
) -> None:
    path = tmp_path / "work" / there
    path.parent.mkdir(parents=True)
    path.write_text("")
    (tmp_path / "work" / "other.txt").write_text("")
    intake = take_in(tmp_path / "work", tmp_path / "copy", wanted=(asked, "other.txt"))
    assert any(there in note and asked in note for note in intake.notes) is hint


@pytest.mark.parametrize(
    ("pattern", "path", "takes"),
    [
        ("service.py", "service.py", True),
        ("service.py", "app/service.py", False),
        ("*.py", "app/service.py", False),
        ("app/**", "app/a/b.py", True),
        ("app/**", "app", False),
        ("**/*.py", "a/b/c.py", True),
        ("**/*.py", "c.py", True),
        ("a/**/z", "a/z", True),
        ("[ab].py", "b.py", True),
    ],
)
def test_patterns(pattern: str, path: str, takes: bool) -> None:
    assert Wanted((pattern,)).takes(path) is takes


def test_a_missing_source_is_not_the_learners_fault(tmp_path: Path) -> None:
    with pytest.raises(InfrastructureError, match="No such file"):
        take_in(tmp_path / "nobody", tmp_path / "copy")


def test_an_existing_destination_is_never_touched(work: Path, tmp_path: Path) -> None:
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / "grades").write_text("precious")
    with pytest.raises(InfrastructureError, match="not empty"):
        take_in(work, tmp_path / "copy")
    assert [path.name for path in (tmp_path / "copy").iterdir()] == ["grades"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy", "serve"]


def test_a_full_disk_is_not_the_learners_fault(
    work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int, mode: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fchmod", full)
    with pytest.raises(InfrastructureError, match="No space left on device"):
        take_in(work, tmp_path / "copy")
    assert [path.name for path in tmp_path.iterdir()] == ["serve"]


def test_an_interrupt_leaves_nothing(
    work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(descriptor: int, mode: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fchmod", interrupted)
    with pytest.raises(KeyboardInterrupt):
        take_in(work, tmp_path / "copy")
    assert [path.name for path in tmp_path.iterdir()] == ["serve"]


def test_no_descriptor_stays_open(work: Path, tmp_path: Path) -> None:
    (work / "service.py").unlink()
    (work / "service.py").symlink_to("/etc/passwd")
    before = os.listdir("/dev/fd")
    for _ in range(20):
        with pytest.raises(LearnerError):
            take_in(work, tmp_path / "copy")
        with pytest.raises(LearnerError):
            take_in(work, tmp_path / "copy", wanted=("app/*",), limits=Limits(total=1))
    assert len(os.listdir("/dev/fd")) <= len(before) + 1


def test_what_is_no_archive_is_said_to_be_none(tmp_path: Path) -> None:
    for content in (b"Rar!\x1a\x07", b"\x28\xb5\x2f\xfd", b"<html>", b""):
        (tmp_path / "work.zip").write_bytes(content)
        with pytest.raises(LearnerError, match=r"Hand in .* a \.zip or a \.tar\.gz"):
            take_in(tmp_path / "work.zip", tmp_path / "copy")
