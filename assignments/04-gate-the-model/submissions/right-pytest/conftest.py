"""Turns the tests' outcomes into a decision in the job summary, unless a fixture failed."""

import os

import pytest

reasons, broken = [], []


@pytest.fixture
def reason(record_property):
    return lambda name: record_property("reason", name)


def pytest_runtest_logreport(report):
    if report.when != "call":
        broken.extend([report.nodeid] if report.failed else [])
    elif report.failed:
        reasons.extend(name for key, name in report.user_properties if key == "reason")


def pytest_sessionfinish(session, exitstatus):
    if not broken and exitstatus in (0, 1):
        line = f"Refuse: {', '.join(reasons)}" if reasons else "Promote"
        with open(os.environ["GITHUB_STEP_SUMMARY"], "a", encoding="utf-8") as file:
            print(f"## {line}", file=file)
