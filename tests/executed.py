"""The book's pages, each executed once for all tests: those of the pages themselves, and of the site."""

import json
from pathlib import Path

import pytest
from books import ROOT
from filelock import FileLock

from extensions.execute import execute
from extensions.execution import cache_folder
from extensions.page_contract import toc_files

TIMEOUT = 4500
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
            found: dict[str, list[str]] = {
                path.relative_to(ROOT).as_posix(): [] for path in toc_files(ROOT)
            }  # a page that an earlier attempt has executed is in the cache, and was right
            for path, report in execute(ROOT, cache):
                name = path.relative_to(ROOT).as_posix()
                found[name] = [str(finding) for finding in report.findings]
            record.write_text(json.dumps(found), encoding="utf-8")
        return json.loads(record.read_text(encoding="utf-8"))
