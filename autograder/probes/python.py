"""Functions of a learner's notebook, called in a sandbox: JSON in, JSON out.

What comes back was written by the learner's own process and is taken as nothing but data: a program that
forges a line of the protocol gains what it would by returning that value from the function. The values it
is compared with never enter the sandbox. All inputs do, at once, and the program may look at those of
other calls before it answers one; where that would help it, use a `call` for each, which knows no other.
"""

import json
import secrets
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from autograder.errors import LearnerError
from autograder.probes.transcript import Raised, Returned, Transcript, error
from autograder.sandbox import LIMITS, Limits, Sandbox

__all__ = ["Functions", "Raised", "Returned"]

# Sent as text, so that the sandbox needs no file of the judge's.
GUEST = Path(__file__).with_name("guest.py").read_text(encoding="utf-8")
COMMAND = ("python", "-I", "-S", "-B", "-c", GUEST)


class Functions:
    """The functions that the code cells `code` define.

    The cells run with the files of `folder` beside them, read-only, as a notebook has its neighbours.
    """

    def __init__(
        self,
        code: Sequence[str],
        sandbox: Sandbox,
        limits: Limits = LIMITS,
        folder: Path | None = None,
    ):
        self._code = list(code)
        self._sandbox = sandbox
        self._limits = limits
        self._folder = folder

    def call(self, name: str, *arguments: Any) -> Any:
        """What the function returns, as JSON values. Raises LearnerError where it does not return."""
        (result,) = self.call_many([(name, arguments)])
        if isinstance(result, Raised):
            raise LearnerError(
                f"`{name}` raised {error(result.kind, result.message)}.",
                "Call it in the notebook with inputs like those the assignment describes.",
            )
        return result.value

    def call_many(
        self, calls: Sequence[tuple[str, Sequence[Any]]]
    ) -> list[Returned | Raised]:
        """Run the cells once, then call the functions in order: one result for each `(name, arguments)`.

        Raises LearnerError if a cell fails, a function is missing, a value is not JSON or the program ends
        before its last answer; InfrastructureError if it ends before the learner's code has begun.
        """
        nonce = secrets.token_hex(8)
        request = {
            "nonce": nonce,
            "cells": self._code,
            "calls": [(name, list(arguments)) for name, arguments in calls],
        }
        with self._place() as folder:
            completed = self._sandbox.run(
                COMMAND,
                folder=folder,
                stdin=json.dumps(request).encode(),
                limits=self._limits,
            )
        transcript = Transcript(self._code, [name for name, _ in calls])
        for line in completed.stdout.split(b"\n")[:-1]:
            mark, _, message = line.partition(b" ")
            if mark == nonce.encode():
                transcript.read(message)
        if not transcript.complete:
            transcript.explain(completed, self._limits)
        return transcript.results

    @contextmanager
    def _place(self) -> Iterator[Path]:
        if self._folder is not None:
            yield self._folder
        else:
            with tempfile.TemporaryDirectory(prefix="cells-") as folder:
                yield Path(folder)
