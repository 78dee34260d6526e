"""The router as a process, as its users start it."""

import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from triage.errors import TriageError
from triage.release.router import service_at

from ..conftest import free_port, running, wait_until_up

NOBODY = "http://127.0.0.1:1"


@pytest.mark.slow
def test_it_starts_says_how_it_stands_and_answers_without_services(
    tmp_path: Path,
) -> None:
    port = free_port()
    command = ["route", "--champion", NOBODY, "--candidate", NOBODY, "--usual", "0.17"]
    log = tmp_path / "log"
    with running([*command, "--port", str(port)], log) as process:
        url = f"http://127.0.0.1:{port}"
        wait_until_up(f"{url}/release", process, log)
        assert httpx.get(f"{url}/release").json()["share"] == 0.01
        answer = httpx.post(f"{url}/predict", json={"message": "Where is it?"})
        assert answer.status_code == 502
        assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("option", "said"),
    [
        (["--usual", "17"], "is no rate of corrections"),
        (["--candidate", "localhost:8001"], "is no address"),
    ],
)
def test_what_cannot_be_meant_is_one_sentence(option: list[str], said: str) -> None:
    command = ["route", "--champion", NOBODY, "--candidate", NOBODY, *option]
    done = subprocess.run(
        [sys.executable, "-m", "triage", *command, "--port", str(free_port())],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "address", ["localhost:8000", "ftp://host", "http://", "http://host:port", "", "/x"]
)
def test_addresses_that_are_none_are_refused(address: str) -> None:
    with pytest.raises(TriageError, match="is no address"):
        service_at(address, seconds=1)
