"""The README's figures and commands are the project's."""

import json
import re

from books import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_accuracy_is_the_measured_one() -> None:
    measured = json.loads(
        (ROOT / "benchmarks" / "results" / "banking77.json").read_text(encoding="utf-8")
    )
    assert (
        f"{100 * measured['accuracy']:.1f} % of {measured['messages']:,} messages"
        in README
    )


def test_every_command_of_triage_exists() -> None:
    from typer.main import get_command

    from triage.cli import app

    named = set(re.findall(r"python -m triage (\w+)", README))
    assert named
    assert named <= set(get_command(app).commands)


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", README):
        assert (ROOT / target).exists(), target
