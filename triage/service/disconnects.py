"""Work stops when the client that wanted it has gone."""

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send


class CancelOnDisconnect:
    """ASGI middleware: cancels the application when the client leaves. It must stand inside `BodyLimit`.

    A cancelled request takes its message out of the batcher's queue. Without this a client that times out and
    tries again would have every one of its attempts computed.
    """

    def __init__(self, app: ASGIApp):
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        request = await receive()  # whole, because BodyLimit has read it

        async def replay() -> Message:
            return request

        work = asyncio.current_task()
        assert work is not None
        left = False

        async def watch() -> None:
            nonlocal left
            while (await receive())["type"] != "http.disconnect":
                pass
            left = True
            work.cancel()

        watching = asyncio.create_task(watch())
        try:
            await self.app(scope, replay, send)
        except asyncio.CancelledError:
            if not left or work.uncancel():
                raise  # somebody else wants us to stop
        finally:
            watching.cancel()
