"""What the guest says, line by line, read as what it is: text by somebody who wants points."""

import json
import math
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from autograder.errors import InfrastructureError, LearnerError
from autograder.sandbox import Completed, Limits

QUOTED = 200  # characters of the learner's own text in a message
MEND = "Restart the kernel, run all cells from the top, and mend the first that fails."


@dataclass(frozen=True)
class Returned:
    value: Any  # what JSON has: None, bool, int, finite float, str, list, dict with str keys


@dataclass(frozen=True)
class Raised:
    kind: str  # the exception's class
    message: str


class Transcript:
    """The results so far. `read` raises LearnerError for what the notebook did wrong, and for nonsense."""

    def __init__(self, cells: Sequence[str], names: Sequence[str]):
        self.results: list[Returned | Raised] = []
        self._steps = [
            *(("cell", number) for number in range(len(cells))),
            *(("call", number) for number in range(len(names))),
        ]
        self._places = [
            *(f"the cell that begins with `{first_line(cell)}`" for cell in cells),
            *(f"`{name}`" for name in names),
        ]
        self._begun = 0  # steps
        self._answered = len(cells)  # steps; cells need no answer

    @property
    def place(self) -> str:
        return self._places[self._begun - 1] if self._begun else "the notebook"

    @property
    def _next(self) -> tuple[str, int] | None:
        return self._steps[self._begun] if self._begun < len(self._steps) else None

    @property
    def complete(self) -> bool:
        return self._begun == self._answered == len(self._steps)

    def read(self, line: bytes) -> None:
        match parse(line):
            case ["cell" | "call", int()] as step if tuple(step) == self._next:
                self._begun += 1
            case ["failed", str(kind), str(message)]:
                seen = f"{self.place} raised {error(kind, message)}."
                raise LearnerError(seen[0].upper() + seen[1:], MEND)
            case [kind, *details] if self._answered == self._begun - 1:
                self._answered += 1
                self.results.append(self._result(kind, details))
            case _:
                forged()

    def _result(self, kind: Any, details: list[Any]) -> Returned | Raised:
        match kind, details:
            case "returned", [value]:
                return Returned(value)
            case "raised", [str(name), str(message)]:
                return Raised(clean(name), clean(message))
            case "absent", [""]:
                raise LearnerError(
                    f"The notebook does not define {self.place}.",
                    "Define it at the top level of a cell, under exactly this name.",
                )
            case "absent", [str(what)]:
                raise LearnerError(
                    f"{self.place} is not a function but of type {clean(what)}.",
                    "Look for a later cell that gives the name another value.",
                )
            case "unusable", [str(what), str(name), str(message)]:
                raise LearnerError(
                    f"{self.place} returned a value of type {clean(what)} that the judge cannot read "
                    f"({error(name, message)}).",
                    "Return finite numbers, strings, lists and dicts.",
                )
        forged()

    def explain(self, completed: Completed, limits: Limits) -> NoReturn:
        """Raise the error for a program that ended before its last answer."""
        if completed.stopped:
            seen, advice = stopped(completed.stopped, limits)
        elif not self._begun:  # nothing of the learner's has run yet
            problem = completed.stderr.decode(errors="replace").strip()[-500:]
            raise InfrastructureError(
                f"Python ended before the first cell ({ending(completed.status)}): {problem}. "
                "Run `pivot doctor`, then grade again."
            )
        elif len(completed.stdout) >= limits.output:
            seen = f"returned more than the {limits.output:,} bytes the judge reads"
            advice = "Return only what the assignment asks for."
        else:
            seen = f"ended the whole program ({ending(completed.status)})"
            advice = "A function returns or raises; take out what ends Python itself."
        raise LearnerError(f"{self.place[0].upper()}{self.place[1:]} {seen}.", advice)


def parse(line: bytes) -> Any:
    """JSON, and nothing that JSON does not have. Raises LearnerError."""
    try:
        value = json.loads(
            line,
            parse_constant=_refuse,
            parse_float=_finite,
            object_pairs_hook=_unique,
        )
        json.dumps(value, ensure_ascii=False).encode()  # half of a surrogate pair fails
    except (ValueError, RecursionError):
        forged()
    return value


def _refuse(name: str) -> NoReturn:
    raise ValueError(name)


def _finite(text: str) -> float:
    if not math.isfinite(number := float(text)):
        raise ValueError(text)
    return number


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) < len(pairs):
        raise ValueError("a key occurs twice")
    return dict(pairs)


def forged() -> NoReturn:
    raise LearnerError(
        "The notebook's answers could not be read.",
        "Return plain finite numbers, strings, lists and dicts, and do not fork or write to descriptors.",
    )


def stopped(why: str, limits: Limits) -> tuple[str, str]:
    """What is to be said of a program that broke a limit."""
    return {
        "time": (
            f"did not finish within {limits.seconds:g} seconds",
            "Look for a loop that does not end, or for work that could be done once.",
        ),
        "memory": (
            f"used more than {limits.memory >> 20:,} MB of memory",
            "Hold less at once.",
        ),
        "disk": ("wrote too many files", "Write fewer files, or none."),
        "output": ("printed without end", "Take out what prints in a loop."),
    }[why]


def ending(status: int) -> str:
    if status >= 0:
        return f"exit status {status}"
    try:
        return f"signal {signal.Signals(-status).name}"
    except ValueError:
        return f"signal {-status}"


def error(kind: str, message: str) -> str:
    return clean(f"{kind}: {message}" if message else kind).rstrip(".")


def first_line(cell: str) -> str:
    lines = [line for line in cell.splitlines() if line.strip()]
    return clean(lines[0] if lines else "")[:60]


def clean(text: str) -> str:
    """One line of printable characters, cut to QUOTED."""
    line = " ".join(text.split())
    return "".join(c for c in line if c.isprintable())[:QUOTED]
