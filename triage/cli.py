"""`python -m triage`: one verb for each thing that happens to a model."""

import json
import os
import socket
import sys
import tempfile
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from triage.errors import TriageError
from triage.monitor import commands as monitor
from triage.settings import Settings

if TYPE_CHECKING:
    from triage.data import Dataset
    from triage.prediction import Classifier

# Everything heavy is imported inside the commands: `--help` should not wait for PyTorch.

app = typer.Typer(
    help="A support desk's message triage.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)
app.add_typer(monitor.app, name="monitor")
out = Console(highlight=False, soft_wrap=True, markup=False)
err = Console(stderr=True, highlight=False, soft_wrap=True, markup=False)

ModelOption = Annotated[
    str | None,
    typer.Option(
        "--model",
        help="A model file, an export (.onnx) or a registered model, such as models:/triage@champion.",
    ),
]
CHAMPION = "models:/triage@champion"


class Runtime(StrEnum):
    """What computes a model: the library that trained it, or ONNX Runtime in 8-bit integers."""

    TORCH = "torch"
    ONNX = "onnx"


class LogFormat(StrEnum):
    """How log lines are written: for people, or one JSON object a line."""

    TEXT = "text"
    JSON = "json"


RuntimeOption = Annotated[
    Runtime,
    typer.Option(
        "--runtime",
        help="PyTorch, or ONNX Runtime in 8 bits: several times as fast, nearly the same answers.",
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
def snapshot() -> None:
    """Keep TRIAGE_DATA in TRIAGE_HOME under its digest and print that; TRIAGE_DATA takes it as a source."""
    from triage import snapshots

    kept = snapshots.take()
    err.print(f"Kept in {kept.path}")
    print(kept)


@app.command()
def validate(
    baseline: Annotated[
        str | None,
        typer.Option(
            help="Data accepted before, such as sha256:DIGEST: its labels and lengths are the usual ones."
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Hold TRIAGE_DATA against the schema and the data tests; exit 1 if anything is wrong."""
    from triage.data import load, parse
    from triage.schema import validate as judge

    dataset = parse()
    findings = judge(dataset, None if baseline is None else load(baseline))
    if as_json:
        found = [asdict(finding) for finding in findings]
        print(
            json.dumps(
                {"data": dataset.name, "digest": dataset.digest, "findings": found}
            )
        )
    else:
        for finding in findings:
            out.print(f"{finding.check}: {finding}")
        if not findings:
            out.print(
                f"{dataset.name}: nothing wrong with {len(dataset.train):,} training and "
                f"{len(dataset.test):,} test messages (sha256 {dataset.digest[:12]})"
            )
    raise typer.Exit(1 if findings else 0)


@app.command()
def train() -> None:
    """Train a model on TRIAGE_DATA (the embedded tickets if unset); keep it and the data in TRIAGE_HOME."""
    from triage import snapshots
    from triage.data import load
    from triage.model import TriageModel

    settings = Settings()
    dataset = load()
    snapshots.take(dataset)  # what is learnt from is kept
    with err.status(f"Training on {len(dataset.train):,} messages from {dataset.name}"):
        model = TriageModel.fit(dataset)
    digest = model.save(settings.model)
    out.print(
        f"Trained on {len(dataset.train):,} messages with {len(dataset.intents)} intents ({dataset.name})."
    )
    out.print(f"Accuracy on held-out folds: {model.card.held_out_accuracy:.1%}")
    out.print(f"Wrote {settings.model} (sha256 {digest[:12]})")


@app.command()
def evaluate(
    model: ModelOption = None,
    runtime: RuntimeOption = Runtime.TORCH,
    as_json: JsonOption = False,
) -> None:
    """Judge the model on the test split of TRIAGE_DATA; write report.json and two pictures to TRIAGE_HOME."""
    from triage.data import load
    from triage.evaluate import evaluate as judge

    settings = Settings()
    dataset = load()
    loaded, _ = load_model(model, runtime)
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
def behave(model: ModelOption = None, as_json: JsonOption = False) -> None:
    """Run the behavioural tests on messages from TRIAGE_DATA; exit 1 if a rate is below what is required."""
    from triage.behaviour import check
    from triage.data import load

    dataset = load()
    loaded, _ = load_model(model)
    with err.status("Changing messages"):
        results = check(loaded, dataset.test["text"].tolist())
    passed = all(result.ok for result in results)
    if as_json:
        tests = [
            {**asdict(result), "rate": round(result.rate, 4), "ok": result.ok}
            for result in results
        ]
        print(json.dumps({"data": dataset.name, "ok": passed, "tests": tests}))
        raise typer.Exit(0 if passed else 1)
    table = Table("kind", "test", "passed", "rate", "required", "")
    for result in results:
        table.add_row(
            result.kind,
            result.name,
            f"{result.passed}/{result.cases}",
            f"{result.rate:.0%}",
            f"{result.required:.0%}",
            "ok" if result.ok else "FAILED",
        )
    out.print(table)
    for result in results:
        for failure in [] if result.ok else result.failures:
            out.print(f"{result.name}: {failure}")
    raise typer.Exit(0 if passed else 1)


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
def gate(
    candidate: Annotated[
        str, typer.Option(help="The model that wants to be champion.")
    ] = "models:/triage@candidate",
    champion: Annotated[
        str, typer.Option(help="The model to compare with.")
    ] = CHAMPION,
    margin: Annotated[
        float | None,
        typer.Option(
            help="Accuracy the candidate may lose overall, 0 to 1; 0.03 if not given."
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Compare candidate and champion on the test split of TRIAGE_DATA; exit 0 to promote, 1 to refuse."""
    from triage import registry
    from triage.data import load
    from triage.gate import Policy, contest

    policy = Policy() if margin is None else Policy(margin=margin)
    dataset = load()
    challenger, _ = load_model(candidate)
    refuse_unknown_intents(challenger.card.intents, dataset)
    holder = None
    # Only the default may be missing: a mistyped name must not read as "no champion yet".
    if champion != CHAMPION or registry.champion(registry.connect()) is not None:
        holder, _ = load_model(champion)
    with err.status(f"Judging on {len(dataset.test):,} messages"):
        _, decision = contest(challenger, holder, dataset, policy)
    if as_json:
        print(json.dumps(asdict(decision)))
    else:
        verdict = "Promote" if decision.promote else "Refuse"
        out.print(f"{verdict}: {'; '.join(decision.reasons)}")
    raise typer.Exit(0 if decision.promote else 1)


@app.command()
def due(
    recent: Annotated[
        Path | None,
        typer.Option(
            help="A CSV file with a column text: messages from production, no labels needed."
        ),
    ] = None,
    days: Annotated[
        int, typer.Option(min=1, help="The age at which a champion is trained again.")
    ] = 30,
) -> None:
    """Say why a retraining is due; exit 0 if it is, 1 if nothing speaks for it."""
    from triage.due import read_messages, reasons_to_retrain

    messages = read_messages(recent) if recent else []
    with mlflow_refusals():
        reasons = reasons_to_retrain(messages, days)
    out.print("; ".join(reasons) or "Nothing speaks for a retraining.")
    raise typer.Exit(0 if reasons else 1)


@app.command()
def retrain(
    reason: Annotated[
        str, typer.Option(help="Why, in a sentence; kept with a promotion.")
    ] = "retrained",
) -> None:
    """Run the Kubeflow pipeline here, from TRIAGE_DATA to a promotion; exit 0 unless it is refused (1)."""
    from triage import pipeline, registry

    registry.require_reason(reason)  # before the minutes, not after them
    registry.connect()
    try:
        with err.status("Starting") as status:
            outcome = pipeline.run(reason, status.update)
    except pipeline.Refused as refusal:
        out.print(f"Refused: {refusal}")
        raise typer.Exit(1) from refusal
    out.print(
        f"{outcome.ending.capitalize()} version {outcome.version}: {'; '.join(outcome.reasons)}"
    )
    raise typer.Exit(1 if outcome.ending == "refused" else 0)


@app.command()
def pipeline(
    file: Annotated[Path, typer.Argument(help="Where to write it.")] = Path(
        "retrain-triage.yaml"
    ),
) -> None:
    """Write the retraining as YAML for Kubeflow Pipelines; TRIAGE_IMAGE names the image of its steps."""
    from triage.pipeline import write

    write(file)
    out.print(f"Wrote {file}")


ReasonOption = Annotated[
    str, typer.Option("--reason", help="Why, in a sentence; kept with the version.")
]


@app.command()
def promote(
    reason: ReasonOption,
    version: Annotated[
        str, typer.Argument(help="A version number or an alias.")
    ] = "candidate",
) -> None:
    """Make a registered version the champion."""
    from triage import registry

    with mlflow_refusals():
        move = registry.promote(version, reason)
    if move.version == move.former:
        out.print(f"Version {move.version} is the champion already; nothing changed")
    else:
        out.print(
            f"Champion is version {move.version}, before it {move.former or 'none'}. Restart the services"
        )


@app.command()
def sign(
    key: Annotated[Path, typer.Option(help="A private key of an elliptic curve, PEM.")],
    version: Annotated[
        str, typer.Argument(help="A version number or an alias.")
    ] = "candidate",
) -> None:
    """Sign a registered version, for services that set TRIAGE_TRUST to the public key."""
    from triage import signing

    with mlflow_refusals():
        signed = signing.sign(version, key)
    out.print(f"Signed version {signed}")


@app.command()
def rollback(reason: ReasonOption) -> None:
    """Give the champion's place back to the version that the present one replaced."""
    from triage import registry

    with mlflow_refusals():
        move = registry.rollback(reason)
    out.print(
        f"Champion is version {move.version} again, no longer {move.former}. Restart the services"
    )


@app.command()
def lineage(
    model: Annotated[
        str,
        typer.Argument(
            help="A model's SHA-256, as in an answer, a version or an alias."
        ),
    ],
    as_json: JsonOption = False,
) -> None:
    """Say what a model was made of: data, code, run and encoder."""
    from triage.lineage import trace

    facts = trace(model).as_dict()
    if as_json:
        print(json.dumps(facts))
        return
    for name, value in facts.items():
        shown = ", ".join(value) if isinstance(value, list) else value
        out.print(f"{name:15} {'not kept here' if shown is None else shown}")


@app.command()
def serve(
    model: ModelOption = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535)] = 8000,
    drain: Annotated[
        float, typer.Option(min=0, help="Seconds to go on answering after SIGTERM.")
    ] = 2.0,
    runtime: RuntimeOption = Runtime.TORCH,
    workers: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Batches computed at once; if not given 1, and one a core with onnx.",
        ),
    ] = None,
    log: Annotated[
        LogFormat, typer.Option(help="How log lines are written.")
    ] = LogFormat.TEXT,
) -> None:
    """Serve the model over HTTP until SIGTERM or Ctrl-C.

    Traces go over OTLP to where OTEL_EXPORTER_OTLP_ENDPOINT says.
    """
    from triage.service import tracing
    from triage.service.app import create_app
    from triage.service.server import DrainingServer

    refuse_taken(host, port)
    # A program that reads JSON has no use for a spinner, which FORCE_COLOR shows even in a file.
    with nullcontext() if log is LogFormat.JSON else err.status("Loading the model"):
        loaded, sha256 = load_model(model, runtime)
    workers = workers or loaded.workers
    app = create_app(loaded, sha256, workers, tracing.wanted())
    DrainingServer(app, host, port, drain, log is LogFormat.JSON).run()


@app.command()
def export(
    model: ModelOption = None,
    to: Annotated[
        Path | None,
        typer.Option(
            help="Another place: a file for `serve --model` where PyTorch is not installed."
        ),
    ] = None,
) -> None:
    """Write the model as one ONNX file in 8 bits to TRIAGE_HOME, so that `serve --runtime onnx` finds it."""
    from triage.export import export_path
    from triage.files import write_atomically

    if to is not None and to.suffix != ".onnx":
        raise TriageError(
            f"{to} does not end in .onnx, by which it is known. Add that."
        )
    with err.status("Exporting"):
        _, sha256 = load_model(model, Runtime.ONNX)
    path = export_path(sha256)
    if to is not None:
        write_atomically(to, path.read_bytes())
    out.print(f"Wrote {to or path}")


@app.command()
def route(
    champion: Annotated[str, typer.Option(help="Address of the champion's service.")],
    candidate: Annotated[str, typer.Option(help="Address of the candidate's service.")],
    usual: Annotated[
        float | None,
        typer.Option(
            help="Share of answers that agents correct today, 0 to 1: release as a canary. "
            "Without it the candidate runs in shadow."
        ),
    ] = None,
    salt: Annotated[
        str, typer.Option(help="Another one chooses other tickets.")
    ] = "release",
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535)] = 8100,
) -> None:
    """Stand between the desk and two services: shadow a candidate, or give it more and more tickets."""
    import uvicorn

    from triage.release import canary, router

    refuse_taken(host, port)
    release = router.Release(
        router.service_at(champion, seconds=5),
        router.service_at(candidate, seconds=2),  # the champion is asked after it
        None if usual is None else canary.usual(usual),
        salt,
    )
    uvicorn.run(router.create_app(release), host=host, port=port, log_level="warning")


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


@app.command()
def drift(
    stack: Annotated[str, typer.Option(help="The deployed stack's name.")] = "triage",
    as_json: JsonOption = False,
) -> None:
    """Compare triage/deploy/cloudformation.yaml with what is deployed; exit 1 where they differ."""
    from triage.deploy.deployed import Account
    from triage.deploy.drift import drift as differing

    found = differing(Account(stack))
    if as_json:
        print(json.dumps([vars(difference) for difference in found], default=str))
    elif found:
        out.print(f"Stack {stack}: - what the file says, + what is deployed")
        for difference in found:
            out.print(str(difference))
    else:
        out.print(f"Stack {stack} is what the file says.")
    raise typer.Exit(1 if found else 0)


def load_model(
    source: str | None, runtime: Runtime = Runtime.TORCH
) -> "tuple[Classifier, str]":
    """The model named by `--model` (a file, or a registered `models:/` URI) and its SHA-256."""
    if source is None or not source.startswith("models:/"):
        path = Settings().model if source is None else Path(source)
        return read_model(path, runtime)
    from triage.registry import fetch

    with tempfile.TemporaryDirectory(prefix="triage-") as folder:
        return read_model(fetch(source, Path(folder)), runtime)


def read_model(path: Path, runtime: Runtime) -> "tuple[Classifier, str]":
    from triage.files import sha256

    if path.suffix == ".onnx":  # where it is served, PyTorch need not be installed
        from triage.onnx import OnnxModel

        loaded = OnnxModel.read(path)
        return loaded, loaded.source
    if runtime is Runtime.ONNX:
        from triage.export import exported

        return exported(path), sha256(path)
    from triage.model import TriageModel

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
    except Exception:  # 1 is a finding, and this is none
        traceback.print_exc()
        sys.exit(2)
