"""The handle a check gets on a submission. It reaches the learner's work only from outside."""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from autograder.errors import LearnerError

if TYPE_CHECKING:
    from autograder.engine import Engine
    from autograder.sandbox import Sandbox

T = TypeVar("T")


class Work(contextlib.ExitStack):
    """One submission while it is graded; a context manager that ends everything started for it.

    `folder` holds a clean copy of the submitted files, with the given ones laid over. `random` begins anew
    with each check. For the verdict, whoever builds an image leaves its id in `image`, and what the learner
    should know beside the results goes to `notes`.
    """

    def __init__(
        self,
        folder: Path,
        *,
        seed: int,
        code: Callable[[], list[str]],
        sandbox: Callable[[], Sandbox],
        engine: Callable[[], Engine],
        deadline: float = float("inf"),
    ):
        super().__init__()
        self.folder = folder
        self.image = ""
        self.notes: list[str] = []
        self.seed = seed
        self.deadline = deadline
        self.random = random.Random(seed)
        self._code = code
        self._sandbox = sandbox
        self._engine = engine
        self._shared: dict[Callable[..., Any], Any] = {}
        self._spoilt: dict[Callable[..., Any], LearnerError] = {}

    @cached_property
    def code(self) -> list[str]:
        """The code cells of the submitted notebook, in order. Raises LearnerError where it cannot be read."""
        return self._code()

    @cached_property
    def sandbox(self) -> Sandbox:
        """Raises InfrastructureError where there is none: learner code never runs without."""
        return self._sandbox()

    @cached_property
    def engine(self) -> Engine:
        """The container engine, with everything it makes for this submission removed at the end."""
        return self.enter_context(self._engine())

    def shared(self, make: Callable[[Work], AbstractContextManager[T]]) -> T:
        """What `make(self)` yields: made at the first call, ended with the grading.

        If making it raises LearnerError, whoever asks again gets the same error: no failed build is repeated.
        """
        if make in self._spoilt:
            raise self._spoilt[make]
        if make not in self._shared:
            try:
                self._shared[make] = self.enter_context(make(self))
            except LearnerError as error:
                self._spoilt[make] = error
                raise
        return self._shared[make]

    def begin(self, check: str) -> None:
        """Random numbers that do not depend on what ran before. Raises LearnerError when time is up."""
        if time.monotonic() > self.deadline:
            raise LearnerError(
                "The time for grading this submission was used up before this check.",
                "Look at the checks before it: something there is slow or hangs.",
            )
        self.random = random.Random(f"{self.seed}/{check}")
