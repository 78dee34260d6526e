"""Collecting submissions from nbgrader's exchange, where learners write what they like."""

import datetime
import os
import shutil
import stat
from pathlib import Path
from typing import Any

from nbgrader.exchange import ExchangeError
from nbgrader.exchange.default import ExchangeCollect
from nbgrader.utils import ignore_patterns

NOBODY = ""


class Collect(ExchangeCollect):
    """nbgrader's collect, which follows links and stops at the first folder it cannot read, without either.

    A link is copied as a link, for the intake to refuse; devices, pipes and files with a second name
    elsewhere stay behind; the time of submission is the one in the folder's name, by which nbgrader chose it.
    """

    src_records: list[dict[str, Any]]

    def _path_to_record(self, path: str) -> dict[str, Any]:
        try:
            return super()._path_to_record(path)
        except (ExchangeError, ValueError, OverflowError):
            self.log.warning("Left behind: %s is not named like a submission", path)
            return {"username": NOBODY, "timestamp": datetime.datetime.min}

    def copy_files(self) -> None:
        self.src_records = [
            record for record in self.src_records if record["username"] != NOBODY
        ]
        super().copy_files()

    def do_copy(self, src: str, dest: str, log: Any = None) -> None:
        limit = 1000 * self.coursedir.max_dir_size
        size = self.get_size(src)
        if size > limit:
            self.log.error(
                "Left behind: %s holds %d bytes, the limit is %d", src, size, limit
            )
            return
        unwanted = ignore_patterns(
            exclude=self.coursedir.ignore,
            include=self.coursedir.include,
            max_file_size=self.coursedir.max_file_size,
            log=self.log,
        )

        def left_behind(folder: str, names: list[str]) -> list[str]:
            special = [name for name in names if _is_special(Path(folder, name))]
            ordinary = [name for name in names if name not in special]
            return [*special, *unwanted(folder, ordinary)]

        shutil.copytree(src, dest, symlinks=True, ignore=left_behind)
        stamp = Path(dest, "timestamp.txt")
        stamp.unlink(missing_ok=True)
        time = self._path_to_record(src)["timestamp"]
        stamp.write_text(f"{time} UTC")


def _is_special(path: Path) -> bool:
    status = os.lstat(path)
    if stat.S_ISREG(status.st_mode):
        return status.st_nlink > 1
    return not (stat.S_ISDIR(status.st_mode) or stat.S_ISLNK(status.st_mode))
