"""Untrusted tar files, compressed or not, read as a stream: nothing is extracted by tarfile itself."""

import bz2
import gzip
import io
import lzma
import stat
import tarfile
from collections.abc import Callable, Iterator
from functools import partial
from typing import BinaryIO, Protocol, Self

from autograder.errors import LearnerError
from autograder.intake.damage import DAMAGE, damaged
from autograder.intake.source import FILE, FOLDER, PIECE, Entry, Limits, megabytes

HEADER = 2 << 10
HEADERS = 1 << 19
"""Bytes of one extended header, and of all pax ones: Python before 3.11.10 takes quadratic time over them."""
PAX = (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE)
LONG_NAME = (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK)


class Readable(Protocol):
    def read(self, size: int = -1, /) -> bytes: ...


OPENERS: dict[bytes, Callable[[BinaryIO], Readable]] = {
    b"\x1f\x8b": lambda file: gzip.GzipFile(fileobj=file),
    b"BZh": bz2.open,
    b"\xfd7zXZ\0": lzma.open,
}


def is_tar(start: bytes) -> bool:
    """Whether a file may be one, by its first 512 bytes."""
    return start[257:262] == b"ustar" or start.startswith(tuple(OPENERS))


class Tar:
    alters = False

    def __init__(self, file: BinaryIO, start: bytes, limits: Limits):
        self._file = file
        self._limits = limits
        self._start = start

    def entries(self, skip: Callable[[str], bool]) -> Iterator[Entry]:
        self._file.seek(0)
        plain: Readable = self._file
        for magic, opener in OPENERS.items():
            if self._start.startswith(magic):
                plain = opener(self._file)
        counted = Counted(plain, self._limits.unpacked)
        try:
            with BudgetedTar.open(fileobj=counted, mode="r|") as tar:
                while (info := tar.next()) is not None:
                    tar.members.clear()  # type: ignore[attr-defined] # it would keep them all
                    yield Entry(
                        info.name,
                        _tar_kind(info),
                        bool(info.mode & stat.S_IXUSR),
                        partial(_tar_pieces, tar, info),
                    )
        except DAMAGE as error:
            raise damaged(error) from error


def _tar_pieces(tar: tarfile.TarFile, info: tarfile.TarInfo) -> Iterator[bytes]:
    try:
        file = tar.extractfile(info)
        assert file is not None  # asked for plain files only
        while piece := file.read(PIECE):
            yield piece
    except DAMAGE as error:
        raise damaged(error) from error


def _tar_kind(info: tarfile.TarInfo) -> str:
    if info.isdir():
        return FOLDER
    if info.issym():
        return "a symbolic link"
    if info.islnk():
        return "a hard link"
    if info.isfifo():
        return "a named pipe"
    if info.isdev():
        return "a device"
    return FILE if info.isreg() and not info.issparse() else "a special file"


class Counted(io.RawIOBase):
    """A stream that ends in a LearnerError once more than `limit` bytes were read from it."""

    def __init__(self, stream: Readable, limit: int):
        self._stream = stream
        self._limit = self._left = limit

    def read(self, size: int = -1) -> bytes:
        piece = self._stream.read(size)
        self._left -= len(piece)
        if self._left < 0:
            raise LearnerError(
                f"The archive unpacks to more than {megabytes(self._limit)}.",
                "Pack only what the assignment asks for, without installed packages.",
            )
        return piece


class BudgetedTar(tarfile.TarFile):
    """Extended headers are read whole into memory, so there must not be many bytes of them."""

    headers = HEADERS

    def charge(self, header: tarfile.TarInfo) -> None:
        if header.type in PAX:
            self.headers -= header.size
        if header.size > HEADER or self.headers < 0:
            raise LearnerError(
                "The archive's extended headers are too long.",
                "Pack only what the assignment asks for, without installed packages.",
            )


class Member(tarfile.TarInfo):
    """A damaged header is an error, not the end of the archive."""

    @classmethod
    def fromtarfile(cls, tar: tarfile.TarFile) -> Self:
        try:
            return super().fromtarfile(tar)
        except (tarfile.EmptyHeaderError, tarfile.EOFHeaderError):  # type: ignore[attr-defined]
            raise
        except tarfile.HeaderError as error:
            raise damaged(error) from error

    def _proc_member(self, tar: BudgetedTar) -> tarfile.TarInfo:
        if self.size < 0:
            raise tarfile.ReadError(f"a size of {self.size} bytes")
        if self.type in PAX or self.type in LONG_NAME:
            tar.charge(self)
        return super()._proc_member(tar)  # type: ignore[misc]


BudgetedTar.tarinfo = Member
