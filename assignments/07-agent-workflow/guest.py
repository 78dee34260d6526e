"""The part of `bench` that runs in the sandbox, in the learner's own process.

It is sent there as source and needs the standard library alone. It connects to the judge's socket, reads a
ticket from a line of JSON, and lets `handle` of agent.py handle it; what that asks of the desk and of the
model is asked of the judge, a line each way. Nothing here is a defence: the learner's code can change all of
it, and what comes out is judged as data.
"""

import json
import os
import socket
import sys
import threading
import time
from pathlib import Path

CONNECT = 20.0  # seconds for the judge to open its socket


def main() -> None:
    place = sys.argv[1]
    line = Line(os.path.join(place, "judge.sock"))
    sys.path.insert(0, os.getcwd())
    while True:
        request = line.read()
        try:
            handle = __import__("agent").handle
            said = handle(
                request["ticket"],
                Desk(line),
                Model(line),
                Path(place, request["state"]),
            )
        except BaseException as error:
            import traceback

            traceback.print_exc()
            line.write({"raised": describe(error)})
            continue
        line.write({"returned": said if isinstance(said, str) else None})


class Line:
    """Lines of JSON to the judge and back, for one thread at a time."""

    def __init__(self, path: str):
        self._lock = threading.Lock()
        self._socket = socket.socket(socket.AF_UNIX)
        deadline = time.monotonic() + CONNECT
        while True:
            try:
                self._socket.connect(path)
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.005)
        self._file = self._socket.makefile("rb")

    def ask(self, request):
        with self._lock:
            self.write(request)
            return self.read()

    def write(self, message) -> None:
        self._socket.sendall(json.dumps(message, allow_nan=False).encode() + b"\n")

    def read(self):
        line = self._file.readline()
        if not line:  # the judge has had enough
            os._exit(0)
        return json.loads(line)


class Desk:
    def __init__(self, line: Line):
        self._line = line

    def call(self, tool, arguments):
        """What the tool answers; "error" in it says that it did not do it, or may not have."""
        return self._line.ask({"tool": tool, "arguments": arguments})


class Model:
    def __init__(self, line: Line):
        self._line = line

    def say(self, messages):
        """A chat completion for a conversation."""
        return self._line.ask({"messages": messages})


def describe(error: BaseException) -> list[str]:
    try:
        return [type(error).__name__, str(error)[:1000]]
    except BaseException:
        return [type(error).__name__, ""]


main()
