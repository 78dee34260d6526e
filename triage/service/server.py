"""Running the app: one process, and a shutdown that drops nothing it has accepted."""

import logging
import socket
import sys
import threading
from types import FrameType

import uvicorn
from fastapi import FastAPI

from triage.service import logs

log = logging.getLogger("uvicorn.error")  # the one Uvicorn shows

GRACE_SECONDS = 25
"""With the pause before it, less than the 30 seconds Kubernetes gives a container to stop."""
SWITCH_SECONDS = 0.0005
"""How long one Python thread may keep another from running."""


# region server
class DrainingServer(uvicorn.Server):
    """On SIGTERM: say not-ready, go on for `drain` seconds, then finish what is inside.

    A load balancer needs a moment to notice. Without the pause its last requests
    would meet a closed socket.
    """

    def __init__(
        self,
        app: FastAPI,
        host: str,
        port: int,
        drain: float,
        json_logs: bool = False,
    ):
        super().__init__(
            uvicorn.Config(
                app,
                host=host,
                port=port,
                log_config=logs.configure(json_logs),
                access_log=False,  # /metrics counts; a line each is dearer than HTTP
                timeout_graceful_shutdown=GRACE_SECONDS,
            )
        )
        self.app = app
        self.drain = drain
        self.draining = False

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        # A finished batch must not wait five milliseconds until parsing lets it pass.
        sys.setswitchinterval(SWITCH_SECONDS)
        super().run(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self.draining or not self.drain:  # a second signal means now
            return super().handle_exit(sig, frame)
        self.draining = True
        log.info("Draining for %s seconds; again to stop now", self.drain)
        self.app.state.ready = False
        timer = threading.Timer(self.drain, super().handle_exit, (sig, frame))
        timer.daemon = True
        timer.start()


# endregion server
