"""The comparison of servers: the load generator on small servers, the arithmetic on made-up loads."""

import dataclasses
import http.server
import itertools
import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks import report, servers, serving, wrk
from benchmarks.servers import MLFLOW, OTHERS, SERVICE, Server
from benchmarks.wrk import Load

CALM = Load(32, 700.0, 40.0, 60.0, refused=0, lost=0)


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers messages, and does what a message asks for."""

    protocol_version = "HTTP/1.1"
    seen: list[dict]

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.seen.append(body)
        status = {"refuse": 503, "fail": 500}.get(body["message"], 200)
        self.send_response(status if self.path == "/predict" else 404)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def seen() -> list[dict]:
    return []


@pytest.fixture
def url(seen: list[dict]) -> Iterator[str]:
    handler = type("Handler", (Handler,), {"seen": seen})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def bodies(folder: Path, *messages: str) -> Path:
    servers.write_bodies(SERVICE, list(messages), folder / "bodies")
    return folder / "bodies"


needs_wrk = pytest.mark.needs("wrk")


@needs_wrk
def test_every_message_is_asked_in_turn(url, seen, tmp_path: Path) -> None:
    load = wrk.load(url, "/predict", bodies(tmp_path, 'say "é"', "b"), 1, seconds=1)
    assert load.clients == 1
    assert load.per_second > 0
    assert (load.refused, load.lost) == (0, 0)
    assert 0 < load.p50_ms <= load.p99_ms
    asked = [body["message"] for body in seen]
    assert {*asked[0::2]} | {*asked[1::2]} == {'say "é"', "b"}
    assert all(one != other for one, other in itertools.pairwise(asked))


@needs_wrk
@pytest.mark.parametrize(("message", "path"), [("fail", "/predict"), ("a", "/other")])
def test_wrong_answers_are_no_throughput(url, tmp_path, message, path) -> None:
    with pytest.raises(RuntimeError, match="did not answer with 200"):
        wrk.load(url, path, bodies(tmp_path, message), 1, seconds=1)


@needs_wrk
def test_a_polite_client_waits_and_an_impolite_one_is_an_error(
    url, seen, tmp_path: Path
) -> None:
    file = bodies(tmp_path, "a", "refuse")
    with pytest.raises(RuntimeError):
        wrk.load(url, "/predict", file, 2, seconds=1)
    seen.clear()
    load = wrk.load(url, "/predict", file, 2, seconds=1, polite=True)
    assert 0 < load.refused <= 6  # each sends a client away for a second
    assert load.lost == 0
    assert len(seen) < 20


def test_a_missing_load_generator_says_how_to_get_it(monkeypatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(SystemExit, match="apt-get install wrk"):
        wrk.found()


def test_a_server_that_does_not_start_shows_its_log(tmp_path: Path) -> None:
    broken = Server("broken", ("python", "-c", "raise SystemExit('no model')"))
    with (
        pytest.raises(RuntimeError, match=r"broken did not start[\s\S]*no model"),
        servers.running(broken, tmp_path),
    ):
        raise AssertionError("unreachable")


def test_a_server_and_its_children_are_gone_afterwards(tmp_path: Path) -> None:
    program = (
        "import subprocess, sys; "
        "subprocess.run([sys.executable, '-m', 'http.server', sys.argv[-1]])"
    )
    nested = Server("nested", ("python", "-c", program))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(servers, "wait_for", lambda *_: None)
        patch.setattr(servers.subprocess, "Popen", remember := Remember())
        with servers.running(nested, tmp_path):
            (process,) = remember.started
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)


class Remember:
    """subprocess.Popen that keeps what it started."""

    def __init__(self) -> None:
        self.started: list = []
        self.start = servers.subprocess.Popen

    def __call__(self, *args, **options):
        self.started.append(self.start(*args, **options))
        return self.started[-1]


class Made:
    """A bench whose loads are written down beforehand, in the order they are asked for."""

    def __init__(self, *per_second: float):
        self.left = iter(per_second)

    def limit(self) -> float:
        return 1_000.0

    def ask(self, server: Server, clients, polite: bool = False) -> list[Load]:
        return [dataclasses.replace(CALM, per_second=next(self.left)) for _ in clients]


def test_every_server_is_compared_with_the_service_beside_it() -> None:
    others = OTHERS[:2]
    seen = serving.one_round(Made(800, 100, 600, 50, 400), others)
    rows = list(seen["others"].values())
    assert [row["service_is_times"] for row in rows] == [7.0, 10.0]
    assert seen["share_of_limit"] == pytest.approx(0.6)
    result = serving.summary([seen], others)
    assert [row["server"] for row in result["servers"]] == [
        SERVICE.name,
        *(server.name for server in others),
    ]


def test_the_middle_round_counts() -> None:
    rounds = [
        serving.one_round(Made(own, 100, own), OTHERS[:1]) for own in (500, 900, 600)
    ]
    result = serving.summary(rounds, OTHERS[:1])
    assert result["share_of_limit"] == 0.6
    assert result["servers"][1]["service_is_times"] == 6.0


GOOD = {
    "clients": 32,
    "cores": 2,
    "share_of_limit": 0.8,
    "limit_per_second": 1_000.0,
    "servers": [
        {
            "server": SERVICE.name,
            "service_is_times": 1.0,
            "per_second": 800.0,
            "p50_ms": 40.0,
            "p99_ms": 60.0,
        },
        {
            "server": MLFLOW.name,
            "service_is_times": 8.0,
            "per_second": 100.0,
            "p50_ms": 300.0,
            "p99_ms": 400.0,
        },
    ],
    "accuracy": {"points_lost": 0.2},
    "overload": {"lost": 0},
}


def spoilt(*path: str | int, value: float) -> dict:
    result = json.loads(json.dumps(GOOD))
    place = result
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    return result


@pytest.mark.parametrize(
    ("result", "complaint"),
    [
        (spoilt("servers", 1, "service_is_times", value=4.9), "only 4.9 times mlflow"),
        (spoilt("servers", 0, "p99_ms", value=401.0), "p99 401"),
        (spoilt("share_of_limit", value=0.69), "69% of the limit"),
        (spoilt("accuracy", "points_lost", value=0.31), "0.31 points"),
        (spoilt("overload", "lost", value=1), "1 requests lost"),
    ],
)
def test_a_missed_goal_makes_the_benchmark_fail(
    result, complaint, tmp_path, monkeypatch, capsys
) -> None:
    assert serving.shortfalls(GOOD) == []
    monkeypatch.setattr(report, "RESULTS", tmp_path)
    monkeypatch.setattr(serving, "measure", lambda *_: result)
    with pytest.raises(SystemExit, match=complaint):
        serving.main(["--json"])
    assert json.loads(capsys.readouterr().out) == result
    assert json.loads((tmp_path / "serving.json").read_text()) == result


def test_people_get_a_table(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(report, "RESULTS", tmp_path)
    monkeypatch.setattr(serving, "measure", lambda *_: GOOD)
    serving.main([])
    shown = capsys.readouterr().out
    assert MLFLOW.name in shown
    assert "8.0 times" in shown


def test_the_bare_loop_counts_what_it_computed() -> None:
    computed: list[int] = []
    lock = threading.Lock()

    def compute(batch: list[list[int]], width: int) -> np.ndarray:
        assert width == 0
        assert max(map(len, batch)) - min(map(len, batch)) <= 2  # sorted by length
        with lock:
            computed.append(len(batch))
        return np.zeros((len(batch), 2))

    lengths = [[1] * (1 + number % 7) for number in range(200)]
    model = SimpleNamespace(tokens=lambda _: lengths, compute=compute)
    speed = serving.bare_loop(model, [], seconds=0.1)
    assert 0 < speed * 0.1 <= sum(computed)
