"""The whole book, built once for every test of this folder, whichever worker runs it."""

import json
from pathlib import Path

import pytest
from books import ROOT, Built, build_book
from executed import TIMEOUT
from filelock import FileLock


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if {"built", "findings"} & set(getattr(item, "fixturenames", [])):
            item.add_marker(pytest.mark.timeout(TIMEOUT))


@pytest.fixture(scope="session")
def built(output: Path, findings: dict[str, list[str]]) -> Built:
    """What `make book` makes of the checkout, in a folder of its own."""
    with FileLock(f"{output}.lock"):
        record = Path(f"{output}.json")
        if not record.exists():
            result = build_book(ROOT, output)
            record.write_text(
                json.dumps([result.returncode, result.stdout + result.stderr]),
                encoding="utf-8",
            )
        exit_code, said = json.loads(record.read_text(encoding="utf-8"))
    return Built(output / "_build" / "html", exit_code, said)


@pytest.fixture(scope="session")
def site(built: Built) -> Path:
    """The folder of the built site."""
    if not (built.html / "index.html").exists():
        pytest.fail(f"the book was not built:\n{built.output}")
    return built.html
