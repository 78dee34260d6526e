"""Submissions made to break the judge, as they are taken in. Every test carries the number of its case."""

import contextlib
import io
import json
import os
import socket
import stat
import subprocess
import sys
import sysconfig
import tarfile
import threading
import time
import unicodedata
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from small_assignment import hand_in, notes

from autograder.errors import LearnerError
from autograder.intake import Limits, folder, take_in, tars, zips
from autograder.intake.notebook import CELLS, SIZE, read_submitted, rebuild

__all__ = ["hand_in", "notes"]

SMALL = Limits(file=1 << 20, total=2 << 20, archive=1 << 20, unpacked=4 << 20)


def marked(source: str, grade_id: str, **marks: Any) -> nbformat.NotebookNode:
    """A code cell with nbgrader's marks."""
    plain = {"schema_version": 3, "grade": False, "locked": False, "solution": False}
    return new_code_cell(
        source, metadata={"nbgrader": {**plain, "grade_id": grade_id, **marks}}
    )


def solution(source: str, grade_id: str = "double") -> nbformat.NotebookNode:
    return marked(source, grade_id, solution=True)


def check(source: str, grade_id: str = "test_double") -> nbformat.NotebookNode:
    return marked(source, grade_id, grade=True, locked=True, points=2)


def released() -> nbformat.NotebookNode:
    cells = [
        new_markdown_cell("# Twice"),
        solution("def double(x): ..."),
        check("assert double(2) == 4"),
    ]
    metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
    return new_notebook(cells=cells, metadata=metadata)


def submitted(tmp_path: Path, *cells: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Written as a learner's JupyterLab writes it, and read as the judge reads it."""
    path = tmp_path / "twice.ipynb"
    path.write_text(json.dumps(new_notebook(cells=list(cells))))
    return read_submitted(path)


def refused(content: bytes, tmp_path: Path, sentence: str) -> None:
    path = tmp_path / "twice.ipynb"
    path.write_bytes(content)
    with pytest.raises(LearnerError, match=sentence) as raised:
        read_submitted(path)
    assert raised.value.advice.endswith(".")


def not_taken(source: Path, sentence: str, limits: Limits = SMALL) -> None:
    """`source` is refused with the sentence, and nothing is left of the attempt."""
    there = sorted(source.parent.iterdir())
    with pytest.raises(LearnerError, match=sentence) as raised:
        take_in(source, source.parent / "dest", limits=limits)
    assert raised.value.advice.endswith(".")
    assert sorted(source.parent.iterdir()) == there


Member = tuple[tarfile.TarInfo, bytes]


def member(name: str, content: bytes = b"", **attributes: Any) -> Member:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for attribute, value in attributes.items():
        setattr(info, attribute, value)
    return info, content


def tar(path: Path, *members: Member, mode: Any = "w:gz") -> Path:
    with tarfile.open(path, mode) as archive:
        for info, content in members:
            archive.addfile(info, io.BytesIO(content))
    return path


def zipped(path: Path, *entries: tuple[str | zipfile.ZipInfo, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries:
            archive.writestr(name, content)
    return path


def with_mode(name: str, mode: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.create_system = 3
    info.external_attr = mode << 16
    return info


# Notebooks


def test_case_07_a_deleted_test_cell_comes_back(tmp_path: Path) -> None:
    work = submitted(tmp_path, solution("def double(x): return 5"))
    rebuilt = rebuild(released(), work)
    assert [cell.source for cell in rebuilt.notebook.cells] == [
        "# Twice",
        "def double(x): return 5",
        "assert double(2) == 4",
    ]
    assert rebuilt.notes == [
        "Cell “test_double” is missing: it was put back as it was released."
    ]
    nbformat.validate(rebuilt.notebook)


def test_case_07_a_deleted_solution_is_what_was_released(tmp_path: Path) -> None:
    rebuilt = rebuild(released(), submitted(tmp_path))
    assert rebuilt.code == ["def double(x): ..."]
    assert "“double” is missing" in rebuilt.notes[0]


def test_case_08_of_a_grade_id_that_comes_twice_the_first_is_graded(
    tmp_path: Path,
) -> None:
    # JupyterLab copies the marks when a cell is split, so the second half must run as well.
    work = submitted(
        tmp_path,
        solution("def double(x):"),
        solution("y = 1"),
        check("pass"),
        check("assert True"),
    )
    rebuilt = rebuild(released(), work)
    assert rebuilt.code == ["def double(x):", "y = 1"]
    ids = [
        cell.metadata.get("nbgrader", {}).get("grade_id")
        for cell in rebuilt.notebook.cells
    ]
    assert ids == [None, "double", None, "test_double"]
    assert rebuilt.notebook.cells[3].source == "assert double(2) == 4"
    assert any("“double” is there more than once" in note for note in rebuilt.notes)
    assert any("only the released one counts" in note for note in rebuilt.notes)
    nbformat.validate(rebuilt.notebook)


def test_case_09_swapped_ids_points_and_marks_have_no_effect(tmp_path: Path) -> None:
    work = submitted(
        tmp_path,
        marked("def double(x): return 2 * x", "double", grade=True, points=1000),
        marked("pass", "test_double", grade=False, solution=True, points=0),
        marked("free = 1", "bonus", solution=True, grade=True, points=50),
        marked("pass", "old_test", grade=True, locked=True, points=50),
    )
    rebuilt = rebuild(released(), work)
    given = {
        cell.metadata.nbgrader.grade_id: cell.metadata.nbgrader
        for cell in released().cells[1:]
    }
    kept = {
        cell.metadata.nbgrader.grade_id: cell.metadata.nbgrader
        for cell in rebuilt.notebook.cells
        if "nbgrader" in cell.metadata
    }
    assert kept == given
    assert rebuilt.code == ["def double(x): return 2 * x", "free = 1"]
    assert rebuilt.notebook.cells[2].source == "assert double(2) == 4"


def test_case_09_exchanged_ids_exchange_the_sources_and_nothing_else(
    tmp_path: Path,
) -> None:
    work = submitted(
        tmp_path, solution("pass", "test_double"), check("def double(x): ...", "double")
    )
    rebuilt = rebuild(released(), work)
    assert rebuilt.code == ["def double(x): ..."]
    assert rebuilt.notebook.cells[2].source == "assert double(2) == 4"


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "is empty"),
        (b" \n", "is empty"),
        (b'{"cells": [', "line 1 is not JSON"),
        (b"<html>Log in</html>", "is not JSON"),
        (b"[" * 100_000, "JSON that no notebook needs"),
        (b'{"a":' * 100_000, "JSON that no notebook needs"),
        (b"9" * 5000, "JSON that no notebook needs"),
        (b"[]", "is not a notebook"),
        (b"{}", "has no format"),
        (b'{"nbformat": true, "cells": []}', "has no format"),
        (b'{"nbformat": 4}', "has no cells"),
        (b'{"nbformat": 4, "cells": {"a": 1}}', "has no cells"),
        (b'{"nbformat": 4, "cells": [7]}', "Cell 1 of .* is not a cell"),
        (b'{"nbformat": 4, "cells": [{"cell_type": "widget"}]}', "no known type"),
        (b'{"nbformat": 4, "cells": [{"cell_type": ["code"]}]}', "no known type"),
        (b'{"nbformat": 4, "cells": [{"cell_type": "code", "source": 7}]}', "no text"),
        (b'{"nbformat": 4, "cells": [{"cell_type": "raw", "source": [1]}]}', "no text"),
    ],
)
def test_case_10_corrupt_json_is_one_sentence(
    content: bytes, sentence: str, tmp_path: Path
) -> None:
    refused(content, tmp_path, sentence)


def test_case_10_marks_of_a_wrong_type_are_ignored(tmp_path: Path) -> None:
    for metadata in (None, [], {"nbgrader": 7}, {"nbgrader": {"grade_id": ["double"]}}):
        cell = {"cell_type": "code", "source": "x = 1", "metadata": metadata}
        path = tmp_path / "twice.ipynb"
        path.write_text(json.dumps({"nbformat": 4, "cells": [cell]}))
        assert "x = 1" in rebuild(released(), read_submitted(path)).code


def test_case_11_format_3_is_read(tmp_path: Path) -> None:
    cell = {
        "cell_type": "code",
        "input": ["def double(x):\n", "    return 2 * x"],
        "metadata": {"nbgrader": {"grade_id": "double", "solution": True}},
        "outputs": [],
    }
    head = {"cell_type": "heading", "source": "Twice", "level": 1}
    path = tmp_path / "twice.ipynb"
    path.write_text(
        json.dumps({"nbformat": 3, "worksheets": [{"cells": [head, cell]}, None]})
    )
    assert rebuild(released(), read_submitted(path)).code == [
        "def double(x):\n    return 2 * x"
    ]


@pytest.mark.parametrize("version", [1, 2, 5, 99, 10**30])
def test_case_11_other_formats_are_refused(version: int, tmp_path: Path) -> None:
    content = json.dumps({"nbformat": version, "cells": []}).encode()
    refused(content, tmp_path, "formats 3 and 4 can be read")


def test_case_11_a_future_minor_version_is_read(tmp_path: Path) -> None:
    path = tmp_path / "twice.ipynb"
    path.write_text(json.dumps({"nbformat": 4, "nbformat_minor": 99, "cells": []}))
    assert read_submitted(path).cells == []


def test_case_12_other_encodings_and_nul_are_refused(tmp_path: Path) -> None:
    text = json.dumps(new_notebook(cells=[new_code_cell("é")]), ensure_ascii=False)
    refused(text.encode("latin-1"), tmp_path, "not UTF-8: byte")
    refused(text.encode("utf-16"), tmp_path, "UTF-16")
    refused(text.replace("é", "\0").encode(), tmp_path, "is not JSON")
    refused(text.replace("é", "\\u0000").encode(), tmp_path, "Cell 1 .* is no text")
    refused(text.replace("é", "\\ud800").encode(), tmp_path, "Cell 1 .* is no text")


def test_case_12_a_byte_order_mark_is_harmless(tmp_path: Path) -> None:
    path = tmp_path / "twice.ipynb"
    text = json.dumps(new_notebook(cells=[new_code_cell("é")]))
    path.write_text(text, encoding="utf-8-sig")
    assert read_submitted(path).cells[0].source == "é"


def test_case_13_100_000_cells(tmp_path: Path) -> None:
    cells = [{"cell_type": "code", "source": ""}] * 100_000
    content = json.dumps({"nbformat": 4, "cells": cells}).encode()
    refused(content, tmp_path, f"100,000 cells; {CELLS:,} are allowed")


def test_case_13_200_mb_are_not_read(tmp_path: Path) -> None:
    path = tmp_path / "twice.ipynb"
    with path.open("wb") as file:
        file.truncate(200 << 20)  # takes no room on the disk
    start = time.perf_counter()
    with pytest.raises(LearnerError, match="larger than 10 MB"):
        read_submitted(path)
    assert time.perf_counter() - start < 0.1
    assert SIZE < 200 << 20


def test_case_13_a_cell_of_a_megabyte(tmp_path: Path) -> None:
    with pytest.raises(LearnerError, match="1,000,000 characters"):
        submitted(tmp_path, new_code_cell("x" * 1_000_000))


@pytest.mark.parametrize("spec", [None, {}, {"name": "bash"}, {"name": "../x"}, 7])
def test_case_14_a_wrong_or_null_kernelspec_is_ignored(
    spec: Any, tmp_path: Path
) -> None:
    path = tmp_path / "twice.ipynb"
    work = new_notebook(cells=[solution("double = 2")])
    work["metadata"] = {"kernelspec": spec}
    path.write_text(json.dumps(work))
    rebuilt = rebuild(released(), read_submitted(path))
    assert rebuilt.code == ["double = 2"]
    assert rebuilt.notebook.metadata.kernelspec.name == "python3"


def test_case_15_missing_extra_and_renamed_notebooks(tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    (work / "service.py").write_text("")
    (work / "twice-final.ipynb").write_text("{}")
    (work / "scratch.ipynb").write_text("not even JSON")
    wanted = ("service.py", "twice.ipynb")
    intake = take_in(work, tmp_path / "taken", wanted=wanted)
    assert [file.path for file in intake.files] == ["service.py"]
    assert intake.notes == [
        "“twice.ipynb” was not handed in, and “twice-final.ipynb” was not looked at. "
        "If that is the one, rename it."
    ]
    with pytest.raises(LearnerError, match=r"There is no “twice\.ipynb”"):
        read_submitted(intake.folder / "twice.ipynb")


def test_case_15_one_notebook_alone_is_the_one_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "alice_late_1234_twice.ipynb"
    path.write_text("{}")
    intake = take_in(path, tmp_path / "taken", wanted=("service.py", "twice.ipynb"))
    assert [file.path for file in intake.files] == ["twice.ipynb"]
    assert "was read as “twice.ipynb”" in intake.notes[0]


def test_case_16_an_empty_submission(tmp_path: Path) -> None:
    work = tmp_path / "work"
    (work / "empty" / "folders").mkdir(parents=True)
    not_taken(work, "The submission is empty")
    (work / ".git").mkdir()
    (work / ".git" / "config").write_text("")
    not_taken(work, "The submission is empty")
    not_taken(zipped(tmp_path / "work.zip"), "The submission is empty")
    not_taken(tar(tmp_path / "work.tar"), "The submission is empty")
    (tmp_path / "nothing.zip").touch()
    not_taken(tmp_path / "nothing.zip", "not an archive")
    (work / "notes.txt").write_text("")
    with pytest.raises(LearnerError, match=r"holds “notes.txt”. Hand in service.py"):
        take_in(work, tmp_path / "taken", wanted=("service.py",))


def test_case_31_nothing_of_the_outputs_survives(tmp_path: Path) -> None:
    cell = solution("double = 2")
    script = {"text/html": "<script>steal()</script>"}
    cell.outputs = [nbformat.v4.new_output("display_data", script)]
    cell.metadata["evil"] = "<script>"
    own = new_markdown_cell("Mine", metadata={"evil": "<script>"})
    own["attachments"] = {"a.svg": {"image/svg+xml": "<script>"}}
    rebuilt = rebuild(released(), submitted(tmp_path, cell, own))
    assert "script" not in json.dumps(rebuilt.notebook)
    assert rebuilt.notebook.cells[2].source == "Mine"


# Archives and folders


@pytest.mark.parametrize("target", ["/etc/passwd", "../secret", "inside.py"])
def test_case_17_links_are_refused_by_name(target: str, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("hidden checks")
    work = tmp_path / "work"
    work.mkdir()
    (work / "inside.py").write_text("")
    (work / "service.py").symlink_to(target)
    not_taken(work, "“service.py” is a symbolic link")
    link = with_mode("service.py", stat.S_IFLNK | 0o777)
    path = zipped(tmp_path / "work.zip", (link, target.encode()), ("a", b""))
    not_taken(path, "“service.py” is a symbolic link")
    for kind, name in ((tarfile.SYMTYPE, "symbolic"), (tarfile.LNKTYPE, "hard")):
        info = member("service.py", type=kind, linkname=target)
        path = tar(tmp_path / "work.tgz", info, member("inside.py"))
        not_taken(path, f"“service.py” is a {name} link")


def test_case_17_a_hard_link_in_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("hidden checks")
    work = tmp_path / "work"
    work.mkdir()
    os.link(tmp_path / "secret", work / "service.py")
    not_taken(work, "“service.py” is a hard link")


def test_case_17_a_linked_folder_and_a_linked_submission(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "key").write_text("")
    work = tmp_path / "work"
    work.mkdir()
    (work / "service.py").write_text("")
    (work / "app").symlink_to(secret)
    not_taken(work, "“app” is a symbolic link")
    with pytest.raises(LearnerError, match="“app” is a symbolic link"):
        take_in(work, tmp_path / "dest", wanted=("app/**",))
    (tmp_path / "itself").symlink_to(secret)
    not_taken(tmp_path / "itself", "submission itself is a link")


def test_case_17_links_where_nothing_is_taken_do_no_harm(tmp_path: Path) -> None:
    work = tmp_path / "work"
    (work / "node_modules" / ".bin").mkdir(parents=True)
    (work / "node_modules" / ".bin" / "tool").symlink_to("/bin/sh")
    (work / ".venv").symlink_to("/usr")
    (work / "data").symlink_to("/etc")
    (work / "service.py").write_text("")
    intake = take_in(work, tmp_path / "dest", wanted=("service.py", "app/**"))
    assert [file.path for file in intake.files] == ["service.py"]
    reasons = {out.path: out.reason for out in intake.left_out}
    assert reasons == {
        ".venv": "installed packages",
        "data": "not asked for",
        "node_modules": "installed packages",
    }


def test_case_17_a_write_through_an_own_link_is_refused(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    link = member("app", type=tarfile.SYMTYPE, linkname=str(outside))
    path = tar(tmp_path / "work.tar", link, member("app/evil.py", b"x"))
    not_taken(path, "“app” is a symbolic link")
    assert not list(outside.iterdir())


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("../evil.py", "leads out of the submission"),
        ("app/../../evil.py", "leads out of the submission"),
        (".git/../../evil.py", "leads out of the submission"),
        ("../dest-evil/evil.py", "leads out of the submission"),
        ("/etc/evil.py", "is an absolute path"),
        ("//server/evil.py", "is an absolute path"),
        ("C:/evil.py", "is an absolute path"),
        ("c:evil.py", "is an absolute path"),
        ("..\\evil.py", "has a backslash"),
        ("app\\evil.py", "has a backslash"),
        ("a\nb.py", "has control characters"),
        ("a\x1b[2Jb.py", "has control characters"),
        ("exe\u202eyp.py", "has control characters"),
        ("a" * 256, "is too long"),
        ("a/" * 20 + "b", "levels deep"),
        (f"{'a' * 200}/{'b' * 201}", "is too long"),
    ],
)
def test_case_18_names_that_lead_elsewhere(
    name: str, sentence: str, tmp_path: Path
) -> None:
    not_taken(tar(tmp_path / "w.tar", member(name, b"x"), member("b")), sentence)
    not_taken(zipped(tmp_path / "w.zip", (name, b"x"), ("b", b"")), sentence)
    assert not list(tmp_path.parent.glob("*evil*"))


def test_case_18_a_nul_in_a_name(tmp_path: Path) -> None:
    path = zipped(tmp_path / "w.zip", ("serviceX.py", b"x"), ("b", b""))
    path.write_bytes(path.read_bytes().replace(b"serviceX", b"service\0"))
    not_taken(path, "has a NUL")


def test_case_18_a_name_that_is_not_utf8(tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    (Path(os.fsdecode(bytes(work) + b"/caf\xe9.py"))).write_text("")
    not_taken(work, "is not UTF-8")


def test_case_19_a_zip_bomb_stops_where_the_limit_is(tmp_path: Path) -> None:
    zeros = b"\0" * (20 << 20)
    not_taken(zipped(tmp_path / "a.zip", ("a", zeros), ("b", b"")), "“a” is larger")
    many = [(f"f{number}", zeros[: 1 << 20]) for number in range(4)]
    not_taken(zipped(tmp_path / "b.zip", *many), "larger than 2 MB in all")
    not_taken(
        tar(tmp_path / "a.tgz", member("a", zeros), member("b")), "unpacks to more than"
    )
    not_taken(
        tar(
            tmp_path / "c.txz",
            member("node_modules/a", zeros),
            member("b"),
            mode="w:xz",
        ),
        "unpacks to more than 4 MB",
    )
    not_taken(
        tar(
            tmp_path / "d.tbz",
            *(member(n, zeros[:900_000]) for n in "abc"),
            mode="w:bz2",
        ),
        "larger than 2 MB in all",
    )


def test_case_19_a_size_that_was_lied_about(tmp_path: Path) -> None:
    size = 3 << 20
    path = zipped(tmp_path / "w.zip", ("a", b"\0" * size), ("b", b""))
    said = size.to_bytes(4, "little")
    path.write_bytes(path.read_bytes().replace(said, (9).to_bytes(4, "little")))
    not_taken(path, "damaged")


def test_case_19_entries_that_share_their_bytes(tmp_path: Path) -> None:
    path = zipped(tmp_path / "w.zip", ("a", os.urandom(100)), ("b", os.urandom(100)))
    content = bytearray(path.read_bytes())
    second = content.rindex(b"PK\x01\x02")
    content[second + 42 : second + 46] = bytes(4)  # where the second entry begins
    path.write_bytes(content)
    not_taken(path, "overlaps")


def test_case_19_archives_in_archives_are_just_files(tmp_path: Path) -> None:
    inner = zipped(tmp_path / "inner.zip", ("../evil.py", b"x")).read_bytes()
    intake = take_in(
        zipped(tmp_path / "w.zip", ("inner.zip", inner), ("b", b"")), tmp_path / "dest"
    )
    assert [file.path for file in intake.files] == ["b", "inner.zip"]
    assert (tmp_path / "dest" / "inner.zip").read_bytes() == inner


def test_case_19_encrypted_and_oddly_compressed(tmp_path: Path) -> None:
    path = zipped(tmp_path / "w.zip", ("a", b"abc"), ("b", b""))
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)
    not_taken(path, "encrypted")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("a", b"abc")
    not_taken(path, "few programs know")


def test_case_19_a_table_of_contents_without_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zips, "TABLE", 100_000)
    entries = [(f"node_modules/{'x' * 200}{number}", b"") for number in range(1_000)]
    not_taken(zipped(tmp_path / "w.zip", *entries), "table of contents is too long")


def test_case_19_members_without_end(tmp_path: Path) -> None:
    members = [member(f".git/{number}") for number in range(300)]
    limits = Limits(entries=200)
    not_taken(tar(tmp_path / "w.tar", *members), "over 200 files and folders", limits)
    members = [member(str(number)) for number in range(30)]
    not_taken(tar(tmp_path / "w.tar", *members), "30 files; 20 are", Limits(files=20))


def test_case_19_headers_that_cost_more_than_they_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tars.BudgetedTar, "headers", 1 << 17)

    # Digits alone: looking for a character set in them takes time that grows with their square.
    def extended(size: int) -> bytes:
        info, digits = member("x", b"1" * size, type=tarfile.XHDTYPE)
        return info.tobuf() + digits + b"\0" * (-size % 512)

    path = tmp_path / "w.tar"
    path.write_bytes(member("a")[0].tobuf() + extended(1 << 20))
    not_taken(path, "extended headers are too long", Limits())
    path.write_bytes(b"".join(extended(64) for _ in range(5_000)))
    not_taken(
        path, "damaged|extended headers", Limits()
    )  # a header about a header about …
    honest = b"".join(
        extended(2048) + member(str(number))[0].tobuf() for number in range(80)
    )
    path.write_bytes(honest)
    not_taken(path, "extended headers are too long", Limits())


@pytest.mark.parametrize("cut", [100, 600, 1100, 1600])
def test_case_19_half_an_archive(cut: int, tmp_path: Path) -> None:
    path = tar(tmp_path / "w.tar", member("a", b"x" * 700), member("b", b"y"), mode="w")
    path.write_bytes(path.read_bytes()[:cut])
    if cut == 100:
        not_taken(path, "not an archive")
    else:
        not_taken(path, "damaged")


def test_case_19_a_damaged_member_does_not_hide_the_rest(tmp_path: Path) -> None:
    path = tar(tmp_path / "w.tar", member("a"), member("b"), member("c"), mode="w")
    content = bytearray(path.read_bytes())
    content[512] ^= 1  # the name of b no longer fits its checksum
    path.write_bytes(content)
    not_taken(path, "damaged: bad checksum")


@pytest.mark.parametrize(
    ("first", "second", "sentence"),
    [
        ("Notes.md", "notes.md", "differ only in capital letters"),
        ("App/a.py", "app/b.py", "differ only in capital letters"),
        ("stra\u00dfe.py", "STRASSE.py", "differ only in capital letters"),
        ("caf\u00e9.py", "cafe\u0301.py", "the way accents are stored"),
        ("a.py", "a.py", "twice"),
        ("a.py", "./a.py", "twice"),
        ("a", "a/b.py", "both a file and a folder"),
    ],
)
def test_case_20_names_that_collide(
    first: str, second: str, sentence: str, tmp_path: Path
) -> None:
    not_taken(tar(tmp_path / "w.tar", member(first), member(second)), sentence)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("warnings.warn", lambda *args, **options: None)
        path = zipped(tmp_path / "w.zip", (first, b"1"), (second, b"2"))
    not_taken(path, sentence)


def test_case_20_in_a_folder_too(tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    for form in ("NFC", "NFD"):
        (work / unicodedata.normalize(form, "caf\u00e9.py")).write_text(form)
    if len(list(work.iterdir())) < 2:
        pytest.skip("this file system takes both names for one file")
    not_taken(work, "the way accents are stored")


def test_case_21_pipes_sockets_and_devices(tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    os.mkfifo(work / "a")
    not_taken(work, "“a” is a named pipe")  # and nobody waits for its other end
    not_taken(work / "a", "itself is a link or a special file")
    (work / "a").unlink()
    with socket.socket(socket.AF_UNIX) as listening, contextlib.chdir(work):
        listening.bind("a")
    not_taken(work, "“a” is a socket")
    not_taken(work / "a", "itself is a link or a special file")
    for kind, sentence in (
        (tarfile.FIFOTYPE, "a named pipe"),
        (tarfile.CHRTYPE, "a device"),
        (tarfile.BLKTYPE, "a device"),
        (b"V", "a special file"),
    ):
        path = tar(tmp_path / "w.tar", member("a", type=kind), member("b"))
        not_taken(path, f"“a” is {sentence}")
    device = with_mode("a", stat.S_IFCHR | 0o666)
    not_taken(zipped(tmp_path / "w.zip", (device, b""), ("b", b"")), "a special file")


def test_case_21_a_device_as_the_submission() -> None:
    with pytest.raises(LearnerError, match="a special file"):
        take_in(Path("/dev/zero"), Path("/nowhere/dest"))


JUDGE = """
import json, sys
from pathlib import Path
from autograder import cli
from autograder.intake import take_in
from autograder.intake.notebook import read_submitted, rebuild
taken = take_in(Path(sys.argv[1]), Path(sys.argv[2]))
rebuild(read_submitted(taken.folder / "twice.ipynb"), read_submitted(taken.folder / "twice.ipynb"))
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""


def shadows(work: Path, names: list[str]) -> Path:
    """A submission in which each of these modules is a file that leaves a mark; the mark."""
    mark = work.parent / "mark"
    evil = f"open({str(mark)!r}, 'a').write(__file__)\n"
    work.mkdir()
    for name in [*names, "sitecustomize", "usercustomize", "conftest", "requests"]:
        (work / f"{name}.py").write_text(evil)
    (work / "evil.pth").write_text(f"import os; {evil}")
    (work / "pip.conf").write_text("[global]\nindex-url = http://127.0.0.1:1/\n")
    (work / ".pythonrc").write_text(evil)
    (work / ".env").write_text("TRIAGE_HOME=/nowhere\n")
    (work / "twice.ipynb").write_text(json.dumps(new_notebook()))
    return mark


def judged(work: Path, cwd: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *options, "-c", JUDGE, str(work), str(work.parent / "dest")],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.slow
def test_case_22_shadowing_files_are_never_imported(tmp_path: Path) -> None:
    (tmp_path / "clean").mkdir()
    shadows(tmp_path / "clean" / "work", [])
    first = judged(tmp_path / "clean" / "work", tmp_path, "-P")
    assert first.returncode == 0, first.stderr
    names = [name for name in json.loads(first.stdout) if name.isidentifier()]
    assert {"json", "typer", "nbformat", "autograder"} <= set(names)
    work = tmp_path / "work"
    mark = shadows(work, names)
    for cwd in (tmp_path, work):
        done = judged(work, cwd, "-P")
        assert done.returncode == 0, done.stderr
        assert not mark.exists(), mark.read_text()
        for path in (tmp_path / "dest").iterdir():
            path.unlink()
        (tmp_path / "dest").rmdir()
    # The command itself, started from inside the submission.
    command = Path(sysconfig.get_path("scripts")) / "autograder"
    done = subprocess.run(
        [command, "--help"], cwd=work, capture_output=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert not mark.exists(), mark.read_text()
    # The trap works: a Python that looks into its working directory falls into it.
    judged(work, work)
    assert mark.exists()


@pytest.mark.slow
def test_case_22_nor_by_the_processes_that_grade(
    notes: Path, hand_in: Callable[..., Path]
) -> None:
    # multiprocessing starts its processes with `python -c`, which looks into the working directory first.
    work = hand_in("word " * 20)
    evil = f"open({str(work.parent / 'mark')!r}, 'a').write(__file__)\n"
    for name in ("struct", "json", "typer", "autograder", "sitecustomize"):
        (work / f"{name}.py").write_text(evil)
    command = Path(sysconfig.get_path("scripts")) / "autograder"
    done = subprocess.run(
        [command, "grade", work, "--json"], cwd=work, capture_output=True, timeout=60
    )
    assert not (work.parent / "mark").exists(), (work.parent / "mark").read_text()
    assert b'"status":"graded"' in done.stdout, done.stderr


def test_case_42_a_file_that_becomes_a_link_is_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "secret").write_text("hidden checks")
    work = tmp_path / "work"
    work.mkdir()
    (work / "service.py").write_text("mine")
    real = folder._open

    def swap(descriptor: int, name: str, path: str, flags: int = 0) -> int:
        (work / "service.py").unlink()
        (work / "service.py").symlink_to(tmp_path / "secret")
        return real(descriptor, name, path, flags)

    monkeypatch.setattr(folder, "_open", swap)
    not_taken(work, "“service.py” is a symbolic link")


def test_case_42_a_folder_that_becomes_a_link_is_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "service.py").write_text("hidden checks")
    work = tmp_path / "work"
    (work / "app").mkdir(parents=True)
    (work / "app" / "service.py").write_text("mine")
    (work / "b.py").write_text("")
    real = folder._open

    def swap(descriptor: int, name: str, path: str, flags: int = 0) -> int:
        if path == "app" and not (work / "app").is_symlink():
            (work / "app").rename(tmp_path / "gone")
            (work / "app").symlink_to(secret)
        return real(descriptor, name, path, flags)

    monkeypatch.setattr(folder, "_open", swap)
    with pytest.raises(LearnerError, match="“app” is a symbolic link"):
        take_in(work, tmp_path / "dest")
    assert not (tmp_path / "dest").exists()


def test_case_42_a_file_that_never_stops_changing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = tmp_path / "work"
    work.mkdir()
    (work / "service.py").write_text("x")
    real = folder._read

    def grow(descriptor: int) -> Iterator[bytes]:
        with (work / "service.py").open("a") as file:
            file.write("x")
        return real(descriptor)

    monkeypatch.setattr(folder, "_read", grow)
    not_taken(work, "changed again and again")


def test_case_42_a_resubmission_meanwhile_gives_one_version_or_the_other(
    tmp_path: Path,
) -> None:
    work = tmp_path / "work"
    work.mkdir()
    stop = threading.Event()

    def write(version: int) -> None:
        for name in ("a.py", "b.py", "c.py"):
            (work / name).write_text(str(version) * 10_000)

    def resubmit() -> None:
        version = 0
        while not stop.wait(0.005):
            version += 1
            write(version % 10)

    write(0)
    writer = threading.Thread(target=resubmit)
    writer.start()
    taken = 0
    try:
        for number in range(60):
            with contextlib.suppress(LearnerError):
                copy = take_in(work, tmp_path / f"dest{number}").folder
                contents = [path.read_text() for path in sorted(copy.iterdir())]
                # Whole files; between two of them the learner may have been writing.
                assert all(text == text[:1] * len(text) for text in contents)
                taken += 1
    finally:
        stop.set()
        writer.join()
    assert taken


def test_case_42_an_archive_that_changes_while_it_is_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tar(tmp_path / "w.tar", member("a"), member("b"))
    real = os.fstat
    writes = iter((b"1", b"22", b"333", b"4444"))

    def grow(descriptor: int) -> os.stat_result:
        status = real(descriptor)
        if stat.S_ISREG(status.st_mode) and status.st_ino == path.stat().st_ino:
            path.write_bytes(path.read_bytes() + next(writes, b""))
        return status

    monkeypatch.setattr(os, "fstat", grow)
    with contextlib.suppress(LearnerError):
        intake = take_in(path, tmp_path / "dest")
        assert [file.path for file in intake.files] == ["a", "b"]
    assert next(writes, None) is None  # it was tried again


# Whatever the names

PARTS = st.sampled_from(
    [
        "a",
        "A",
        "b",
        "..",
        ".",
        "",
        "\u00e9",
        "e\u0301",
        ".git",
        "C:",
        "a\\b",
        "dest",
        "dest-evil",
        "\x01",
    ]
)
NAMES = st.lists(PARTS, min_size=1, max_size=4).map("/".join) | st.text(
    st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=20
)
KINDS = st.sampled_from(
    [tarfile.REGTYPE] * 6 + [tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE]
)
ENTRIES = st.lists(st.tuples(NAMES, KINDS, st.binary(max_size=20)), max_size=5)


def packed(path: Path, entries: list[tuple[str, bytes, bytes]]) -> None:
    with tarfile.open(path, "w") as archive:
        for name, kind, content in entries:
            info = tarfile.TarInfo(name)
            info.type = kind
            info.linkname = "../outside"
            info.size = len(content) if kind == tarfile.REGTYPE else 0
            archive.addfile(info, io.BytesIO(content))


def plain_reading(path: Path) -> dict[str, bytes]:
    """The files of an honest archive, as tarfile reads them."""
    with tarfile.open(path) as archive:
        return {
            "/".join(part for part in info.name.split("/") if part not in ("", ".")): (
                archive.extractfile(info) or io.BytesIO()
            ).read()
            for info in archive
            if info.isreg()
        }


@settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(ENTRIES)
def test_case_18_whatever_the_names_nothing_is_written_elsewhere(
    tmp_path_factory: pytest.TempPathFactory, entries: list[tuple[str, bytes, bytes]]
) -> None:
    top = tmp_path_factory.mktemp("top")
    (top / "outside").mkdir()
    path = top / "work.tar"
    packed(path, entries)
    dest = top / "in" / "dest"
    dest.parent.mkdir()
    try:
        intake = take_in(path, dest)
    except LearnerError:
        assert not list(dest.parent.iterdir())
    else:
        written = {
            str(p.relative_to(dest)): p for p in dest.rglob("*") if not p.is_dir()
        }
        assert not any(p.is_symlink() for p in dest.rglob("*"))
        assert sorted(written) == [file.path for file in intake.files]
        expected = plain_reading(path)
        out = {left.path for left in intake.left_out}
        wrapped = {
            name: content
            for name, content in expected.items()
            if not any(name == o or name.startswith(f"{o}/") for o in out)
        }
        top_folder = os.path.commonpath([os.path.dirname(name) for name in wrapped])
        assert {name: p.read_bytes() for name, p in written.items()} == {
            os.path.relpath(name, top_folder or "."): content
            for name, content in wrapped.items()
        }
        assert list(dest.parent.iterdir()) == [dest]
    assert sorted(p.name for p in top.iterdir()) == ["in", "outside", "work.tar"]
    assert not list((top / "outside").iterdir())
