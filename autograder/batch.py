"""Many submissions at once. One that kills its worker costs nobody else anything.

Only names, paths and JSON travel to the workers, and each worker writes the verdict itself: when the judge is
killed, what was written stands, and the next run goes on with what is missing.
"""

import contextlib
import multiprocessing
import os
import tempfile
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, TimeoutError, as_completed
from dataclasses import dataclass
from multiprocessing.connection import wait
from pathlib import Path

from pebble import ProcessExpired, ProcessPool

from autograder import assignments
from autograder.room import room
from autograder.verdict import Verdict

MARGIN = 120.0
"""Seconds beyond the assignment's own limit before a worker is killed: its last build, its clean-up."""


@dataclass(frozen=True)
class Job:
    """One submission to grade. `record` is where its verdict is kept; without it nothing is written."""

    source: Path
    assignment: Path
    learner: str
    record: Path | None = None
    seed: int | None = None


def grade_all(jobs: Iterable[Job], *, workers: int) -> Iterator[tuple[Job, Verdict]]:
    """Grade in `workers` processes and yield verdicts as they come."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        ["autograder.judge", "jupytext"]
    )  # a second, once for all workers
    with (
        importing_nothing_from_here(),
        room() as folder,
        ProcessPool(
            max_workers=workers, context=context, initializer=settle, initargs=[folder]
        ) as pool,
    ):
        futures: dict[Future[str], Job] = {}
        for job in jobs:
            assignment = assignments.load(job.assignment)
            limit = assignment.seconds + MARGIN
            futures[pool.schedule(grade, args=[job], timeout=limit)] = job
        try:
            for future in as_completed(futures):
                job = futures[future]
                try:
                    yield job, Verdict.model_validate_json(future.result())
                except ProcessExpired as error:
                    yield job, lost(job, f"The grading process died ({error}).")
                except TimeoutError:
                    yield job, lost(job, "The grading process did not end in time.")
        except BaseException:
            pool.stop()
            raise


@contextlib.contextmanager
def importing_nothing_from_here() -> Iterator[None]:
    """Workers start as `python -c`, which would import from the folder we are in: it may be a submission."""
    before = os.environ.get("PYTHONSAFEPATH")
    os.environ["PYTHONSAFEPATH"] = "1"
    try:
        yield
    finally:
        del os.environ["PYTHONSAFEPATH"]
        if before is not None:
            os.environ["PYTHONSAFEPATH"] = before


def grade(job: Job) -> str:
    """In a worker: the verdict as JSON, recorded if the job says where."""
    from autograder import judge

    earlier = None
    if job.record and job.record.exists():
        with contextlib.suppress(ValueError):  # another version's: it is graded anew
            earlier = Verdict.read(job.record)
    verdict = judge.grade(
        job.source,
        assignments.load(job.assignment),
        learner=job.learner,
        seed=job.seed,
        earlier=earlier,
    )
    if job.record and verdict is not earlier:
        verdict.write(job.record)
    return verdict.model_dump_json()


def lost(job: Job, why: str) -> Verdict:
    """The verdict when the worker could not give one. It is not recorded, so the next run tries again."""
    assignment = assignments.load(job.assignment)
    return Verdict(
        status="infrastructure-error",
        assignment=assignment.name,
        learner=job.learner,
        message=f"{why} Grade this submission again.",
        points=0,
        max_points=assignment.points,
    )


def settle(folder: Path) -> None:
    """A worker writes to the batch's own folder, which is removed at the end, also if the worker was killed.

    It does not outlive the judge, however that ends; its sandboxes end with the worker.
    """
    tempfile.tempdir = str(folder)
    parent = multiprocessing.parent_process()
    assert parent

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
