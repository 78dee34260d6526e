"""A router between the desk and two services: it shadows a candidate, or gives it some of the tickets.

It holds no state but what the canary's fate depends on. A canary that fails costs its customer nothing: the
same request goes to the champion.
"""

import asyncio
import contextlib
import hashlib
from collections import OrderedDict
from collections.abc import AsyncIterator
from typing import Annotated

import httpx
from fastapi import FastAPI, Header, Request, Response
from pydantic import BaseModel, ConfigDict

from triage.errors import TriageError
from triage.release.canary import Canary
from triage.release.split import chosen
from triage.service import problems
from triage.service.limits import BodyLimit

REMEMBERED = 100_000
"""Tickets of which it is known who answered them."""
SHADOWS = 32
"""Requests in shadow at once. Further ones are left out: nobody waits for a rehearsal."""


class Feedback(BaseModel):
    """What an agent did with the answer for a ticket."""

    model_config = ConfigDict(extra="forbid", strict=True)

    ticket: str
    corrected: bool


# region release
class Release:
    """The champion's service, the candidate's, and what is known about the second.

    Without a canary the candidate runs in shadow: it is asked, and nobody hears it.
    """

    def __init__(
        self,
        champion: httpx.AsyncClient,
        candidate: httpx.AsyncClient,
        canary: Canary | None = None,
        salt: str = "",
    ):
        self.champion, self.candidate = champion, candidate
        self.canary, self.salt = canary, salt
        self.shadowed = self.agreed = self.failed = 0
        self.reviewed = self.corrected = 0  # of the champion's answers
        self._answered = Bounded(REMEMBERED)
        self._shadows: set[asyncio.Task] = set()

    async def answer(self, ticket: str, body: bytes) -> tuple[httpx.Response, str]:
        """The answer to give, and whose it is."""
        canary = self.canary
        if canary and not chosen(ticket, canary.share, self.salt):
            canary = None
        if canary and (answer := await attempt(self.candidate, body)):
            canary.answered(failed=False)
            self._answered.note(ticket, "canary")
            return answer, "canary"
        answer = await ask(self.champion, body)
        self._answered.note(ticket, "champion")
        if canary and answer.is_success:  # what both refuse is no failure of the canary
            canary.answered(failed=True)
        if self.canary is None and len(self._shadows) < SHADOWS:
            task = asyncio.create_task(self._shadow(body, answer))
            self._shadows.add(task)
            task.add_done_callback(self._shadows.discard)
        return answer, "champion"

    async def _shadow(self, body: bytes, answer: httpx.Response) -> None:
        """Ask the candidate too, and count whether it says the same."""
        if answer.is_success:
            other = await attempt(self.candidate, body)
            self.shadowed += 1
            self.failed += other is None
            self.agreed += other is not None and intent(other) == intent(answer)

    async def finished(self) -> None:
        """Wait for what is asked in shadow."""
        await asyncio.gather(*self._shadows)

    def feedback(self, ticket: str, corrected: bool) -> None:
        """An agent has looked at a ticket: at its last answer; one word counts."""
        whose = self._answered.take(ticket)
        if whose == "champion":
            self.reviewed += 1
            self.corrected += corrected
        elif whose == "canary" and self.canary:
            self.canary.corrected(corrected)


# endregion release


def service_at(address: str, seconds: float) -> httpx.AsyncClient:
    """A client for the service at `http://HOST:PORT`. Raises TriageError for another address."""
    try:
        url = httpx.URL(address)
    except httpx.InvalidURL as error:
        raise TriageError(f"{address!r} is no address: {error}.") from error
    if url.scheme not in ("http", "https") or not url.host:
        raise TriageError(f"{address!r} is no address. Write http://HOST:PORT.")
    # No bound on connections: waiting for one is not the service's failure.
    unbounded = httpx.Limits(max_connections=None)
    return httpx.AsyncClient(base_url=url, timeout=seconds, limits=unbounded)


async def ask(service: httpx.AsyncClient, body: bytes) -> httpx.Response:
    return await service.post(
        "/predict", content=body, headers={"Content-Type": "application/json"}
    )


async def attempt(service: httpx.AsyncClient, body: bytes) -> httpx.Response | None:
    """The service's answer if it is one, with status 2xx."""
    try:
        answer = await ask(service, body)
    except httpx.HTTPError:
        return None
    return answer if answer.is_success else None


def intent(answer: httpx.Response) -> object:
    """What an answer says, or the answer itself if it says nothing: that equals no other."""
    try:
        return answer.json()["intent"]
    except (ValueError, KeyError, TypeError):
        return answer


class Bounded:
    """Who answered which ticket. Keys are digests, and the oldest are forgotten first."""

    def __init__(self, most: int):
        self._most = most
        self._whose: OrderedDict[bytes, str | None] = OrderedDict()

    def note(self, ticket: str, whose: str) -> None:
        """Not again for a ticket that an agent has spoken about: one ticket, one word."""
        key = hashlib.sha256(ticket.encode()).digest()
        if self._whose.pop(key, whose) is not None:
            self._whose[key] = whose
        else:
            self._whose[key] = None
        if len(self._whose) > self._most:
            self._whose.popitem(last=False)

    def take(self, ticket: str) -> str | None:
        """Who answered last, once; None after that, and for a ticket that is not known."""
        key = hashlib.sha256(ticket.encode()).digest()
        whose = self._whose.get(key)
        if key in self._whose:
            self._whose[key] = None
        return whose


# region app
def create_app(release: Release) -> FastAPI:
    """The router as an ASGI application."""

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        await release.finished()
        await release.champion.aclose()
        await release.candidate.aclose()

    app = FastAPI(title="Release", lifespan=lifespan, docs_url=None, redoc_url=None)
    problems.install(app)
    app.add_middleware(BodyLimit)

    @app.post("/predict")
    async def predict(
        request: Request, x_ticket: Annotated[str | None, Header()] = None
    ) -> Response:
        """What the service behind says, and in X-Model which one that was."""
        body = await request.body()
        ticket = (
            body.decode(errors="replace")
            if x_ticket is None
            else x_ticket.encode("latin-1").decode(errors="replace")  # as HTTP reads it
        )
        try:
            answer, whose = await release.answer(ticket, body)
        except httpx.HTTPError:
            return problems.problem(
                502, "no-champion", "The champion's service does not answer."
            )
        return Response(
            answer.content,
            answer.status_code,
            {"X-Model": whose},
            media_type=answer.headers.get("Content-Type"),
        )

    @app.post("/feedback", status_code=204)
    async def feedback(given: Feedback) -> None:
        """What an agent did with an answer."""
        release.feedback(given.ticket, given.corrected)

    @app.get("/release")
    async def state() -> dict:
        """How the release stands."""
        champion = {"reviewed": release.reviewed, "corrected": release.corrected}
        if release.canary is None:
            return {
                "champion": champion,
                "shadowed": release.shadowed,
                "failed": release.failed,
                "agreed": release.agreed,
            }
        canary = release.canary
        return {
            "champion": champion,
            "status": canary.status,
            "reason": canary.reason,
            "share": canary.share,
            "answers": canary.errors.total,
            "errors": canary.errors.failures,
            "reviewed": canary.corrections.total,
            "corrected": canary.corrections.failures,
        }

    return app


# endregion app
