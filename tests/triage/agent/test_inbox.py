"""The inbox: every ticket ends once, whatever happens to workers, and nobody waits behind one that fails."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from triage.agent.inbox import Full, Inbox, Job


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def inbox(tmp_path: Path, clock: Clock) -> Inbox:
    return Inbox(tmp_path / "inbox.db", room=10, lease=60, tries=3, clock=clock)


def put(inbox: Inbox, clock: Clock, *tickets: str) -> None:
    """Each a second after the one before, as `id` or `id/customer`."""
    for ticket in tickets:
        id, _, customer = ticket.partition("/")
        inbox.put(id, customer or f"of {id}", f"text of {id}")
        clock.now += 1


def take(inbox: Inbox) -> Job:
    job = inbox.take()
    assert job is not None
    return job


def test_the_oldest_first_and_each_once(inbox: Inbox, clock: Clock) -> None:
    put(inbox, clock, "b", "a", "b")
    jobs = [take(inbox), take(inbox)]
    assert [job.id for job in jobs] == ["b", "a"]
    assert jobs[0].text == "text of b"
    assert inbox.take() is None
    assert all(inbox.done(job, "packed") for job in jobs)
    assert inbox.counts() == {"waiting": 0, "taken": 0, "done": 2, "person": 0}
    assert inbox.endings()[0] == ("b", "done", "packed", 1_000.0, 1_003.0)


def test_a_customer_has_one_worker(inbox: Inbox, clock: Clock) -> None:
    put(inbox, clock, "a/C-1", "b/C-1", "c/C-2")
    first = take(inbox)
    assert (first.id, take(inbox).id, inbox.take()) == ("a", "c", None)
    inbox.done(first, "packed")
    assert take(inbox).id == "b"


def test_a_lease_that_runs_out_is_taken_again(inbox: Inbox, clock: Clock) -> None:
    put(inbox, clock, "a")
    late = take(inbox)
    clock.now += 59
    assert inbox.take() is None
    assert inbox.beat(late)
    clock.now += 59
    assert inbox.take() is None
    clock.now += 1
    second = take(inbox)
    assert (second.id, second.tries) == ("a", 2)
    assert not inbox.beat(late)
    assert not inbox.done(late, "too late")
    assert not inbox.again(late, "too late")
    assert inbox.done(second, "in time")
    assert [outcome for _, _, outcome, *_ in inbox.endings()] == ["in time"]


def test_it_is_tried_later_and_then_no_more(inbox: Inbox, clock: Clock) -> None:
    put(inbox, clock, "a", "b")
    for wait in (20, 40):
        assert inbox.again(take(inbox), "broken")
        other = take(inbox)  # who waits behind it is served meanwhile
        assert other.id == "b"
        inbox.give_back(other)
        clock.now += wait
    assert inbox.again(take(inbox), "broken")
    assert inbox.counts()["person"] == 1
    assert inbox.endings()[0][1:3] == ("limit", "3 tries: broken")


def test_one_that_kills_its_workers_is_for_people(inbox: Inbox, clock: Clock) -> None:
    put(inbox, clock, "a")
    for _ in range(3):
        take(inbox)
        clock.now += 60
    assert inbox.take() is None
    assert inbox.endings()[0][:3] == ("a", "limit", "its workers died")
    inbox.reopen("a")
    assert take(inbox).tries == 1


def test_what_is_given_back_has_its_tries(inbox: Inbox, clock: Clock) -> None:
    put(inbox, clock, "a")
    for _ in range(10):
        job = take(inbox)
        assert job.tries == 1
        assert inbox.give_back(job)
        assert not inbox.give_back(job)


def test_it_refuses_when_it_is_full(inbox: Inbox, clock: Clock) -> None:
    put(inbox, clock, *(f"t-{n}" for n in range(10)))
    with pytest.raises(Full, match="10 tickets wait"):
        inbox.put("more", "C-1", "text")
    inbox.put("t-3", "C-1", "known already, so nothing to refuse")
    inbox.done(take(inbox), "packed")
    inbox.put("more", "C-1", "text")
    assert inbox.oldest() == clock.now - 1_001


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.integers(0, 5)),
        st.tuples(st.just("take"), st.integers(0, 2)),
        st.tuples(
            st.sampled_from(["done", "again", "give_back", "person", "beat", "die"]),
            st.integers(0, 2),
        ),
        st.tuples(st.just("wait"), st.sampled_from([1, 30, 61])),
    ),
    max_size=60,
)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(STEPS)
def test_no_ticket_is_lost_or_ends_twice(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int]]
) -> None:
    """Three workers, any interleaving, deaths and late answers: then the work is ended and counted."""
    clock = Clock()
    path = tmp_path_factory.mktemp("inbox") / "inbox.db"
    inbox = Inbox(path, room=100, lease=60, tries=3, clock=clock)
    hands: dict[int, Job] = {}
    sent: set[str] = set()
    for what, number in steps:
        if what == "put":
            inbox.put(f"t-{number}", f"C-{number % 2}", "text")
            sent.add(f"t-{number}")
        elif what == "take":
            job = inbox.take()
            if job:  # whoever had one before has forgotten it, and it will be late
                hands[number] = job
        elif what == "wait":
            clock.now += number
        elif what == "die":
            hands.pop(number, None)
        elif number in hands:
            job = hands[number]
            act = getattr(inbox, what)
            act(job) if what in ("give_back", "beat") else act(job, "said")
            if what != "beat":
                del hands[number]
        assert sum(inbox.counts().values()) == len(sent)
    for _ in range(200):
        if job := inbox.take():
            inbox.done(job, "at last")
        clock.now += 10
    assert inbox.counts()["waiting"] == inbox.counts()["taken"] == 0
    ended = [ticket for ticket, *_ in inbox.endings()]
    assert sorted(ended) == sorted(sent)


WORKER = """
import sys, time
from pathlib import Path
from triage.agent.inbox import Inbox
inbox = Inbox(Path(sys.argv[1]), lease=1.0)
while True:
    if job := inbox.take():
        print(job.id, flush=True)
        time.sleep(0.05)
        inbox.done(job, sys.argv[2])
    else:
        time.sleep(0.05)
"""


@pytest.mark.slow
def test_workers_are_killed_and_every_ticket_ends_once(tmp_path: Path) -> None:
    path = tmp_path / "inbox.db"
    inbox = Inbox(path, lease=1.0)
    wanted = [f"t-{n:02}" for n in range(24)]
    for n, ticket in enumerate(wanted):
        inbox.put(ticket, f"C-{n % 5}", "text")
    run = [sys.executable, "-c", WORKER, str(path)]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])}
    for name in ("one", "two"):
        with subprocess.Popen(
            [*run, name], env=environment, stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout
            for _ in range(4):
                process.stdout.readline()
            process.send_signal(signal.SIGKILL)  # with the fourth in its hands
    last = subprocess.Popen([*run, "three"], env=environment, stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 60
        while inbox.counts()["done"] < len(wanted):
            assert time.monotonic() < deadline, inbox.counts()
            time.sleep(0.1)
    finally:
        last.kill()
        last.wait()
    assert sorted(ticket for ticket, *_ in inbox.endings()) == wanted
