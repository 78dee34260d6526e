"""Answers a second and 99th percentile: the project's service, three others, and the limit of these cores.

Everything runs on the same cores and asks about the same messages, BANKING77's test split in the order of the
file, from 32 clients (wrk). The limit is the service's own 8-bit graph in a bare loop: messages tokenised
beforehand and sorted by length, one to a row, 32 rows a call, one thread a core; nothing is padded to speak
of, nothing is parsed, nobody waits. A round measures the limit, the service, each of the others, and the
service again; a ratio is taken to the mean of what stands beside it, and the result is the median over the
rounds, so that a machine that slows down does not favour anybody.

The others compute in 32-bit floats with PyTorch, because that is what they serve if nobody exports the model.
"""

import dataclasses
import os
import platform
import shutil
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.progress import track
from rich.table import Table

from benchmarks import report, wrk
from benchmarks.servers import (
    BENTOML,
    MLFLOW,
    OTHERS,
    SERVICE,
    Server,
    running,
    write_bodies,
)
from triage import data, registry
from triage.data import Dataset
from triage.evaluate import evaluate
from triage.export import exported
from triage.model import TriageModel
from triage.onnx import OnnxModel
from triage.settings import Settings

CLIENTS = 32
SWEEP = (1, 2, 4, 8, 16, 32, 64)
CROWD = 256
"""Clients that come when the service is overloaded."""
ROUNDS = 3
SECONDS = 10
LOOP_BATCH = 32
GOALS = {
    "times_mlflow": 5.0,
    "share_of_limit": 0.7,
    "points_lost": 0.3,
}


def bare_loop(model: OnnxModel, messages: list[str], seconds: float) -> float:
    """Messages a second that ONNX Runtime computes on all cores when nothing else is done."""
    tokens = sorted(model.tokens(messages), key=len)
    batches = [
        tokens[start : start + LOOP_BATCH]
        for start in range(0, len(tokens), LOOP_BATCH)
    ]
    done: list[int] = []

    def loop(first: int, until: float) -> None:
        count, number = 0, first
        while time.perf_counter() < until:
            batch = batches[number % len(batches)]
            model.compute(batch, width=0)  # a row for each message
            count += len(batch)
            number += 7919  # a prime: long and short batches take turns
        done.append(count)

    start = time.perf_counter()
    threads = [
        threading.Thread(target=loop, args=(number, start + seconds))
        for number in range(os.cpu_count() or 1)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(done) / (time.perf_counter() - start)


class Bench:
    """One model in a home of its own, asked in every way about the same messages."""

    def __init__(self, home: Path, dataset: Dataset, seconds: int):
        self.home = home
        self.seconds = seconds
        self.dataset = dataset
        self.messages = dataset.test["text"].tolist()
        self.model = TriageModel.fit(dataset)
        self.model.save(home / "model.safetensors")
        os.environ["TRIAGE_HOME"] = str(home)
        self.judged = evaluate(self.model, dataset.test)
        self.onnx = exported(home / "model.safetensors")
        uri = f"sqlite:///{home / 'mlflow.db'}"
        registry.register(home / "model.safetensors", self.judged, "champion", uri)

    def limit(self) -> float:
        return bare_loop(self.onnx, self.messages, self.seconds)

    def ask(
        self, server: Server, clients: Sequence[int], polite: bool = False
    ) -> list[wrk.Load]:
        """What each number of clients sees of a server that has been warmed up."""
        bodies = self.home / "bodies"
        write_bodies(server, self.messages, bodies)
        with running(server, self.home) as url:
            warm_up = max(self.seconds // 3, 1)
            wrk.load(url, server.path, bodies, CLIENTS, warm_up)
            return [
                wrk.load(url, server.path, bodies, count, self.seconds, polite)
                for count in clients
            ]

    def accuracy(self) -> dict[str, Any]:
        eight_bit = evaluate(self.onnx, self.dataset.test)
        lost = 100 * (self.judged.accuracy - eight_bit.accuracy)
        same = self.judged.answers["intent"] == eight_bit.answers["intent"]
        return {
            "messages": self.judged.messages,
            "float32": round(self.judged.accuracy, 4),
            "int8": round(eight_bit.accuracy, 4),
            "points_lost": round(lost, 2),
            "same_intent": round(float(same.mean()), 4),
        }


def one_round(bench: Bench, others: Sequence[Server]) -> dict[str, Any]:
    """Limit, service and others beside each other."""
    limits = [bench.limit()]
    services = bench.ask(SERVICE, [CLIENTS])
    rows = {}
    for server in others:
        [seen] = bench.ask(server, [CLIENTS])
        services += bench.ask(SERVICE, [CLIENTS])
        beside = statistics.mean(load.per_second for load in services[-2:])
        rows[server.name] = {
            "per_second": seen.per_second,
            "p50_ms": seen.p50_ms,
            "p99_ms": seen.p99_ms,
            "service_is_times": beside / seen.per_second,
        }
    limits.append(bench.limit())
    own = statistics.mean(load.per_second for load in services)
    return {
        "limit": statistics.mean(limits),
        "share_of_limit": own / statistics.mean(limits),
        "per_second": own,
        "p50_ms": statistics.median(load.p50_ms for load in services),
        "p99_ms": statistics.median(load.p99_ms for load in services),
        "others": rows,
    }


def middle(rounds: list[dict], pick: Callable[[dict], float], digits: int) -> float:
    return round(statistics.median(map(pick, rounds)), digits)


def summary(rounds: list[dict], others: Sequence[Server]) -> dict[str, Any]:
    """The median of every figure over the rounds."""
    own = {
        "server": SERVICE.name,
        "service_is_times": 1.0,
        **{
            name: middle(rounds, lambda one, name=name: one[name], 1)
            for name in ("per_second", "p50_ms", "p99_ms")
        },
    }
    rows = [
        {
            "server": server.name,
            **{
                name: middle(
                    rounds,
                    lambda one, name=name, server=server: one["others"][server.name][
                        name
                    ],
                    1,
                )
                for name in ("service_is_times", "per_second", "p50_ms", "p99_ms")
            },
        }
        for server in others
    ]
    return {
        "share_of_limit": middle(rounds, lambda one: one["share_of_limit"], 3),
        "limit_per_second": middle(rounds, lambda one: one["limit"], 1),
        "servers": [own, *rows],
    }


def measure(
    source: str | Path,
    seconds: int,
    rounds: int,
    others: Sequence[Server] = OTHERS,
    sweep: Sequence[int] = SWEEP,
) -> dict[str, Any]:
    """Train a model on the data set, serve it in every way and ask."""
    wrk.found()
    environment = dict(os.environ)
    home = Path(tempfile.mkdtemp(prefix="the-pivot-serving-"))
    try:
        bench = Bench(home, data.load(source), seconds)
        steps = track(range(rounds), "Rounds", transient=True)
        result = summary([one_round(bench, others) for _ in steps], others)
        result["curves"] = {
            server.name: [dataclasses.asdict(one) for one in bench.ask(server, sweep)]
            for server in (SERVICE, *others)
            if server in (SERVICE, MLFLOW)
        }
        [crowd] = bench.ask(SERVICE, [CROWD], polite=True)
        result |= {"overload": dataclasses.asdict(crowd), "accuracy": bench.accuracy()}
    finally:
        os.environ.clear()
        os.environ.update(environment)
        shutil.rmtree(home)
    return {
        "clients": CLIENTS,
        "cores": os.cpu_count(),
        "seconds": seconds,
        "rounds": rounds,
        **result,
        "versions": {
            "python": platform.python_version(),
            "bentoml": BENTOML,
            **{name: version(name) for name in ("mlflow", "onnxruntime", "torch")},
        },
    }


def shortfalls(result: dict[str, Any]) -> list[str]:
    """Which of the goals this run missed, one sentence each."""
    rows = {row["server"]: row for row in result["servers"]}
    own, mlflow = rows[SERVICE.name], rows[MLFLOW.name]
    found = []
    if mlflow["service_is_times"] < GOALS["times_mlflow"]:
        found.append(f"only {mlflow['service_is_times']} times {MLFLOW.name}")
    if own["p99_ms"] > mlflow["p99_ms"]:
        found.append(f"p99 {own['p99_ms']} ms against {mlflow['p99_ms']} ms")
    if result["share_of_limit"] < GOALS["share_of_limit"]:
        found.append(f"only {result['share_of_limit']:.0%} of the limit")
    if result["accuracy"]["points_lost"] > GOALS["points_lost"]:
        found.append(f"{result['accuracy']['points_lost']} points of accuracy lost")
    if result["overload"]["lost"]:
        found.append(f"{result['overload']['lost']} requests lost under overload")
    return found


def table(result: dict[str, Any]) -> Table:
    shown = Table("Server", "The service is", "Answers a second", "p50 ms", "p99 ms")
    for row in result["servers"]:
        figures = (row["per_second"], row["p50_ms"], row["p99_ms"])
        times = f"{row['service_is_times']} times"
        shown.add_row(row["server"], times, *(f"{figure:.1f}" for figure in figures))
    lost = result["accuracy"]["points_lost"]
    shown.caption = (
        f"{result['clients']} clients, {result['cores']} cores. "
        f"{result['share_of_limit']:.0%} of the bare loop's "
        f"{result['limit_per_second']:.0f} a second; {lost} points of accuracy lost."
    )
    return shown


def main(argv: Sequence[str] | None = None) -> None:
    parser = report.arguments(__doc__)
    parser.add_argument("--seconds", type=int, default=SECONDS, metavar="N")
    parser.add_argument("--rounds", type=int, default=ROUNDS, metavar="N")
    options = parser.parse_args(argv)
    source = Settings().data or "banking77"
    result = measure(source, options.seconds, options.rounds)
    report.publish("serving", result, table(result), as_json=options.json)
    if missed := shortfalls(result):
        sys.exit(f"benchmarks.serving: {'; '.join(missed)}")


if __name__ == "__main__":
    main()
