"""The agent's image for real: a ticket, a model that is slow, SIGTERM in the middle, and nothing lost."""

import json
import shutil
from pathlib import Path

import pytest

from autograder.engine import Engine, Image
from pivot.images import Workbench
from triage.deploy.agent import policy

ROOT = Path(__file__).parents[4]
FOLDER = Path(policy.__file__).parent

pytestmark = [pytest.mark.needs("podman"), pytest.mark.slow]

# All of it in one container without a network: a slow endpoint, a worker, and who looks after them.
WHOLE = """
import json, os, signal, subprocess, sys, threading, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from triage.agent.desk import Desk, Order
from triage.agent.inbox import Inbox

asked, go = threading.Event(), threading.Event()
class Slow(BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        asked.set()
        go.wait(60)
        function = {"name": "refund",
                    "arguments": json.dumps({"order": "LR-48231", "reason": "damaged"})}
        call = {"id": "c1", "type": "function", "function": function}
        message = {"role": "assistant", "content": "", "tool_calls": [call]}
        body = json.dumps({
            "id": "1", "object": "chat.completion", "created": 0, "model": "small",
            "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}],
            "usage": {"prompt_tokens": 9, "completion_tokens": 9, "total_tokens": 18},
        }).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *arguments): pass

server = ThreadingHTTPServer(("127.0.0.1", 9000), Slow)
threading.Thread(target=server.serve_forever, daemon=True).start()
home = Path("/tmp/data")
home.mkdir()
desk = Desk.create(home / "desk.db", orders=0)
desk.add(Order("LR-48231", "C-1", "lamp", 2500, "packed", "Monday", held=False))
(home / "routes.json").write_text('[{"name": "small", "read": 1, "written": 4}]')
inbox = Inbox(home / "inbox.db", lease=3)
for ticket, text in (("t-1", "LR-48231 is broken, I want my money back."),
                     ("t-2", "I cannot log in.")):
    inbox.put(ticket, "C-1", text)

def worker(grace):
    return subprocess.Popen(
        [sys.executable, "-m", "triage.agent.worker", str(home), "--triage",
         "http://127.0.0.1:1", "--routes", str(home / "routes.json"), "--grace", grace],
        env=os.environ | {"OPENAI_BASE_URL": "http://127.0.0.1:9000/v1",
                          "OPENAI_API_KEY": "none"})

first = worker("0.2")  # too short for what it has
assert asked.wait(180), f"no call came; the worker: {first.poll()}"
first.send_signal(signal.SIGTERM)
left = first.wait(30)
state = inbox.counts()
inbox.clock = lambda: time.time() + 120
asked.clear()
job = inbox.take()     # its lease has run out
inbox.clock = time.time
inbox.give_back(job)
second = worker("30")
assert asked.wait(180), f"no second call came; the worker: {second.poll()}"
second.send_signal(signal.SIGTERM)
time.sleep(0.3)
go.set()
ended = second.wait(60)
print(json.dumps({"uid": os.getuid(), "left": left, "taken": state["taken"],
    "ended": ended, "endings": [e[:3] for e in inbox.endings()],
    "counts": inbox.counts(), "effects": [e.kind for e in desk.effects()]}))
"""


@pytest.fixture(scope="module")
def image(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Image:
    context = tmp_path_factory.mktemp("checkout")
    shutil.copytree(
        ROOT / "triage",
        context / "triage",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    shutil.copy(ROOT / "requirements.lock", context)
    shutil.copy(FOLDER / "Dockerfile", context)
    lines = (FOLDER / "requirements.txt").read_text().splitlines()
    packages = [line for line in lines if not line.startswith("#")]
    packages.append("cryptography")  # of mcp's pyjwt[crypto]: extras are not followed
    return Workbench(engine, packages).build(context, "agent").image


def test_it_loses_nothing_when_it_is_stopped(engine: Engine, image: Image) -> None:
    with engine.run(image, command=("sleep", "600")) as container:
        said = engine.cli.tell("exec", container.id, "python", "-c", WHOLE, seconds=500)
    found = json.loads(said.strip().splitlines()[-1])
    assert found == {
        "uid": 10001,
        "left": 1,
        "taken": 1,
        "ended": 0,
        "endings": [["t-1", "done", "refunded 25.00"]],
        "counts": {"waiting": 1, "taken": 0, "done": 1, "person": 0},
        "effects": ["hold", "refund"],
    }


def test_no_model_is_in_it(engine: Engine, image: Image) -> None:
    names = (
        "import importlib.metadata as m; print(*[d.name for d in m.distributions()])"
    )
    with engine.run(image, command=("sleep", "60")) as container:
        said = engine.cli.tell("exec", container.id, "python", "-c", names)
    found = set(said.lower().split())
    assert "langgraph" in found
    assert not found & {"torch", "transformers", "onnxruntime", "mlflow", "pandas"}
