"""The book's pages, each executed once for all tests: those of the pages themselves, and of the site."""

import json
from pathlib import Path

import pytest
from books import ROOT
from filelock import FileLock

from extensions.execute import execute
from extensions.execution import cache_folder

TIMEOUT = 1800
"""Seconds: the first test to ask waits while every page is executed."""


@pytest.fixture(scope="session")
def output(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """The folder in which the site is built; the executed pages lie beside it. All workers share it."""
    own = tmp_path_factory.getbasetemp()
    return (own if worker_id == "master" else own.parent) / "site"


@pytest.fixture(scope="session")
def findings(output: Path) -> dict[str, list[str]]:
    """For every page, by its path in the book, what is wrong with its execution."""
    with FileLock(f"{output}.executed.lock"):
        record = Path(f"{output}.executed.json")
        if not record.exists():
            cache = cache_folder(ROOT, output / "_build" / "html")
            found = {
                path.relative_to(ROOT).as_posix(): [str(f) for f in report.findings]
                for path, report in execute(ROOT, cache)
            }
            record.write_text(json.dumps(found), encoding="utf-8")
        return json.loads(record.read_text(encoding="utf-8"))
