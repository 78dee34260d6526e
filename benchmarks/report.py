"""What every benchmark has in common: one JSON object with its ratios, kept where the book reads it."""

import argparse
import json
import os
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from triage.files import write_atomically

RESULTS = Path(__file__).parent / "results"


def arguments(description: str | None) -> argparse.ArgumentParser:
    """A benchmark's command line; `description` is its module's docstring."""
    parser = argparse.ArgumentParser(
        description=(description or "").splitlines()[0],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object instead of a table"
    )
    return parser


def publish(name: str, result: dict[str, Any], table: Table, *, as_json: bool) -> None:
    """Write `results/<name>.json` and print the result, as JSON or as a table."""
    text = json.dumps(result, indent=2, ensure_ascii=False) + "\n"
    write_atomically(RESULTS / f"{name}.json", text.encode())
    if as_json:
        print(json.dumps(result))
    else:
        Console().print(table)


def environment(programs: Path) -> dict[str, str]:
    """What a program to be measured runs in: those of `programs` found by name, and compiled code kept.

    Without compiled code a grader would spend its seconds on reading its own source.
    """
    path = os.pathsep.join((str(programs), os.environ["PATH"]))
    inherited = {
        name: value
        for name, value in os.environ.items()
        if name not in ("PYTHONDONTWRITEBYTECODE", "PYTHONPATH")
    }
    return inherited | {"PATH": path}
