"""What the judge adds to the work itself: grading a container submission, against the same steps by hand.

By hand means a script that knows the right submission and believes it: `docker build` and `docker run` on
the same base image, requests from this machine to a published port, `docker exec` for the health check, the
same number of containers, builds and requests as the checks need, with the same waits. What the judge does
beside is its overhead: taking the files in, rewriting the Dockerfile, a prober beside each container in
place of a published port, watching limits, removing everything, a verdict, a cold process. Rounds alternate,
and the ratio is the median of the rounds' ratios.
"""

import json
import random
import re
import shutil
import statistics
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
from rich.progress import track
from rich.table import Table

from autograder import assignments
from autograder.engine import Engine
from autograder.verdict import Verdict
from benchmarks import report
from benchmarks.judged import PROGRAM
from triage import data

NAME = "containerise"
FOLDER = assignments.COURSE / "02-containerise"
REFERENCE = FOLDER / "submissions" / "reference"
ROUNDS = 5
GOAL = 0.15
ALONE, AT_ONCE, TIMES = 20, 32, 6  # requests of the checks on answers and on load
ROOMY = ("--memory", "1g")
SLOW = {"PREDICT_SECONDS": "0.5"}
VERY_SLOW = {"PREDICT_SECONDS": "1.5"}
NEVER_READY = {"LOAD_SECONDS": "3600"}
POLL = 0.05
SECONDS = 120
SECRET = uuid.uuid4().hex


class ByHand:
    """The steps that the checks ask for, one method each, in the order of the checks."""

    def __init__(self, engine: Engine, context: Path):
        self.engine = engine
        self.context = context
        self.tag = f"localhost/by-hand-{uuid.uuid4().hex[:12]}"
        drawn = random.Random(0).sample(
            data.load(data.TICKETS).test["text"].tolist(), 64
        )
        self.messages = drawn
        self.seconds: dict[str, float] = {}

    def all(self) -> None:
        try:
            for step in (self.build, self.look, self.serve, self.load_forever):
                self._timed(step)
            for step in (self.rebuild, self.stop, self.read_only, self.load):
                self._timed(step)
        finally:
            for tag in (self.tag, f"{self.tag}:again"):
                self._engine("rmi", "--force", "--no-prune=false", tag, check=False)

    def _timed(self, step: Any) -> None:
        start = time.monotonic()
        step()
        self.seconds[step.__name__] = time.monotonic() - start

    def build(self) -> None:
        self._engine("build", "--no-cache", *self._building(self.tag))

    def rebuild(self) -> None:
        with (self.context / "service.py").open("a") as file:
            file.write("\n# a change\n")
        self._engine("build", *self._building(f"{self.tag}:again"))

    def look(self) -> None:
        """Size, packages, and whether a secret of the build folder is in a layer."""
        self._engine("image", "inspect", self.tag)
        pip = ("--rm", "--network", "none", "--entrypoint", "pip")
        assert b"fastapi==" in self._engine("run", *pip, self.tag, "freeze")
        assert SECRET.encode() not in self._engine("save", self.tag)

    def serve(self) -> None:
        with self._running(*ROOMY) as (id, client):
            self._engine("exec", id, "id", "-u")
            assert self._well(id)
            for message in self.messages[:ALONE]:
                ask(client, message)

    def load_forever(self) -> None:
        ready = "/healthz"
        with self._running(*ROOMY, env=NEVER_READY, ready=ready) as (id, _):
            assert not self._well(id)

    def stop(self) -> None:
        with (
            self._running(*ROOMY, env=VERY_SLOW) as (id, client),
            ThreadPoolExecutor(1) as pool,
        ):
            answer = pool.submit(ask, client, self.messages[0])
            time.sleep(0.3)
            self._engine("stop", "--time", "10", id)
            answer.result()

    def read_only(self) -> None:
        with self._running(*ROOMY, "--read-only", "--tmpfs", "/tmp") as (_, client):
            ask(client, self.messages[0])

    def load(self) -> None:
        messages = self.messages[:AT_ONCE]
        limits = ("--memory", "256m", "--pids-limit", "128")
        with (
            self._running(*limits, env=SLOW) as (_, client),
            ThreadPoolExecutor(AT_ONCE) as pool,
        ):
            batch = {"messages": messages}
            client.post("/predict/batch", json=batch).raise_for_status()
            list(pool.map(lambda message: ask(client, message), messages * TIMES))

    def _building(self, tag: str) -> list[str]:
        return ["--network", "none", "--tag", tag, str(self.context)]

    def _well(self, id: str) -> bool:
        found = self._engine("inspect", "--format", "{{json .Config.Healthcheck}}", id)
        _, *command = json.loads(found)["Test"]
        completed = subprocess.run(
            [self.engine.program, "exec", id, *command], capture_output=True
        )
        return completed.returncode == 0

    @contextmanager
    def _running(
        self, *options: str, env: Mapping[str, str] = {}, ready: str = "/readyz"
    ) -> Iterator[tuple[str, httpx.Client]]:
        """A container and a client of it, once GET `ready` answers 200."""
        for name, value in env.items():
            options = (*options, "--env", f"{name}={value}")
        publish = ("--detach", "--publish", "127.0.0.1::8080")
        id = self._engine("run", *publish, *options, self.tag).decode().strip()
        try:
            port = self._engine("port", id, "8080/tcp").decode().strip()
            limits = httpx.Limits(max_connections=AT_ONCE)
            with httpx.Client(
                base_url=f"http://{port}", timeout=SECONDS, limits=limits
            ) as client:
                wait_until(client, ready)
                yield id, client
        finally:
            self._engine("rm", "--force", id)

    def _engine(self, *arguments: str, check: bool = True) -> bytes:
        completed = subprocess.run(
            [self.engine.program, *arguments], capture_output=True, timeout=SECONDS
        )
        if check and completed.returncode:
            raise RuntimeError(f"{arguments}: {completed.stderr.decode()[-1000:]}")
        return completed.stdout


def ask(client: httpx.Client, message: str) -> None:
    client.post("/predict", json={"message": message}).raise_for_status()


def wait_until(client: httpx.Client, path: str) -> None:
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        try:
            if client.get(path).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(POLL)
    raise TimeoutError(f"{path} never answered 200")


@contextmanager
def build_folder(engine: Engine) -> Iterator[Path]:
    """The reference with the files it is given, as somebody would build it here."""
    assignment = assignments.load(FOLDER)
    with tempfile.TemporaryDirectory(prefix="the-pivot-by-hand-") as temporary:
        context = Path(temporary) / "context"
        shutil.copytree(REFERENCE, context)
        for path in assignment.given:
            shutil.copy(FOLDER.parent / path, context)
        dockerfile = context / "Dockerfile"
        base = re.sub(
            r"(?m)^FROM python:3.11-slim", f"FROM {engine.base}", dockerfile.read_text()
        )
        dockerfile.write_text(base)
        (context / ".env").write_text(f"TOKEN={SECRET}\n")
        yield context


def by_hand() -> tuple[float, dict[str, float]]:
    """Seconds in all and by step."""
    with ExitStack() as stack:
        engine = stack.enter_context(Engine.connect())
        hand = ByHand(engine, stack.enter_context(build_folder(engine)))
        start = time.monotonic()
        hand.all()
        return time.monotonic() - start, hand.seconds


def judged() -> tuple[float, Verdict]:
    """Seconds that `autograder grade` takes for the reference, and its verdict."""
    start = time.monotonic()
    completed = subprocess.run(
        [str(PROGRAM), "grade", "--json", "--assignment", NAME, str(REFERENCE)],
        env=report.environment(PROGRAM.parent),
        capture_output=True,
        text=True,
    )
    seconds = time.monotonic() - start
    if completed.returncode:
        raise RuntimeError(f"autograder grade failed:\n{completed.stderr}")
    verdict = Verdict.model_validate_json(completed.stdout)
    if verdict.points != verdict.max_points:
        lost = [
            check.seen for check in verdict.checks if check.points < check.max_points
        ]
        raise RuntimeError(f"the reference did not get full marks: {lost}")
    return seconds, verdict


def measure(rounds: int = ROUNDS) -> dict[str, Any]:
    pairs = []
    for _ in track(range(rounds), "Grading", transient=True):
        hand, steps = by_hand()
        judge, verdict = judged()
        pairs.append((hand, judge, steps, verdict))
    ratios = [judge / hand for hand, judge, _, _ in pairs]
    _, _, steps, verdict = pairs[-1]
    return {
        "rounds": rounds,
        "seconds_by_hand": round(statistics.median(pair[0] for pair in pairs), 2),
        "seconds_judged": round(statistics.median(pair[1] for pair in pairs), 2),
        "ratio": round(statistics.median(ratios), 3),
        "ratios": [round(ratio, 3) for ratio in ratios],
        "goal": 1 + GOAL,
        "by_hand": {name: round(value, 2) for name, value in steps.items()},
        "checks": {check.id: round(check.seconds, 2) for check in verdict.checks},
    }


def table(result: dict[str, Any]) -> Table:
    shown = Table("", "Seconds", "Ratio")
    shown.add_row("by hand", f"{result['seconds_by_hand']:.1f}", "1")
    shown.add_row(
        "the judge", f"{result['seconds_judged']:.1f}", f"{result['ratio']:.2f}"
    )
    return shown


def main(argv: Sequence[str] | None = None) -> None:
    parser = report.arguments(__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS, metavar="N")
    options = parser.parse_args(argv)
    result = measure(options.rounds)
    report.publish("containers", result, table(result), as_json=options.json)


if __name__ == "__main__":
    main()
