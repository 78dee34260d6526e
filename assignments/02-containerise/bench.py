"""The learner's image and the containers it is run in, and what is known about the model.

Each context manager that takes only `work` is for `work.shared`: made at the first check that asks, for all.
"""

import json
import random
import shutil
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autograder.engine import Container, Image, State, Stopped
from autograder.errors import InfrastructureError, LearnerError
from autograder.probes import image as image_probe
from autograder.probes.container import Watch, probing
from autograder.probes.http import (
    Answer,
    ContainerClient,
    Failure,
    Request,
    container_client,
)
from autograder.probes.image import Contents, Layer
from autograder.work import Work

from .reference import tickets

PORT = 8080
ANYWHERE = ("0.0.0.0", "::")
USUAL_SECONDS = 1.0  # a service listens by then; only after that the engine is asked, which takes 0.3
READY_SECONDS = 30.0  # importing a framework on a busy machine takes a few
MEMORY, PIDS = "192m", 128  # what the contract promises the container
ROOMY: dict[str, Any] = {"memory": "1g", "pids": 512, "read_only": False}
BUILD_SECONDS = 200.0
LOADED, LOADING = (
    {"LOAD_SECONDS": "0"},
    {"LOAD_SECONDS": "3600"},
)  # beyond any check's end
PREDICT_SECONDS = 1.5
GRACE = 10.0  # docker's
LOAD_PREDICT_SECONDS = 0.5
TIMES = 3  # that each message is sent under load

# Columns of the kernel's table: 3 is the state (0A: listening), 7 the owner.
SOCKET_OWNERS = """
import json, pathlib
tables = [pathlib.Path("/proc/net", name) for name in ("tcp", "tcp6")]
rows = [line.split() for table in tables if table.exists()
        for line in table.read_text().splitlines()[1:]]
print(json.dumps(sorted({int(row[7]) for row in rows if row[3] == "0A"})))
"""


# --- messages ---


def draw_messages(source: random.Random, count: int) -> list[str]:
    """Messages nobody has seen: a ticket and a number."""
    drawn = source.sample(tickets(), count)
    return [f"{ticket} {source.randint(1000, 9999)}" for ticket in drawn]


# --- the image ---


@dataclass(frozen=True)
class Built:
    """`planted`: the secret values that lay in the build context, by the file they stood in."""

    image: Image
    context: Path
    planted: dict[str, str]


@contextmanager
def built(work: Work) -> Iterator[Built]:
    """The image, from a folder like those people build in: with secrets lying about."""
    with tempfile.TemporaryDirectory(prefix="the-pivot-") as temporary:
        context = Path(temporary) / "context"
        shutil.copytree(work.folder, context)
        planted = plant(context, random.Random(f"{work.seed}/planted"))
        image = work.engine.build(context, seconds=BUILD_SECONDS)
        work.image = image.id
        yield Built(image, context, planted)


def plant(context: Path, source: random.Random) -> dict[str, str]:
    """Lay secrets into a folder; the values by file."""
    values = {
        name: f"{source.getrandbits(160):040x}"
        for name in (".env", ".git/config", "id_rsa")
    }
    texts = {
        ".env": f"REGISTRY_TOKEN={values['.env']}\n",
        ".git/config": '[remote "origin"]\n'
        f"\turl = https://ci:{values['.git/config']}@git.example.com/triage.git\n",
        "id_rsa": "-----BEGIN OPENSSH PRIVATE KEY-----\n"
        f"{values['id_rsa']}\n-----END OPENSSH PRIVATE KEY-----\n",
    }
    for name, text in texts.items():
        (context / name).parent.mkdir(exist_ok=True)
        (context / name).write_text(text)
    return values


@contextmanager
def layers(work: Work) -> Iterator[dict[str, Layer]]:
    """The layers of the image, and of the one rebuilt if that was possible; reading them takes seconds."""
    built_image = work.shared(built)
    images = [built_image.image]
    with suppress(LearnerError):  # which the check on the rebuilt image will say
        images.append(work.shared(rebuilt))
    texts = [*built_image.planted.values(), fix(work)]
    yield image_probe.read(work.engine, *images, texts=texts)


def contents(work: Work) -> Contents:
    """The files of the image and the secrets in them."""
    built_image = work.shared(built)
    planted = built_image.planted.values()
    return image_probe.contents(built_image.image, work.shared(layers), planted)


@contextmanager
def rebuilt(work: Work) -> Iterator[Image]:
    """The image built again after a change of one line of service.py, which ends in `fix(work)`."""
    context = work.shared(built).context
    with (context / "service.py").open("a") as code:
        code.write(f"\n# {fix(work)}\n")
    left = work.deadline - time.monotonic() + BUILD_SECONDS / 2
    yield work.engine.build(context, seconds=max(1.0, min(BUILD_SECONDS, left)))


def fix(work: Work) -> str:
    """A text that stands in the changed service.py and nowhere else."""
    return f"A fix: {random.Random(f'{work.seed}/fix').getrandbits(160):040x}"


# --- a running container ---


@dataclass(frozen=True)
class Service:
    """A container whose service is ready. `address`: where it listens. `seconds`: from start to ready."""

    container: Container
    client: ContainerClient
    address: tuple[str, int]
    seconds: float

    def ask(self, message: str) -> str:
        """The intent of a message. Raises LearnerError if there is none."""
        return intent(self.client.post_json("/predict", {"message": message}))


def intent(answer: Answer | Failure) -> str:
    """The intent in an answer to /predict. Raises LearnerError if there is none."""
    return _text(_object(answer).get("intent"))


def intents_in(answer: Answer | Failure) -> list[str]:
    """The intents in an answer to /predict/batch. Raises LearnerError if there are none."""
    match _object(answer):
        case {"predictions": [*predictions]}:
            return [
                _text(one.get("intent")) for one in predictions if isinstance(one, dict)
            ]
    return []


def _text(intent: Any) -> str:
    """Short, and such that a verdict can hold it: JSON allows half a character, UTF-8 does not."""
    return str(intent)[:100].encode(errors="replace").decode()


def _object(answer: Answer | Failure) -> dict[str, Any]:
    if isinstance(answer, Failure):
        raise answer.error()
    try:
        body = answer.json()
    except ValueError:
        body = None
    if answer.status != 200 or not isinstance(body, dict):
        raise LearnerError(
            f"An ordinary message got an answer with status {answer.status} that is no prediction.",
            'POST {"message": "Where is my parcel?"} to /predict of the container and read its log.',
        )
    return body


@contextmanager
def running(work: Work, **options: Any) -> Iterator[Service]:
    """The image in a container of its own, once it is ready. `options` are those of Engine.run.

    Raises LearnerError if it ends, listens nowhere or does not become ready.
    """
    with started(work, **options) as (container, client, address, begin):
        wait_until_ready(client)
        yield Service(container, client, address, time.monotonic() - begin)


def wait_until_ready(client: ContainerClient) -> None:
    try:
        client.wait_until("/readyz", 200, READY_SECONDS)
    except LearnerError as error:
        raise LearnerError(
            error.seen,
            f"{error.advice} The service logs why it has no model: is there one where MODEL_PATH says?",
        ) from error


@contextmanager
def started(
    work: Work, **options: Any
) -> Iterator[tuple[Container, ContainerClient, tuple[str, int], float]]:
    """A container that listens, a client for wherever that is, the address, and when it was started."""
    image = work.shared(built).image
    chance = random.Random(f"{work.seed}/client")
    with ExitStack() as stack:
        begin = time.monotonic()
        container = stack.enter_context(work.engine.run(image, **options))
        client = stack.enter_context(
            container_client(work.engine, container, PORT, chance)
        )
        address = first_listener(container, client)
        if address[1] != PORT or address[0] not in ANYWHERE:
            client = stack.enter_context(client_at(work, container, address, chance))
        yield container, client, address, begin


def first_listener(container: Container, client: ContainerClient) -> tuple[str, int]:
    """Where the container listens; if in several places, where it should. Raises LearnerError."""
    gone = Watch(container)
    begin = time.monotonic()
    while time.monotonic() < begin + READY_SECONDS:
        listening = client.listening()
        for address in [*((host, PORT) for host in ANYWHERE), *listening]:
            if address in listening:
                return address
        if time.monotonic() > begin + USUAL_SECONDS and (error := gone()):
            raise error
        time.sleep(0.05)
    raise LearnerError(
        f"Nothing in the container listened on any port within {READY_SECONDS:g} s.",
        "Let CMD start Uvicorn with `service:app`, and read what the container logs.",
    )


@contextmanager
def client_at(
    work: Work, container: Container, address: tuple[str, int], chance: random.Random
) -> Iterator[ContainerClient]:
    """A client for a service that nobody outside its container could reach, or that has another port."""
    host = "127.0.0.1" if address[0] in ANYWHERE else address[0]
    with probing(work.engine, container, host, address[1]) as prober:
        yield ContainerClient(
            prober,
            f"port {address[1]}",
            f"localhost:{address[1]}",
            chance,
            Watch(container),
        )


def users(work: Work, container: Container) -> set[int]:
    """The users that the container's listening sockets belong to, as its kernel has them; at least one.

    All capabilities are dropped and new privileges are barred, so no process can change its user: whoever
    opened a socket is who process 1 was started as.
    """
    network = f"container:{container.id}"
    command = ["python3", "-I", "-c", SOCKET_OWNERS]
    with work.engine.attached(work.engine.base, command, network=network) as process:
        output, complaints = process.communicate(timeout=60)
    found = json.loads(output or "[]")
    if not found:
        complaint = complaints.decode(errors="replace")[-200:]
        raise Watch(container)() or InfrastructureError(
            f"The container's socket table names no owner: {complaint}"
        )
    return set(found)


# --- the situations it is put into ---


@contextmanager
def normal(work: Work) -> Iterator[Service]:
    """With room to spare, so that a check that looks at one thing is not disturbed by another."""
    with running(work, **ROOMY) as service:
        yield service


@contextmanager
def still_loading(work: Work) -> Iterator[Container]:
    """A service that is alive and not ready: its model takes an hour to load."""
    with started(work, env=LOADING, **ROOMY) as (container, client, _, _):
        client.wait_until("/healthz", 200, READY_SECONDS)
        if client.get("/readyz").status == 200:
            raise LearnerError(
                "The service was ready at once although LOAD_SECONDS made its model load for an hour.",
                "Start the given service as it is, with the environment that the container gets.",
            )
        yield container


def stop_while_predicting(work: Work) -> tuple[Answer | Failure, Stopped]:
    """The answer to a message being computed when the stop signal came, and how the container ended."""
    message = draw_messages(random.Random(f"{work.seed}/stop"), 1)[0]
    env = {"PREDICT_SECONDS": str(PREDICT_SECONDS)}
    asking = Request.post_json("/predict", {"message": message}, seconds=GRACE)
    with running(work, env=env, **ROOMY) as service, ThreadPoolExecutor(1) as pool:
        answers = pool.submit(service.client.many, [asking], 1)
        time.sleep(0.3)
        # What was sent after the message has been answered: the message has been accepted.
        service.client.get("/healthz")
        stopped = service.container.stop(GRACE)
        return answers.result()[0], stopped


@dataclass(frozen=True)
class Load:
    """`batch`: the answer to messages sent in one request. `each`: to one request a message, many times."""

    batch: Answer | Failure
    each: list[Answer | Failure]
    state: State


def under_load(work: Work, messages: list[str]) -> Load:
    """Within the contract's limits. Slow predictions keep all processes of the service busy all the time."""
    env = {"PREDICT_SECONDS": str(LOAD_PREDICT_SECONDS)}
    limits = {"memory": MEMORY, "pids": PIDS, "read_only": False}
    asking = [Request.post_json("/predict", {"message": text}) for text in messages]
    together = Request.post_json("/predict/batch", {"messages": messages})
    with running(work, env=env, **limits) as service:
        [batch] = service.client.many([together], 1)
        each = service.client.many(asking * TIMES, len(asking))
        return Load(batch, each, service.container.state())
