"""Bounds on every request body, whatever the client claims about its length."""

import asyncio

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from triage.service.problems import problem

BODY_LIMIT = 64 * 1024
BODY_SECONDS = 10


class BodyLimit:
    """ASGI middleware: reads the body first; refuses one that is too large (413) or too slow (408)."""

    def __init__(
        self, app: ASGIApp, limit: int = BODY_LIMIT, seconds: float = BODY_SECONDS
    ):
        self.app = app
        self.limit = limit
        self.seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        try:
            async with asyncio.timeout(self.seconds):
                body = await self._read(receive)
        except TooLarge:
            detail = f"The body is over {self.limit} bytes. Shorten the message."
            return await refuse(413, "body-too-large", detail)(scope, receive, send)
        except TimeoutError:
            detail = f"The body took over {self.seconds} seconds to arrive."
            return await refuse(408, "body-too-slow", detail)(scope, receive, send)
        if body is None:
            return None
        whole: Message | None = {
            "type": "http.request",
            "body": body,
            "more_body": False,
        }

        async def replay() -> Message:
            nonlocal whole
            first, whole = whole, None
            return first or await receive()

        return await self.app(scope, replay, send)

    async def _read(self, receive: Receive) -> bytes | None:
        """The whole body, or None if the client left."""
        body = b""
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            body += message.get("body", b"")
            if len(body) > self.limit:
                raise TooLarge
            if not message.get("more_body"):
                return body


class TooLarge(Exception):
    """The body has passed the limit; nothing more of it is read."""


def refuse(status: int, kind: str, detail: str) -> Response:
    """A problem that also closes the connection, because nobody will read the rest of the body."""
    return problem(status, kind, detail, {"Connection": "close"})
