"""Nothing of a judge's outlives it for long, even if it was killed."""

import os
import platform
import signal
import subprocess
import sys
import time

import pytest
from engines import leftovers

from autograder import owner
from autograder.engine import Engine

JUDGE = """
import sys, threading, time
from pathlib import Path
from autograder.engine import Engine
engine = Engine.connect(sys.argv[1])
image = engine.build(Path(sys.argv[2]))
with engine.run(image, command=["sleep", "600"]):
    lines = "FROM python:3.11-slim", "RUN touch /x", "RUN sleep 86398.5", ""
    (Path(sys.argv[2]) / "Dockerfile").write_text("\\n".join(lines))
    threading.Thread(target=engine.build, args=[Path(sys.argv[2])]).start()
    print(engine.job, flush=True)
    time.sleep(600)
"""


def running(command: str) -> bool:
    listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True)
    return command in listed.stdout.splitlines()


def wait_until(condition) -> bool:
    deadline = time.monotonic() + 60
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.2)
    return condition()


@pytest.mark.slow
def test_what_a_killed_judge_left_is_swept_and_nothing_else(engine, context):
    folder = context("RUN touch /y")
    judge = subprocess.Popen(
        [sys.executable, "-c", JUDGE, engine.program, str(folder)],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        job = judge.stdout.readline().strip()
        assert job
        assert wait_until(lambda: running("sleep 86398.5"))
    finally:
        judge.kill()  # not yet reaped: a dead process that is still listed
        judge.stdout.close()
    with Engine.connect(engine.program) as alive:
        image = alive.image(alive.base)
        with alive.run(image, command=["sleep", "600"]) as container:
            assert leftovers(engine, job)
            engine.sweep()
            assert leftovers(engine, job) == ""
            assert wait_until(lambda: not running("sleep 86398.5"))
            assert container.state().running, "a living judge lost its container"
    judge.wait()


def test_this_process_is_alive_and_others_are_not():
    mine = owner.this_process()
    pid, started, boot, host = mine.split(":")
    assert int(pid) == os.getpid()
    assert owner.alive(mine)
    assert not owner.alive(f"{pid}:{int(started) + 1}:{boot}:{host}"), "pid was reused"
    assert not owner.alive(f"{pid}:{started}:another-boot:{host}")
    assert not owner.alive(f"{2**22 + 1}:{started}:{boot}:{host}")
    assert owner.alive(f"{2**22 + 1}:{started}:{boot}:another-host"), "cannot be known"
    assert owner.alive("somebody else's label")


def test_an_unreaped_process_is_dead():
    process = subprocess.Popen(["sleep", "60"])
    _, _, boot, host = owner.this_process().split(":")
    label = f"{process.pid}:{owner._started(process.pid)}:{boot}:{host}"
    assert owner.alive(label)
    process.send_signal(signal.SIGKILL)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert not owner.alive(label)
    process.wait()
    assert not owner.alive(label)
    assert platform.node() == host
