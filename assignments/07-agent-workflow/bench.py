"""The learner's agent at work in a sandbox, and the judge's desk outside of it.

The agent's process asks for tools and for the model over a socket, a line of JSON each way; what is done is
written down here. The process is killed whenever a case says so, with everything it started, and begins again
with nothing but the files of its state folder.
"""

import contextlib
import json
import os
import shutil
import socket
import stat
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autograder.errors import InfrastructureError, LearnerError
from autograder.probes.transcript import QUOTED, clean, error, parse
from autograder.sandbox import Limits, Running
from autograder.work import Work

from .given.desk import RETURNS, TOOL_CALLS, Case, Effect, World, draw

# Sent as text, so that the sandbox needs no file of the judge's.
GUEST = Path(__file__).with_name("guest.py").read_text(encoding="utf-8")
COMMAND = ("python", "-I", "-B", "-c", GUEST, "/run/judge")
LIMITS = Limits(seconds=600, memory=2 << 30)
START = 30.0  # seconds until the process has connected
SECONDS = 30.0  # for one call of `handle`
LINE = 1 << 20  # bytes of one request
KEPT, ENTRIES = 16 << 20, 40  # bytes of a state folder, and files and folders in it
TAIL = 300  # characters of what the agent printed last


@dataclass(frozen=True)
class Trace:
    """What became of a ticket. `problem` says why it was not brought to an end, if it was not."""

    case: Case
    world: World
    problem: LearnerError | None

    @property
    def done(self) -> list[str]:
        """What was done, in order, by tool."""
        return [effect.tool for effect in self.world.ledger]

    def count(self, tool: str) -> int:
        return self.done.count(tool)

    def evidence(self) -> dict[str, Any]:
        return {
            "kind": self.case.kind,
            "ticket": self.case.ticket,
            "ledger": [shown(effect) for effect in self.world.ledger],
            "tool_calls": len(self.world.calls),
            "model_calls": self.world.model_calls,
            "tokens": self.world.tokens,
        }


def shown(effect: Effect) -> dict[str, Any]:
    """A line of the ledger, with what a stranger wrote cut short."""
    arguments = {name: text[:QUOTED] for name, text in effect.arguments.items()}
    return {"did": effect.tool, **arguments, "approved": effect.approved}


@contextlib.contextmanager
def handled(work: Work) -> Iterator["Bench"]:
    """For `work.shared`: the tickets handled so far, and the process that handles the next."""
    with contextlib.closing(Bench(work)) as bench:
        yield bench


def trace(work: Work, kind: str, number: int = 0) -> Trace:
    """What becomes of a ticket of this kind; the same one for every check that asks."""
    return work.shared(handled).trace(kind, number)


class Bench:
    """One agent, one ticket after the other."""

    def __init__(self, work: Work):
        self._work = work
        self._keys: dict[str, Any] = {}
        self._traces: dict[str, Trace] = {}
        self._process: Process | None = None

    def trace(self, kind: str, number: int) -> Trace:
        name = f"{kind}/{number}"
        if name not in self._traces:
            case = draw(kind, f"{self._work.seed}/{number}")
            world = World(case, self._keys)
            self._traces[name] = Trace(case, world, self._handle(world))
        return self._traces[name]

    def _handle(self, world: World) -> LearnerError | None:
        """Let the agent handle a ticket to its end, however often it has to begin again."""
        state: State = {}
        try:
            while world.waits <= RETURNS:
                if self._process is None:
                    self._process = Process(self._work)
                said = self._process.handle(world, state)
                if said == "done":
                    return None
                if said == "waiting":
                    world.waited()
                if said == "killed" or world.case.cold:
                    self._process.stop()
                    state = self._process.state()
                    self.close()
        except LearnerError as problem:
            self.close()
            return problem
        return LearnerError(
            f'`handle` returned "waiting" {world.waits} times for one ticket.',
            "Only a person's answer is waited for, and only until it is there.",
        )

    def close(self) -> None:
        if self._process is not None:
            self._process.close()
            self._process = None


State = dict[str, bytes | None]
"""The files of a state folder by their path in it, and its folders, which have no content."""


class Process:
    """The agent's process in its sandbox, connected to the judge."""

    def __init__(self, work: Work):
        self._buffer = b""
        self._state = Path()  # of the ticket at hand
        self._folder = tempfile.TemporaryDirectory(
            prefix="pivot-", ignore_cleanup_errors=True
        )
        self._place = Path(self._folder.name)
        self._alive = contextlib.ExitStack()
        try:
            self._program: Running = self._alive.enter_context(
                work.sandbox.start(
                    COMMAND,
                    folder=work.folder,
                    sockets=self._place,
                    env={"OPENBLAS_NUM_THREADS": "1"},
                    limits=LIMITS,
                )
            )
            self._socket = self._alive.enter_context(self._connected())
        except BaseException:
            self.close()
            raise

    def stop(self) -> None:
        """Kill it, with everything it started."""
        self._alive.close()

    def close(self) -> None:
        self.stop()
        self._folder.cleanup()

    def _connected(self) -> socket.socket:
        """The judge's end of the connection, made before anything of the learner's has run."""
        path = self._place / "judge.sock"
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))
            path.chmod(0o666)
            listener.listen(1)
            listener.settimeout(START)
            try:
                return listener.accept()[0]
            except TimeoutError:
                raise self._not_started() from None

    def _not_started(self) -> InfrastructureError:
        said = self._program.output().decode(errors="replace").strip()[-500:]
        return InfrastructureError(
            f"Python did not start in the sandbox: {said or 'it said nothing'}. "
            "Run `pivot doctor`, then grade again."
        )

    # --- one ticket ---

    def handle(self, world: World, state: State) -> str:
        """Let `handle` run once: "done", "waiting", or "killed" as the case wants. Raises LearnerError."""
        self._open(world.case.ticket["id"], state)
        self._write({"ticket": world.case.ticket, "state": self._state.name})
        deadline = time.monotonic() + SECONDS
        while True:
            match self._read(deadline):
                case {"tool": str(tool), "arguments": arguments}:
                    if len(world.calls) >= TOOL_CALLS:
                        raise LearnerError(
                            f"More than {TOOL_CALLS} calls of tools were made for one ticket.",
                            "Count tries. What fails a few times is for a person; a refusal is final.",
                        )
                    when = world.kills(tool)
                    if when == "before":
                        return "killed"
                    answer = world.call(tool, arguments)
                    if when == "after":
                        return "killed"
                    self._write(answer)
                case {"messages": messages}:
                    self._write(world.say(messages))
                case {"returned": said}:
                    return "waiting" if said == "waiting" else "done"
                case {"raised": [str(kind), str(text)]}:
                    raise LearnerError(
                        f"`handle` raised {error(kind, text)}.",
                        "Let it handle tickets of every kind by hand: `python desk.py`.",
                    )
                case _:
                    raise LearnerError(
                        "The agent asked for something that is no tool and no message.",
                        "Call `desk.call(tool, arguments)` and `model.say(messages)` as the notebook says.",
                    )

    def _open(self, ticket: str, state: State) -> None:
        """The state folder of a ticket, as it was left."""
        if self._state.name != ticket:
            if self._state.name:
                shutil.rmtree(self._state, ignore_errors=True)
            self._state = self._place / ticket
            restore(state, self._state)

    def state(self) -> State:
        """What the state folder holds. Nobody else may be writing to it: stop the process first."""
        return kept(self._state)

    # --- lines ---

    def _write(self, message: Any) -> None:
        with contextlib.suppress(OSError):  # its end will be noticed by who reads
            self._socket.settimeout(SECONDS)
            self._socket.sendall(json.dumps(message).encode() + b"\n")

    def _read(self, deadline: float) -> Any:
        """The next line, as JSON. Raises LearnerError if there is none in time, or no JSON."""
        while b"\n" not in self._buffer:
            try:
                self._socket.settimeout(max(0.001, deadline - time.monotonic()))
                received = self._socket.recv(1 << 16)
            except TimeoutError:
                raise LearnerError(
                    f"A ticket was not handled within {SECONDS:g} seconds.",
                    'Nothing here has to be waited for by sleeping: return "waiting" instead.',
                ) from None
            except OSError:
                received = b""
            self._buffer += received
            if not received or len(self._buffer) > LINE:
                raise self._ended(too_long=bool(received))
        line, _, self._buffer = self._buffer.partition(b"\n")
        try:
            return parse(line)
        except LearnerError:
            raise LearnerError(
                "What the agent asked for could not be read as JSON.",
                "Leave the connection to `desk` and `model`, and send them plain values.",
            ) from None

    def _ended(self, *, too_long: bool) -> LearnerError:
        if too_long:
            return LearnerError(
                f"The agent sent a request of more than {LINE:,} bytes.",
                "Send the model the conversation, and not more.",
            )
        self._program.wait(2)
        how = self._program.stopped
        why = f"was stopped, for its use of {how}" if how else "ended by itself"
        said = clean(self._program.output().decode(errors="replace")[-TAIL:])
        return LearnerError(
            f"The agent's process {why}. {said}".strip(),
            "`handle` returns or raises; take out what ends Python, and what it does not need.",
        )


# --- the state folder ---
#
# The learner's program owns the folder around it and may have put a link in its place, or in the place of
# anything in it. So nothing here follows a link, and everything is named from an open folder.

FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW


def kept(folder: Path) -> State:
    """What a folder holds; links and whatever else is neither file nor folder are left out."""
    state: State = {}
    size = 0
    try:
        top = os.open(folder, FOLDER)
    except OSError:
        return state
    with closing_folder(top):
        for parent, folders, files, here in os.fwalk(".", dir_fd=top):
            for name in folders:
                if not stat.S_ISLNK(os.lstat(name, dir_fd=here).st_mode):
                    state[os.path.normpath(os.path.join(parent, name))] = None
            for name in files:
                content = ordinary(name, here, KEPT - size)
                if content is not None:
                    size += len(content)
                    state[os.path.normpath(os.path.join(parent, name))] = content
            if len(state) > ENTRIES:
                raise LearnerError(
                    f"The state folder holds more than {ENTRIES} files and folders.",
                    "Keep what has to be known to go on, in one file or two.",
                )
    return state


def ordinary(name: str, folder: int, most: int) -> bytes | None:
    """The content of an ordinary file; None if it is something else. Raises LearnerError if too long."""
    try:
        file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
    except OSError:
        return None
    with open(file, "rb") as opened:
        status = os.fstat(file)
        if not stat.S_ISREG(status.st_mode):
            return None
        if status.st_size > most:
            raise LearnerError(
                f"The state folder holds more than {KEPT >> 20} MB.",
                "Keep what has to be known to go on, and no more.",
            )
        return opened.read(most)


def restore(state: State, folder: Path) -> None:
    """Make the folder, for whoever the process runs as. Raises LearnerError where that cannot be."""
    try:
        folder.mkdir()
        with closing_folder(os.open(folder, FOLDER)) as top:
            os.fchmod(top, 0o777)
            for name, content in state.items():
                if content is None:
                    os.mkdir(name, dir_fd=top)
                    with closing_folder(os.open(name, FOLDER, dir_fd=top)) as made:
                        os.fchmod(made, 0o777)
                else:
                    new = os.O_WRONLY | os.O_CREAT | os.O_EXCL
                    with open(os.open(name, new, dir_fd=top), "wb") as file:
                        os.fchmod(file.fileno(), 0o666)
                        file.write(content)
    except OSError as problem:
        raise LearnerError(
            f"The state folder could not be kept ({problem.strerror}).",
            "Keep ordinary files in it, with ordinary names.",
        ) from None


@contextlib.contextmanager
def closing_folder(number: int) -> Iterator[int]:
    try:
        yield number
    finally:
        os.close(number)
