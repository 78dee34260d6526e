"""`python -m triage`: one verb for each thing that happens to a model."""

import json
import os
import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from triage.errors import TriageError
from triage.settings import Settings

if TYPE_CHECKING:
    from triage.data import Dataset
    from triage.model import TriageModel

# Everything heavy is imported inside the commands: `--help` should not wait for PyTorch.

app = typer.Typer(
    help="A support desk's message triage.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)
out = Console(highlight=False, soft_wrap=True, markup=False)
err = Console(stderr=True, highlight=False, soft_wrap=True, markup=False)

ModelOption = Annotated[
    str | None,
    typer.Option(
        "--model",
        help="A model file or a registered model, such as models:/triage@champion.",
    ),
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="Print one JSON object and nothing else.")
]


@app.command()
def data() -> None:
    """Check TRIAGE_DATA and say what it holds; the name banking77 is downloaded once."""
    from triage.data import load

    dataset = load()
    out.print(
        f"{dataset.name}: {len(dataset.train):,} training and {len(dataset.test):,} test "
        f"messages, {len(dataset.intents)} intents (sha256 {dataset.digest[:12]})"
    )


@app.command()
def train() -> None:
    """Train a model on TRIAGE_DATA (the embedded tickets if unset) and keep it in TRIAGE_HOME."""
    from triage.data import load
    from triage.model import TriageModel

    settings = Settings()
    dataset = load()
    with err.status(f"Training on {len(dataset.train):,} messages from {dataset.name}"):
        model = TriageModel.fit(dataset)
    digest = model.save(settings.model)
    out.print(
        f"Trained on {len(dataset.train):,} messages with {len(dataset.intents)} intents ({dataset.name})."
    )
    out.print(f"Accuracy on held-out folds: {model.card.held_out_accuracy:.1%}")
    out.print(f"Wrote {settings.model} (sha256 {digest[:12]})")


@app.command()
def evaluate(model: ModelOption = None, as_json: JsonOption = False) -> None:
    """Judge the model on the test split of TRIAGE_DATA; write report.json and two pictures to TRIAGE_HOME."""
    from triage.data import load
    from triage.evaluate import evaluate as judge

    settings = Settings()
    dataset = load()
    loaded, _ = load_model(model)
    refuse_unknown_intents(loaded.card.intents, dataset)
    with err.status(f"Judging on {len(dataset.test):,} messages"):
        report = judge(loaded, dataset.test)
    report.write(settings.home / "evaluation")
    if as_json:
        print(json.dumps({"data": dataset.name, **report.summary()}))
        return
    table = Table(
        "intent",
        "messages",
        "precision",
        "recall",
        "taken for",
        title="The ten hardest intents",
    )
    for intent, row in report.by_intent.sort_values("f1").head(10).iterrows():
        table.add_row(
            str(intent),
            str(row.messages),
            f"{row.precision:.2f}",
            f"{row.recall:.2f}",
            row.taken_for,
        )
    out.print(table)
    out.print(
        f"Accuracy {report.accuracy:.2%} on {report.messages:,} messages of the test split of {dataset.name}"
    )
    out.print(f"Calibration error {report.calibration_error:.3f}")
    out.print(f"Wrote {settings.home / 'evaluation'}")


@app.command()
def tracking(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535)] = 5000,
) -> None:
    """Start the MLflow tracking server and model registry; everything it keeps is in TRIAGE_HOME."""
    from triage.registry import server_command

    command = server_command(Settings().home, host, port)
    refuse_taken(host, port)
    out.print(f"MLflow at http://{host}:{port} (Ctrl-C stops it)")
    sys.stdout.flush()
    # Become the server, so that signals reach it and nothing is left behind.
    os.execv(command[0], command)


@app.command()
def register(
    alias: Annotated[
        str, typer.Option(help="The role the new version takes.")
    ] = "candidate",
) -> None:
    """Record the trained model and its evaluation in MLflow, register it and give it an alias."""
    from triage import registry
    from triage.data import load
    from triage.evaluate import evaluate as judge

    settings = Settings()
    registry.check_alias(alias)  # before the work, not after it
    registry.connect()
    dataset = load()
    model, _ = load_model(None)
    refuse_unknown_intents(model.card.intents, dataset)
    with err.status("Judging and recording"), mlflow_refusals():
        version = registry.register(settings.model, judge(model, dataset.test), alias)
    out.print(
        f"Registered {registry.NAME} version {version} as {alias} at {settings.tracking_uri}"
    )


@app.command()
def serve(
    model: ModelOption = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535)] = 8000,
    drain: Annotated[
        float, typer.Option(min=0, help="Seconds to go on answering after SIGTERM.")
    ] = 2.0,
) -> None:
    """Serve the model over HTTP until SIGTERM or Ctrl-C."""
    from triage.service.app import create_app
    from triage.service.server import DrainingServer

    refuse_taken(host, port)
    with err.status("Loading the model"):
        loaded, sha256 = load_model(model)
    DrainingServer(create_app(loaded, sha256), host, port, drain).run()


@app.command()
def predict(
    message: Annotated[str, typer.Argument(help="What the customer wrote.")],
    model: ModelOption = None,
    as_json: JsonOption = False,
) -> None:
    """Triage one message."""
    from pydantic import ValidationError

    from triage.service.contract import Request

    try:
        Request(message=message)
    except ValidationError as error:
        raise TriageError(f"Cannot triage that: {error.errors()[0]['msg']}.") from error
    loaded, _ = load_model(model)
    prediction = loaded.predict([message])[0]
    choices = [(prediction.intent, prediction.confidence), *prediction.alternatives]
    if as_json:
        print(
            json.dumps(
                {
                    "intent": prediction.intent,
                    "confidence": prediction.confidence,
                    "choices": choices,
                }
            )
        )
        return
    for intent, confidence in choices:
        out.print(f"{confidence:6.1%}  {intent}")


def load_model(source: str | None) -> "tuple[TriageModel, str]":
    """The model named by `--model` (a file, or a registered `models:/` URI) and its SHA-256."""
    from triage.files import sha256
    from triage.model import TriageModel

    if source is None or not source.startswith("models:/"):
        path = Settings().model if source is None else Path(source)
        return TriageModel.load(path), sha256(path)
    from triage.registry import fetch

    with tempfile.TemporaryDirectory(prefix="triage-") as folder:
        path = fetch(source, Path(folder))
        return TriageModel.load(path), sha256(path)


def refuse_unknown_intents(intents: list[str], dataset: "Dataset") -> None:
    """A model can only be judged on intents it knows."""
    if set(dataset.test["category"]) - set(intents):
        raise TriageError(
            f"The model was trained on other intents than those of {dataset.name}. "
            "Train again with the same TRIAGE_DATA, or set TRIAGE_DATA to what it was trained on."
        )


@contextmanager
def mlflow_refusals() -> Iterator[None]:
    """What the tracking server refuses, as one sentence."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        raise TriageError(
            f"MLflow refused: {error.message.splitlines()[0]}. No alias was moved."
        ) from error


def refuse_taken(host: str, port: int) -> None:
    """Find out that a port is taken before loading anything for seconds."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        socket.create_server((host, port), family=family).close()
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise TriageError(
            f"Cannot listen on {host}:{port}: {reason}. Choose another with --port."
        ) from error


def main() -> None:
    """Run the command line; a TriageError becomes one sentence and exit code 2."""
    try:
        app()
    except TriageError as error:
        err.print(f"triage: {error}", style="red")
        sys.exit(2)
    except OSError as error:
        about = f"{str(error.filename)[:80]}: " if error.filename else ""
        err.print(f"triage: {about}{error.strerror or error}.", style="red")
        sys.exit(2)
