"""The services under test, started the way an operator starts them, and what the judge knows of the model.

Each context manager is for `work.shared`: its service starts at the first check that asks, and serves all.
"""

import random
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from autograder.errors import LearnerError
from autograder.probes.http import (
    Answer,
    Client,
    Failure,
    Piece,
    Request,
    unix_client,
)
from autograder.sandbox import Running
from autograder.work import Work

from .reference import WEIGHTS, intents, tickets

MODEL = "model.safetensors"
MESSAGE = "Where is my parcel?"
JSON = {"Content-Type": "application/json"}
COMMAND = (
    *("python", "-m", "uvicorn", "service:app"),
    *("--uds", "/run/judge/service.sock"),
)
START_SECONDS = (
    20  # for the first answer; importing a framework on a busy machine takes a few
)
LOADED_SECONDS = (
    8  # for a model to be there, after the first answer or its LOAD_SECONDS
)
PREDICT_SECONDS = 1.0
AT_ONCE = 5  # predictions in a burst
GAP = 0.02  # seconds from one to the next, far less than a prediction takes
MOST = 0.6  # of the time of predictions that /healthz may keep one waiting; a blocked loop takes it all
STOP_SECONDS = 6
PLACE = "weights-2026-04"  # a folder of the operator's that no client should read of


# --- messages ---


def draw_message(source: random.Random) -> str:
    """A message nobody has seen: two customers cut off in mid-sentence, and a number."""
    halves = [ticket.split() for ticket in source.sample(tickets(), 2)]
    words = [
        word for half in halves for word in half[: source.randint(3, max(3, len(half)))]
    ]
    return f"{' '.join(words)} {source.randint(1000, 9999)}"


def draw_messages(source: random.Random, count: int) -> list[str]:
    """As many messages, each of another intent, so that no two answers can be taken for each other."""
    messages: dict[str, str] = {}
    while len(messages) < count:
        message = draw_message(source)
        messages.setdefault(intents([message])[0], message)
    return list(messages.values())


# --- a running service ---


@dataclass(frozen=True)
class Service:
    client: Client
    program: Running
    started: float  # on the clock of time.monotonic
    up: float  # seconds from the start to the first answer

    @property
    def age(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.started

    def ask(self, message: str) -> Answer:
        return self.client.post_json("/predict", {"message": message})


@contextmanager
def running(
    work: Work, *, folder: Path | None = None, **env: object
) -> Iterator[Service]:
    """A started service that has answered for the first time. Raises LearnerError if none does."""
    variables = {
        "MODEL_PATH": MODEL,
        "OPENBLAS_NUM_THREADS": "1",  # threads count against the sandbox's limit
        **{name: str(value) for name, value in env.items()},
    }
    with tempfile.TemporaryDirectory(prefix="pivot-") as sockets:
        started = time.monotonic()
        with work.sandbox.start(
            COMMAND,
            folder=folder or work.folder,
            sockets=Path(sockets),
            env=variables,
        ) as program:
            client = unix_client(
                Path(sockets) / "service.sock",
                random.Random(f"{work.seed}/clients"),
                gone=lambda: None if program.alive else stopped(program),
            )
            first_answer(client, program, started + START_SECONDS)
            yield Service(client, program, started, time.monotonic() - started)


def first_answer(client: Client, program: Running, deadline: float) -> None:
    while True:
        try:
            client.get("/healthz", seconds=1)
            return
        except LearnerError as error:
            if not program.alive:
                raise stopped(program) from error
            if time.monotonic() > deadline:
                raise LearnerError(
                    f"The service did not answer within {START_SECONDS} s: {error.seen}",
                    "Nothing may keep Uvicorn from opening its socket: "
                    "look at what runs at import and before the `yield` of lifespan.",
                ) from error
        time.sleep(0.02)


def stopped(program: Running) -> LearnerError:
    """How it has ended, with the last line it wrote: most often the exception.

    Raises InfrastructureError if it was not even started.
    """
    status = program.wait(0)
    how = f"with status {status}"
    if program.stopped:
        how = f"because it was over its limit of {program.stopped}"
    lines = program.output().decode(errors="replace").splitlines()
    said = next((line.strip() for line in reversed(lines) if line.strip()), "")
    return LearnerError(
        f"The service has ended {how}{f' ({said[:200]})' if said else ''}.",
        "Run `python -m uvicorn service:app` in the folder of service.py and read what it says.",
    )


def wait_for(condition: Callable[[], bool], seconds: float) -> bool:
    """Whether the condition came true in time; one more look is taken at the end."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.05)
    return condition()


# --- requests that a client would not send so easily ---


def prediction(message: str) -> Request:
    """A request that may take its time."""
    return Request.post_json("/predict", {"message": message}, seconds=30)


def post_bytes(client: Client, body: bytes) -> Answer:
    return client.request("POST", "/predict", body, JSON)


def post_chunks(client: Client, body: bytes, *, end: bool = True) -> Answer:
    """An upload without a Content-Length. Without an end, the client falls silent and waits."""
    pieces = [Piece(body[at : at + 4096]) for at in range(0, len(body), 4096)]
    if not end:
        pieces.append(Piece(b" ", pause=60))
    return client.request("POST", "/predict", pieces, JSON, seconds=5 if end else 3)


# --- the situations it is put into ---


@contextmanager
def normal(work: Work) -> Iterator[Service]:
    """The given model, nothing slow, loaded as far as an answer to /predict can tell."""
    with running(work) as service:

        def loaded() -> bool:
            return service.ask(MESSAGE).status != 503

        with suppress(LearnerError):  # a check will meet the same and say so
            wait_for(loaded, LOADED_SECONDS)
        yield service


@dataclass(frozen=True)
class Seen:
    """One question to a service that may still be loading, on the service's own clock."""

    asked: float
    answered: float
    answer: Answer | None
    trouble: str = ""  # why there is no answer


@dataclass
class Loading:
    service: Service
    load_seconds: float  # before that, no model can be there
    seen: dict[str, Seen] = field(default_factory=dict)

    def early(self, path: str) -> bool:
        """Whether the question about this path was put while the model was being loaded."""
        return self.seen[path].asked < self.load_seconds

    def kept(self, path: str) -> bool:
        """Whether it answered 503, as it should, if it could be asked while the model was being loaded."""
        answer = self.seen[path].answer
        return not self.early(path) or (answer is not None and answer.status == 503)

    def look(self, path: str, ask: Callable[[], Answer]) -> None:
        asked = self.service.age
        answer, trouble = None, ""
        try:
            answer = ask()
        except LearnerError as error:
            trouble = error.seen
        self.seen[path] = Seen(asked, self.service.age, answer, trouble)


@contextmanager
def slow_loading(work: Work) -> Iterator[Loading]:
    """A model that takes seconds to load, and what the service answered in the meantime.

    How many seconds depends on how long this service takes to start on this machine now. A service that does
    not answer in time is given a second chance: the machine may have been busy with something else.
    """
    load_seconds = 3 * work.shared(normal).up + 1
    with ExitStack() as stack:
        for _ in range(2):
            attempt = running(work, LOAD_SECONDS=load_seconds)
            service = stack.enter_context(attempt)
            if service.up < load_seconds:
                break
        loading = Loading(service, load_seconds)
        client = service.client
        loading.look("/healthz", lambda: client.get("/healthz"))
        loading.look("/readyz", lambda: client.get("/readyz"))
        loading.look("/predict", lambda: service.ask(MESSAGE))
        yield loading


@dataclass(frozen=True)
class Busy:
    """A service whose predictions block for PREDICT_SECONDS: under a burst, then told to stop."""

    messages: list[str]
    answers: list[Answer | Failure]
    seconds: float  # until the last of them
    health_share: float  # of that time, spent waiting for GET /healthz
    last_message: str
    last: Answer | Failure  # to what was being computed when SIGTERM came
    status: int | None  # exit status; None: it was still running STOP_SECONDS later


@contextmanager
def slow_predicting(work: Work) -> Iterator[Busy]:
    source = random.Random(f"{work.seed}/slow_predicting")
    # Longest first: a service that sorts its batches, as one does to pad less, has to put them back in order.
    messages = sorted(draw_messages(source, AT_ONCE), key=len, reverse=True)
    last_message = draw_message(source)
    with running(work, PREDICT_SECONDS=PREDICT_SECONDS) as service:
        answers, seconds, share = burst(service, messages)
        while too_early(answers) and service.age < service.up + LOADED_SECONDS:
            answers, seconds, share = burst(service, messages)
        if share > MOST:  # perhaps the machine was busy: look again, briefly
            share = min(share, burst(service, messages[:2])[2])
        last, status = stop_while_predicting(service, last_message)
        yield Busy(messages, answers, seconds, share, last_message, last, status)


def burst(
    service: Service, messages: list[str]
) -> tuple[list[Answer | Failure], float, float]:
    """Answers to all messages at once, seconds until the last, and what share of them /healthz took."""
    begin = time.monotonic()
    with ThreadPoolExecutor(1) as pool:
        answers = pool.submit(in_turn, service, messages)
        time.sleep(0.1 + GAP * len(messages))  # the service has them by now
        watched, waited = time.monotonic(), 0.0
        while not answers.done():
            waited += service.client.get("/healthz", seconds=20).seconds
            wait([answers], timeout=0.1)
    end = time.monotonic()
    return answers.result(), end - begin, waited / (end - watched)


def in_turn(service: Service, messages: list[str]) -> list[Answer | Failure]:
    """Answers to messages that wait together, and that came in this order even on a busy machine."""
    with ThreadPoolExecutor(len(messages)) as pool:
        asked = []
        for message in messages:
            asked.append(pool.submit(service.client.many, [prediction(message)], 1))
            time.sleep(GAP)
        return [answer for one in asked for answer in one.result()]


def too_early(answers: list[Answer | Failure]) -> bool:
    """Whether the model was not loaded yet."""
    return any(isinstance(one, Answer) and one.status == 503 for one in answers)


def stop_while_predicting(
    service: Service, message: str
) -> tuple[Answer | Failure, int | None]:
    """The answer to a message that was being computed when SIGTERM came, and the exit status."""
    with ThreadPoolExecutor(1) as pool:
        answers = pool.submit(service.client.many, [prediction(message)], 1)
        time.sleep(0.2)
        # What was sent after the message has been answered: the message has been accepted.
        service.client.get("/healthz", seconds=20)
        service.program.signal(signal.SIGTERM)
        status = service.program.wait(STOP_SECONDS)
        return answers.result()[0], status


@contextmanager
def missing_model(work: Work) -> Iterator[Service]:
    with running(work, MODEL_PATH=f"{PLACE}/{MODEL}") as service:
        yield service


@contextmanager
def damaged_model(work: Work) -> Iterator[Service]:
    """A model file of which a third has arrived."""
    whole = WEIGHTS.read_bytes()
    with tempfile.TemporaryDirectory(prefix="pivot-") as temporary:
        folder = Path(temporary) / "work"
        shutil.copytree(work.folder, folder)
        (folder / PLACE).mkdir()
        (folder / PLACE / MODEL).write_bytes(whole[: len(whole) // 3])
        with running(work, folder=folder, MODEL_PATH=f"{PLACE}/{MODEL}") as service:
            yield service
