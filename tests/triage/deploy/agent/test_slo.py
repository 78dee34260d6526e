"""The agent's alerts, by Prometheus' own rule tests: they fire when they should, and a slip is found."""

import shutil
from pathlib import Path

import pytest
from promtool import promtool

from triage.deploy.agent import policy

RULES = Path(policy.__file__).parent / "slo.yml"

pytestmark = [pytest.mark.needs("prometheus"), pytest.mark.slow]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copy(RULES, tmp_path)
    shutil.copy(Path(__file__).parent / "slo_test.yml", tmp_path)
    return tmp_path


def test_alerts_fire_when_they_should_and_only_then(folder: Path) -> None:
    tested = promtool("test", "rules", "slo_test.yml", folder=folder)
    assert tested.returncode == 0, tested.stdout + tested.stderr


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ('kind="limit"', 'kind="person"'),
        ("> 0.1\n        labels: {severity: page}", "> 0.9\n        labels: {severity: page}"),
        ("> 1800", "> 3600"),
        ("for: 5m", "for: 15m"),
        ('kind="done"}[6h]', 'kind="Done"}[6h]'),
    ],
)  # fmt: skip
def test_a_rule_that_is_wrong_fails_its_tests(
    folder: Path, right: str, wrong: str
) -> None:
    path = folder / "slo.yml"
    text = path.read_text()
    assert right in text
    path.write_text(text.replace(right, wrong, 1))
    assert promtool("check", "rules", "slo.yml", folder=folder).returncode == 0
    assert promtool("test", "rules", "slo_test.yml", folder=folder).returncode != 0
