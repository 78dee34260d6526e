"""A bound on every request body, whatever the client claims about its length."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from triage.service.problems import problem

BODY_LIMIT = 64 * 1024


class BodyLimit:
    """ASGI middleware: reads the body up to `limit` bytes, answers 413 beyond it, then passes it on whole."""

    def __init__(self, app: ASGIApp, limit: int = BODY_LIMIT):
        self.app = app
        self.limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        body = b""
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            body += message.get("body", b"")
            if len(body) > self.limit:
                refusal = problem(
                    413,
                    "body-too-large",
                    f"The body is over {self.limit} bytes. Shorten the message.",
                    {"Connection": "close"},  # the rest of the body is on its way and nobody will read it
                )
                return await refusal(scope, receive, send)
            if not message.get("more_body"):
                break
        whole: Message | None = {"type": "http.request", "body": body, "more_body": False}

        async def replay() -> Message:
            nonlocal whole
            first, whole = whole, None
            return first or await receive()

        return await self.app(scope, replay, send)
