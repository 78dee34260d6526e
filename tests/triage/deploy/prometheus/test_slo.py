"""The promise and its alarms: by Prometheus' own rule tests, and by a Prometheus that scrapes a service."""

import re
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from importlib.resources import files
from pathlib import Path

import httpx
import pytest
import uvicorn
import yaml
from promtool import promtool

from triage.prediction import Card, Classifier, Prediction
from triage.service.app import create_app

from ...conftest import free_port, wait_until_up

HERE = Path(__file__).parent
RULES = Path(str(files("triage.deploy"))) / "prometheus"
WINDOWS = {"5m": "4s", "30m": "8s", "1h": "12s", "6h": "16s", "3d": "32s"}

pytestmark = [pytest.mark.needs("prometheus"), pytest.mark.slow]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for path in [*RULES.iterdir(), HERE / "slo_test.yml"]:
        if path.suffix == ".yml":
            shutil.copy(path, tmp_path)
    return tmp_path


def test_configuration_and_rules_are_what_prometheus_reads(folder: Path) -> None:
    checked = promtool("check", "config", "prometheus.yml", folder=folder)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_alerts_fire_when_they_should_and_only_then(folder: Path) -> None:
    tested = promtool("test", "rules", "slo_test.yml", folder=folder)
    assert tested.returncode == 0, tested.stdout + tested.stderr


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ('kept="no"}[1h]', 'kept="No"}[1h]'),
        ("[5m])) / 0.005", "[5m])) / 0.5"),
        ("and triage:burn:5m > 14.4", "and triage:burn:1h > 14.4"),
        ("triage:burn:6h > 6 ", "triage:burn:6h > 9 "),
        ("triage:burn:3d > 1 ", "triage:burn:3d > 3 "),
        ("absent(up", "count(up"),
    ],
)
def test_a_rule_that_is_wrong_fails_its_tests(
    folder: Path, right: str, wrong: str
) -> None:
    path = folder / "slo.yml"
    text = path.read_text()
    assert right in text
    path.write_text(text.replace(right, wrong))
    assert promtool("check", "rules", "slo.yml", folder=folder).returncode == 0
    assert promtool("test", "rules", "slo_test.yml", folder=folder).returncode != 0


# --- live: the same rules with shorter windows ---


class Desk(Classifier):
    """A model that fails on what it is told to fail on."""

    card = Card(["other"], 1.0, "none", "0" * 64, "0" * 64, 0.0, 0.0)

    def predict(self, texts: Sequence[str]) -> list[Prediction]:
        if "poison" in texts:
            raise ValueError("poison")
        return [Prediction("other", 0.9, []) for _ in texts]


@pytest.fixture
def service() -> Iterator[str]:
    port = free_port()
    app = create_app(Desk(), "0" * 64)
    server = uvicorn.Server(
        uvicorn.Config(app, port=port, log_level="critical", lifespan="on")
    )
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture
def prometheus(folder: Path, service: str) -> Iterator[httpx.Client]:
    """A Prometheus that scrapes the service; an hour passes in twelve seconds."""
    rules = (folder / "slo.yml").read_text()
    rules = re.sub(r"\[(\w+)\]", lambda found: f"[{WINDOWS[found[1]]}]", rules)
    (folder / "slo.yml").write_text(rules.replace("for: 5m", "for: 1s"))
    config = yaml.safe_load((folder / "prometheus.yml").read_text())
    config["global"] = dict.fromkeys(
        ["scrape_interval", "evaluation_interval"], "500ms"
    )
    config["scrape_configs"][0]["static_configs"] = [{"targets": [service]}]
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    port = free_port()
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [
                "prometheus",
                f"--web.listen-address=127.0.0.1:{port}",
                f"--storage.tsdb.path={folder / 'data'}",
                "--config.file=prometheus.yml",
            ],
            cwd=folder,
            stdout=output,
            stderr=output,
        )
    try:
        wait_until_up(f"http://127.0.0.1:{port}/-/ready", process, log)
        with httpx.Client(base_url=f"http://127.0.0.1:{port}/api/v1") as client:
            yield client
    finally:
        process.terminate()
        process.wait(30)


def firing(prometheus: httpx.Client) -> set[str]:
    alerts = prometheus.get("/alerts").json()["data"]["alerts"]
    return {a["labels"]["alertname"] for a in alerts if a["state"] == "firing"}


def ask_until(service: str, messages: Sequence[str], done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not done():
        assert time.monotonic() < deadline, "nothing fired, or did not end"
        for message in messages:
            # One connection each: the server closes that of a failure.
            httpx.post(f"http://{service}/predict", json={"message": message})
        time.sleep(0.1)


def test_a_real_prometheus_pages_for_a_service_that_fails(
    service: str, prometheus: httpx.Client
) -> None:
    calm = time.monotonic() + 15
    ask_until(service, ["where is it"], lambda: time.monotonic() > calm)
    burn = prometheus.get("/query", params={"query": "triage:burn:1h"}).json()
    assert [float(each["value"][1]) for each in burn["data"]["result"]] == [0.0]
    assert firing(prometheus) == set()

    ask_until(
        service, ["poison", "fine"], lambda: "TriageBurnsFast" in firing(prometheus)
    )
    ask_until(
        service, ["fine"] * 4, lambda: "TriageBurnsFast" not in firing(prometheus)
    )
