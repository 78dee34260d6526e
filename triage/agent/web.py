"""The desk's page and what is behind it: tickets in, events out, approvals by people who may give them.

    python -m triage.agent.web FOLDER --port 8010

serves the desk in FOLDER, which it makes at first, with a customer and an approver. The model at
OPENAI_BASE_URL plans and writes; with --script FILE a script does, which is for tests, and the page says so.
"""

import asyncio
import contextlib
import json
import os
import secrets
import sys
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
import uvicorn
from fastapi import Cookie, Depends, FastAPI, Header, HTTPException, Query, Response
from fastapi.staticfiles import StaticFiles
from filelock import FileLock, Timeout
from pydantic import BaseModel, ConfigDict, Field
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from triage.agent.desk import Desk
from triage.agent.events import View, folded
from triage.agent.planning import ModelPlanner, Planner, ScriptedPlanner, Ticket
from triage.agent.runs import Runs, decided
from triage.agent.threads import PAGE, Taken, Threads
from triage.agent.workflow import checkpoints
from triage.agent.writing import ModelWriter, ScriptedWriter, Writer
from triage.errors import TriageError
from triage.service.contract import MESSAGE_LIMIT
from triage.service.limits import BodyLimit

UI = Path(__file__).parent / "ui"
COOKIE = "larch"
BEAT = 10.0
"""Seconds between two signs of life. Proxies cut what is silent for longer, often after 60."""
SLOW = 30.0
"""Seconds that a client may take to accept what is sent before its connection is closed."""
WAITING = 100
"""Threads under way from which on new tickets are told to come later."""

# region policy
POLICY = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; "
    "style-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
# endregion policy


class Guarded:
    """ASGI middleware that sends the policy with every answer. It passes streams on as they come."""

    def __init__(self, app: ASGIApp):
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def guarding(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(POLICY)
            await send(message)

        await self.app(scope, receive, guarding if scope["type"] == "http" else send)


class Person(BaseModel):
    """Who is behind a token: a customer, by their number, or somebody of Larch who approves."""

    model_config = ConfigDict(frozen=True)

    name: str
    role: Literal["customer", "approver"]


class Asked(BaseModel):
    """A ticket. `id` is made by the page, once for each ticket, however often it is sent."""

    model_config = ConfigDict(extra="forbid")

    id: Annotated[str, Field(pattern=r"^[0-9a-f-]{36}$")]
    text: Annotated[str, Field(min_length=1, max_length=MESSAGE_LIMIT)]


class Answer(BaseModel):
    model_config = ConfigDict(extra="forbid")

    granted: bool


class Session(BaseModel):
    model_config = ConfigDict(extra="forbid")

    token: str


# region bell
class Bell:
    """Wakes the streams of a thread. It holds no events: those are in the log."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._listening: dict[str, set[asyncio.Event]] = defaultdict(set)

    def ring(self, thread: str) -> None:
        """From any thread of the process."""
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody listens
            self._loop.call_soon_threadsafe(self._wake, thread)

    def _wake(self, thread: str) -> None:
        for name in (thread, "*"):
            for event in self._listening.get(name, ()):
                event.set()

    @contextlib.contextmanager
    def heard(self, thread: str) -> Iterator[asyncio.Event]:
        event = asyncio.Event()
        self._listening[thread].add(event)
        try:
            yield event
        finally:
            self._listening[thread].discard(event)
            if not self._listening[thread]:
                del self._listening[thread]


# endregion bell


# region stream
async def stream(
    threads: Threads, bell: Bell, thread: str, last: int, types: str = "*"
) -> AsyncIterator[ServerSentEvent]:
    """What was told after the event `last`, then what is being told, until it is done.

    There is no queue for a client. Each reads the log at its own pace, and one that
    does not read any more is a coroutine that waits.
    """
    live = False
    with bell.heard(thread) as rung:
        while True:
            rung.clear()  # before reading: what comes from here on rings again
            lines = await asyncio.to_thread(threads.after, thread, last, types)
            for line in lines:
                last = line.id
                yield ServerSentEvent(line.json, id=str(line.id), sep="\n")
                if line.type == "done":
                    return
            if len(lines) == PAGE:
                continue
            if not live:
                live = True
                yield alive()  # what comes from here on is news
            await rung.wait()


def alive() -> ServerSentEvent:
    """A sign of life: a comment for proxies, an event without an id for the page."""
    return ServerSentEvent("{}", event="live", comment="still here", sep="\n")


# endregion stream


def create_app(
    folder: Path,
    people: dict[str, Person],
    planner: Planner,
    writer: Writer,
    scripted: bool = False,
    beat: float = BEAT,
) -> FastAPI:
    """The app around the desk in a folder, which one process at a time may have. `people` are by token."""
    threads, desk = Threads(folder / "threads.db"), Desk(folder / "desk.db")

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.bell = Bell()
        with alone(folder), checkpoints(folder / "checkpoints.db") as saver:
            app.state.runs = Runs(
                threads, desk, planner, writer, saver, app.state.bell.ring
            )
            app.state.runs.resume()
            yield
            await asyncio.to_thread(app.state.runs.close)

    app = FastAPI(
        title="Larch's desk", lifespan=lifespan, docs_url=None, redoc_url=None
    )
    app.add_middleware(BodyLimit)
    app.add_middleware(Guarded)

    # region who
    def anybody(
        larch: Annotated[str | None, Cookie()] = None,
        authorization: Annotated[str, Header()] = "",
    ) -> Person:
        """EventSource sends cookies and no other header; programs send the header."""
        token = larch or authorization.removeprefix("Bearer ")
        if token not in people:
            raise HTTPException(401, "Sign in first.")
        return people[token]

    def customer(person: Annotated[Person, Depends(anybody)]) -> Person:
        if person.role != "customer":
            raise HTTPException(403, "Only a customer may do that.")
        return person

    def approver(person: Annotated[Person, Depends(anybody)]) -> Person:
        if person.role != "approver":
            raise HTTPException(403, "Only an approver may do that.")
        return person

    def own(thread: str, person: Annotated[Person, Depends(customer)]) -> str:
        ticket = threads.ticket(thread)
        if ticket is None or ticket["customer"] != person.name:
            raise HTTPException(404, "There is no such thread.")
        return thread

    # endregion who

    def since(
        last_event_id: Annotated[str, Header()] = "",
        after: Annotated[int, Query(ge=0)] = 0,
    ) -> int:
        """Where a client stopped: browsers say it in a header, whoever opens anew in the address."""
        return int(last_event_id) if last_event_id.isdecimal() else after

    Customer = Annotated[Person, Depends(customer)]
    Approver = Annotated[Person, Depends(approver)]
    Own = Annotated[str, Depends(own)]
    Since = Annotated[int, Depends(since)]

    @app.post("/session")
    def enter(asked: Session, response: Response) -> Person:
        if asked.token not in people:
            raise HTTPException(401, "There is nobody with this token.")
        response.set_cookie(COOKIE, asked.token, httponly=True, samesite="strict")
        return people[asked.token]

    @app.delete("/session")
    def leave(response: Response) -> None:
        response.delete_cookie(COOKIE, httponly=True, samesite="strict")

    @app.get("/me")
    def me(person: Annotated[Person, Depends(anybody)]) -> dict[str, str | bool]:
        return {**person.model_dump(), "scripted": scripted}

    # region routes
    @app.post("/threads", status_code=201)
    def ask(asked: Asked, person: Customer, response: Response) -> dict[str, str]:
        """Begin a thread; asked again with the same id, give the same answer."""
        if app.state.runs.waiting >= WAITING:
            raise HTTPException(503, "Too much to do.", {"Retry-After": "10"})
        try:
            ticket = Ticket(customer=person.name, text=asked.text)
            new = threads.open(asked.id, ticket)
        except Taken as taken:
            raise HTTPException(409, str(taken)) from taken
        app.state.runs.go(asked.id)
        response.status_code = 201 if new else 200
        return {"thread": asked.id}

    @app.get("/threads/{thread}/events")
    async def events(thread: Own, last: Since) -> Response:
        done = await asyncio.to_thread(threads.after, thread, last, "done")
        told = await asyncio.to_thread(threads.told, thread, "done")
        if told and not done:
            return Response(status_code=204)  # ends EventSource's reconnecting
        return sse(stream(threads, app.state.bell, thread, last), beat)

    @app.post("/threads/{thread}/approval")
    def approve(thread: str, answer: Answer, person: Approver) -> Answer:
        """Say yes or no. What comes back is the answer that counts: the first."""
        asked = threads.told(thread, "approval_wanted")
        if not asked:
            raise HTTPException(409, "Nobody has asked for an approval.")
        granted = decided(threads, desk, thread, answer.granted, person.name)
        for each in threads.about(json.loads(asked[-1])["order"]):
            app.state.runs.go(each)
        return Answer(granted=granted)

    # endregion routes

    @app.get("/threads/{thread}")
    def view(thread: Own) -> View:
        """All that was told, as what follows from it: for clients that cannot stream."""
        return folded(everything(threads, thread))

    @app.post("/threads/{thread}/cancel", status_code=202)
    def cancel(thread: Own) -> None:
        """Stop at the next step, and undo what can be undone."""
        threads.cancel(thread)
        app.state.runs.go(thread)

    @app.get("/approvals/events")
    async def approvals(person: Approver, last: Since) -> Response:
        """Of all threads, what concerns those who approve."""
        return sse(stream(threads, app.state.bell, "*", last, "approval_*"), beat)

    @app.get("/healthz")
    def healthz() -> dict[str, str]:
        return {"status": "alive"}

    app.mount("/", StaticFiles(directory=UI, html=True))
    return app


def sse(told: AsyncIterator[ServerSentEvent], beat: float) -> EventSourceResponse:
    return EventSourceResponse(
        told, ping=beat, ping_message_factory=alive, send_timeout=SLOW, sep="\n"
    )


def everything(threads: Threads, thread: str) -> Iterator[dict[str, Any]]:
    """The thread's events as JSON values, oldest first."""
    last = 0
    while lines := threads.after(thread, last):
        for line in lines:
            yield json.loads(line.json)
        last = lines[-1].id


@contextlib.contextmanager
def alone(folder: Path, seconds: float = 20) -> Iterator[None]:
    """No two processes work on one folder: both would carry every thread on."""
    lock = FileLock(folder / "lock")
    try:
        lock.acquire(timeout=seconds)
    except Timeout as timeout:
        raise TriageError(
            f"Another process has {folder}. Stop that first."
        ) from timeout
    try:
        yield
    finally:
        lock.release()


def prepared(folder: Path) -> dict[str, Person]:
    """The people of the desk in this folder, both made where they are missing."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "desk.db").exists():
        Desk.create(folder / "desk.db")
    path = folder / "people.json"
    if not path.exists():
        made = {
            secrets.token_urlsafe(24): {"name": name, "role": role}
            for name, role in (("C-1", "customer"), ("Robin", "approver"))
        }
        path.touch(mode=0o600)
        path.write_text(json.dumps(made, indent=2), encoding="utf-8")
    people = json.loads(path.read_text(encoding="utf-8"))
    return {token: Person(**person) for token, person in people.items()}


def thinking(script: Path | None) -> tuple[Planner, Writer]:
    """Who plans and who writes: a script, or the model that the environment names."""
    if script:
        given = json.loads(script.read_text(encoding="utf-8"))
        if "until" in given:
            given["until"] = Path(given["until"])
        return ScriptedPlanner(), ScriptedWriter(**given)
    from openai import OpenAI  # a second to import

    from triage.agent.endpoint import Endpoint

    endpoint = Endpoint.from_environment()
    client = OpenAI(api_key=os.environ.get("OPENAI_API_KEY", "none"), timeout=60)
    return ModelPlanner(endpoint), ModelWriter(client, endpoint.model)


def main(
    folder: Path, port: int = 8010, script: Path | None = None, beat: float = BEAT
) -> None:
    """Serve the desk in FOLDER on this machine."""
    try:
        planner, writer = thinking(script)
        people = prepared(folder)
    except (TriageError, OSError, ValueError) as error:
        print(error, file=sys.stderr)
        raise typer.Exit(1) from error
    app = create_app(folder, people, planner, writer, script is not None, beat)
    print(f"http://127.0.0.1:{port}, tokens in {folder / 'people.json'}", flush=True)
    uvicorn.run(app, port=port, log_level="warning", timeout_graceful_shutdown=5)


if __name__ == "__main__":
    typer.run(main)
