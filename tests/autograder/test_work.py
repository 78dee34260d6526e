"""The handle: things made once and ended, numbers that repeat, time that runs out."""

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from autograder.errors import InfrastructureError, LearnerError
from autograder.work import Work


def a_work(folder: Path, **options: float) -> Work:
    def none() -> None:
        raise InfrastructureError("not here")

    return Work(folder, seed=7, code=list, sandbox=none, engine=none, **options)


def test_shared_things_are_made_once_and_ended(tmp_path: Path):
    events = []

    @contextlib.contextmanager
    def thing(work: Work) -> Iterator[int]:
        events.append("made")
        yield len(events)
        events.append("ended")

    with a_work(tmp_path) as work:
        assert work.shared(thing) == work.shared(thing) == 1
    assert events == ["made", "ended"]


def test_what_could_not_be_made_is_not_tried_again(tmp_path: Path):
    tries = []

    @contextlib.contextmanager
    def broken(work: Work) -> Iterator[None]:
        tries.append(1)
        raise LearnerError("It does not build.", "Read the log.")
        yield

    with a_work(tmp_path) as work:
        for _ in range(3):
            with pytest.raises(LearnerError, match="does not build"):
                work.shared(broken)
    assert len(tries) == 1


def test_a_check_draws_the_same_numbers_whatever_ran_before(tmp_path: Path):
    with a_work(tmp_path) as work:
        work.begin("a/one")
        first = work.random.random()
        work.begin("a/two")
        second = work.random.random()
        work.begin("a/one")
        assert work.random.random() == first != second


def test_time_runs_out(tmp_path: Path):
    with (
        a_work(tmp_path, deadline=time.monotonic()) as work,
        pytest.raises(LearnerError, match="used up"),
    ):
        work.begin("a/one")


def test_no_sandbox_is_no_fallback(tmp_path: Path):
    with a_work(tmp_path) as work, pytest.raises(InfrastructureError):
        work.sandbox.run(["true"], folder=tmp_path)
