"""The whole book, built once for every test of this folder, whichever worker runs it."""

import json
from pathlib import Path

import pytest
from books import ROOT, Built, build_book
from filelock import FileLock

BUILD_TIMEOUT = 1800  # seconds: the first test to ask for the site waits while every page is executed


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "built" in getattr(item, "fixturenames", []):
            item.add_marker(pytest.mark.timeout(BUILD_TIMEOUT))


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Built:
    """What `make book` makes of the checkout, in a folder of its own."""
    own = tmp_path_factory.getbasetemp()
    shared = (own if worker_id == "master" else own.parent) / "site"
    with FileLock(f"{shared}.lock"):
        record = Path(f"{shared}.json")
        if not record.exists():
            result = build_book(ROOT, shared)
            record.write_text(
                json.dumps([result.returncode, result.stdout + result.stderr]),
                encoding="utf-8",
            )
        exit_code, output = json.loads(record.read_text(encoding="utf-8"))
    return Built(shared / "_build" / "html", exit_code, output)


@pytest.fixture(scope="session")
def site(built: Built) -> Path:
    """The folder of the built site."""
    if not (built.html / "index.html").exists():
        pytest.fail(f"the book was not built:\n{built.output}")
    return built.html
