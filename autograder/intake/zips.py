"""Untrusted zip files."""

import contextlib
import io
import os
import stat
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from typing import BinaryIO

from autograder.errors import LearnerError
from autograder.intake.damage import DAMAGE, damaged
from autograder.intake.names import shown
from autograder.intake.source import FILE, FOLDER, PIECE, Entry

TABLE = 4 << 20
"""The most a zip's table of contents may take: some 40,000 entries."""


@contextlib.contextmanager
def open_zip(file: BinaryIO) -> "Iterator[Zip]":
    try:
        opened = zipfile.ZipFile(Sparing(file))
    except DAMAGE as error:
        raise damaged(error) from error
    with opened:
        yield Zip(opened)


class Sparing(io.RawIOBase):
    """A file of which no one piece larger than TABLE is read: zipfile takes the table of contents in one."""

    def __init__(self, file: BinaryIO):
        self._file = file

    def read(self, size: int = -1) -> bytes:
        if size > TABLE:
            raise LearnerError(
                "The archive's table of contents is too long.",
                "Pack only what the assignment asks for.",
            )
        return self._file.read(size)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def seekable(self) -> bool:
        return True


class Zip:
    alters = False

    def __init__(self, opened: zipfile.ZipFile):
        self._zip = opened

    def entries(self, skip: Callable[[str], bool]) -> Iterator[Entry]:
        _refuse_overlap(self._zip.infolist())
        for info in self._zip.infolist():
            mode = info.external_attr >> 16
            kind = _zip_kind(info, mode)
            yield Entry(
                info.orig_filename,
                kind,
                bool(mode & stat.S_IXUSR),
                partial(self._pieces, info),
            )

    def _pieces(self, info: zipfile.ZipInfo) -> Iterator[bytes]:
        name = shown(info.filename)
        if info.flag_bits & 0x1:
            raise LearnerError(f"{name} is encrypted.", "Pack without a password.")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise LearnerError(
                f"{name} is compressed in a way few programs know.",
                "Pack an ordinary zip, as your file manager makes it.",
            )
        try:
            with self._zip.open(info) as file:
                while piece := file.read(PIECE):
                    yield piece
        except DAMAGE as error:
            raise damaged(error) from error


def _zip_kind(info: zipfile.ZipInfo, mode: int) -> str:
    if stat.S_IFMT(mode) == stat.S_IFLNK:
        return "a symbolic link"
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "a special file"
    return FOLDER if info.is_dir() else FILE


def _refuse_overlap(infos: list[zipfile.ZipInfo]) -> None:
    """Entries that share their bytes make a small archive unpack to a huge one."""
    end = 0
    for info in sorted(infos, key=lambda info: info.header_offset):
        if info.header_offset < end:
            raise LearnerError(
                f"The archive is damaged: {shown(info.filename)} overlaps another file.",
                "Pack your folder again.",
            )
        end = info.header_offset + 30 + info.compress_size  # 30: the local header
