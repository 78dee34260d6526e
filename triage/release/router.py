"""A router between the desk and two services: it shadows a candidate, or gives it some of the tickets.

It holds no state but what the canary's fate depends on. A canary that fails costs its customer nothing: the
same request goes to the champion.
"""

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import AsyncIterator
from typing import Annotated

import httpx
from fastapi import FastAPI, Header, Request, Response
from pydantic import BaseModel, ConfigDict

from triage.release.canary import Canary
from triage.release.split import chosen
from triage.service import problems
from triage.service.limits import BodyLimit

REMEMBERED = 100_000
"""Tickets the canary has answered and no agent has looked at; the oldest are forgotten first."""
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
        self.shadowed = self.agreed = 0
        self._unseen: OrderedDict[str, None] = OrderedDict()
        self._shadows: set[asyncio.Task] = set()

    async def answer(self, ticket: str, body: bytes) -> tuple[httpx.Response, str]:
        """The answer to give, and whose it is."""
        if self.canary and chosen(ticket, self.canary.share, self.salt):
            answer = await self._try(self.canary, body)
            if answer is not None:
                self._remember(ticket)
                return answer, "canary"
        answer = await ask(self.champion, body)
        if self.canary is None and len(self._shadows) < SHADOWS:
            task = asyncio.create_task(self._shadow(body, answer))
            self._shadows.add(task)
            task.add_done_callback(self._shadows.discard)
        return answer, "champion"

    async def _try(self, canary: Canary, body: bytes) -> httpx.Response | None:
        """The candidate's answer; None if it has none, and then the canary knows."""
        try:
            answer = await ask(self.candidate, body)
        except httpx.HTTPError:
            canary.answered(failed=True)
            return None
        canary.answered(failed=answer.is_server_error)
        return None if answer.is_server_error else answer

    async def _shadow(self, body: bytes, answer: httpx.Response) -> None:
        """Ask the candidate too, and count whether it says the same."""
        with contextlib.suppress(httpx.HTTPError):
            other = await ask(self.candidate, body)
            if answer.is_success and other.is_success:
                self.shadowed += 1
                self.agreed += answer.json()["intent"] == other.json()["intent"]

    def feedback(self, ticket: str, corrected: bool) -> None:
        """An agent has looked at a ticket; only the canary's own count."""
        if self.canary and ticket in self._unseen:
            del self._unseen[ticket]
            self.canary.corrected(corrected)

    def _remember(self, ticket: str) -> None:
        self._unseen[ticket] = None
        if len(self._unseen) > REMEMBERED:
            self._unseen.popitem(last=False)


# endregion release


async def ask(service: httpx.AsyncClient, body: bytes) -> httpx.Response:
    return await service.post(
        "/predict", content=body, headers={"Content-Type": "application/json"}
    )


# region app
def create_app(release: Release) -> FastAPI:
    """The router as an ASGI application."""

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
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
        ticket = x_ticket if x_ticket is not None else body.decode(errors="replace")
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
        if release.canary is None:
            return {"shadowed": release.shadowed, "agreed": release.agreed}
        canary = release.canary
        return {
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
