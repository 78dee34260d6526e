"""The instructor's command line."""

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from autograder.notebooks import NotebookUnreadable, run_notebook

app = typer.Typer(
    help="Run notebooks and say what was seen.",
    no_args_is_help=True,
    add_completion=False,
)


@app.callback()
def main() -> None:
    """Exit status: 0 nothing wrong, 1 a finding, 2 could not run as asked."""


@app.command()
def run(
    notebooks: Annotated[
        list[Path],
        typer.Argument(metavar="NOTEBOOK...", help="Notebooks, .ipynb or MyST .md"),
    ],
) -> None:
    """Run notebooks and prove that every code cell was executed and ended as its tags say."""
    findings = 0
    for path in notebooks:
        try:
            with tempfile.TemporaryDirectory() as cwd:
                report = run_notebook(path, Path(cwd))
        except (OSError, NotebookUnreadable) as error:
            typer.echo(f"autograder run: {error}", err=True)
            raise typer.Exit(2) from error
        typer.echo(
            str(report) if report.findings else f"{path}: every cell ran as it should"
        )
        findings += len(report.findings)
    raise typer.Exit(1 if findings else 0)


if __name__ == "__main__":
    app()
