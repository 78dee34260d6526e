"""What kills a process at a chosen point, and a desk and a saver that have such points."""

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from langgraph.checkpoint.sqlite import SqliteSaver

from triage.agent.desk import Desk


# region fuse
class Fuse:
    """Writes down every point that is passed, and kills the process at the fatal ones.

    The list is a file, so that it goes on in the next process: a point is met once.
    """

    def __init__(self, points: Path, *fatal: str):
        self.points = points
        self.fatal = fatal
        self.lock = threading.Lock()

    def __call__(self, place: str) -> None:
        with self.lock:
            passed = self.points.read_text().splitlines()
            times = sum(line.rpartition(" #")[0] == place for line in passed) + 1
            point = f"{place} #{times}"
            with self.points.open("a") as file:
                file.write(f"{point}\n")
            if point in self.fatal:
                os.kill(os.getpid(), signal.SIGKILL)


# endregion fuse


# region hooks
class CrashingDesk(Desk):
    """Has a point before and after each effect, and around a person's answer."""

    fuse: Fuse

    def _once(
        self, key: str, kind: str, request: dict[str, Any], act: Callable
    ) -> dict[str, Any]:
        self.fuse(f"before {kind}")
        result = super()._once(key, kind, request, act)
        self.fuse(f"after {kind}")
        return result

    def _decide(self, number: str, person: str, granted: bool) -> None:
        self.fuse("before the answer")
        super()._decide(number, person, granted)
        self.fuse("after the answer")


class CrashingSaver(SqliteSaver):
    """Has a point before and after each checkpoint and what each node has written."""

    fuse: Fuse
    pause = 0.0

    def put(self, config: Any, checkpoint: Any, metadata: Any, versions: Any) -> Any:
        towards = _towards(checkpoint["channel_values"])
        if towards == "to planner":  # the one before the plan
            time.sleep(self.pause)
        self.fuse(f"before checkpoint {towards}")
        saved = super().put(config, checkpoint, metadata, versions)
        self.fuse(f"after checkpoint {towards}")
        return saved

    def put_writes(self, config: Any, writes: Any, *rest: Any) -> None:
        towards = _towards(dict(writes))
        self.fuse(f"before writes {towards}")
        super().put_writes(config, writes, *rest)
        self.fuse(f"after writes {towards}")


# endregion hooks


def _towards(channels: Any) -> str:
    """Where the graph goes from here, as far as its channels tell."""
    heading = "branch:to:"
    nodes = [name.removeprefix(heading) for name in channels if heading in name]
    if not nodes:
        nodes = [
            name
            for name in ("__start__", "__interrupt__", "__resume__")
            if name in channels
        ]
    return f"to {nodes[0].strip('_')}" if nodes else "at the end"
