"""`triage monitor`: a baseline from a quiet week, and later windows held against it."""

from pathlib import Path
from typing import Annotated

import typer

from triage.settings import Settings

app = typer.Typer(help="Watch what goes in and out.", no_args_is_help=True)

Capture = Annotated[
    Path, typer.Argument(help="A data-capture file (JSON lines), or a folder of them.")
]


@app.command()
def baseline(capture: Capture) -> None:
    """Describe a capture in statistics.json and propose constraints.json, in TRIAGE_HOME/monitor."""
    from triage.monitor.capture import read
    from triage.monitor.constraints import suggest
    from triage.monitor.schedule import CONSTRAINTS, STATISTICS
    from triage.monitor.statistics import describe

    folder = Settings().home / "monitor"
    statistics = describe(read(capture))
    statistics.write(folder / STATISTICS)
    suggest(statistics).write(folder / CONSTRAINTS)
    count = statistics.dataset.item_count
    print(
        f"Described {count:,} requests in {folder}. Read constraints.json: it decides"
    )


@app.command()
def check(capture: Capture) -> None:
    """Hold a capture against the baseline; write constraint_violations.json, exit 1 if there are any."""
    from triage.monitor.capture import read
    from triage.monitor.constraints import violations
    from triage.monitor.documents import Constraints, Statistics
    from triage.monitor.schedule import CONSTRAINTS, STATISTICS

    folder = Settings().home / "monitor"
    statistics = Statistics.read(folder / STATISTICS)
    constraints = Constraints.read(folder / CONSTRAINTS)
    found = violations(read(capture), statistics, constraints)
    found.write(folder / "constraint_violations.json")
    for one in found.violations:
        print(f"{one.feature_name}: {one.constraint_check_type}. {one.description}")
    if not found.violations:
        print("Nothing breaks the constraints.")
    raise typer.Exit(1 if found.violations else 0)
