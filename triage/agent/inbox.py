"""Tickets that wait for a worker: a sqlite file, and no ticket is lost when a worker is.

Delivery is at least once. What a ticket does twice must be harmless, which is what the desk's keys are for.
"""

import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from triage.agent.storage import transaction
from triage.errors import TriageError

# region schema
SCHEMA = """
CREATE TABLE tickets (
    id TEXT PRIMARY KEY, customer TEXT NOT NULL, text TEXT NOT NULL,
    came REAL NOT NULL,
    state TEXT NOT NULL DEFAULT 'waiting', -- or taken, done, person
    due REAL NOT NULL,  -- waiting: not before, taken: until when it is leased
    tries INTEGER NOT NULL DEFAULT 0, -- that are held against the ticket
    turn INTEGER NOT NULL DEFAULT 0   -- times it was taken: the last one counts
);
CREATE INDEX next ON tickets (state, due, came);
CREATE TABLE endings (ticket TEXT, kind TEXT, outcome TEXT, came REAL, at REAL)
"""
# endregion schema


class Full(TriageError):
    """There is no room for another ticket; whoever sends one is to try again later, or to write to people."""


@dataclass(frozen=True)
class Job:
    """A ticket in a worker's hands. `turn` tells this delivery from an earlier and a later one."""

    id: str
    customer: str
    text: str
    tries: int
    turn: int


class Inbox:
    """The tickets in one file, for many processes on one machine."""

    def __init__(
        self,
        path: Path,
        room: int = 2_000,
        lease: float = 60.0,
        tries: int = 3,
        clock: Callable[[], float] = time.time,
    ):
        self.path, self.room, self.lease = path, room, lease
        self.tries, self.clock = tries, clock
        with transaction(self.path) as connection:
            known = connection.execute("SELECT 1 FROM sqlite_master").fetchone()
            for statement in [] if known else SCHEMA.split(";"):
                connection.execute(statement)

    # region put
    def put(self, id: str, customer: str, text: str) -> None:
        """Take a ticket in; a second time, nothing happens. Raises Full."""
        with transaction(self.path) as connection:
            if connection.execute(
                "SELECT 1 FROM tickets WHERE id = ?", [id]
            ).fetchone():
                return
            open_ = "SELECT count(*) FROM tickets WHERE state IN ('waiting', 'taken')"
            if connection.execute(open_).fetchone()[0] >= self.room:
                raise Full(f"{self.room} tickets wait; there is no room for {id}.")
            connection.execute(
                "INSERT INTO tickets (id, customer, text, came, due) VALUES (?,?,?,?,?)",
                (id, customer, text, self.clock(), self.clock()),
            )

    # endregion put

    # region take
    def take(self) -> Job | None:
        """The oldest ticket that is due, of a customer nobody is working for."""
        with transaction(self.path) as connection:
            now = self.clock()
            killed = connection.execute(
                "UPDATE tickets SET state = 'person' WHERE state = 'taken' "
                "AND due <= ? AND tries >= ? RETURNING id, came",
                (now, self.tries),
            ).fetchall()
            for id, came in killed:
                note(connection, id, "limit", "its workers died", came, now)
            row = connection.execute(
                """SELECT id FROM tickets AS mine
                   WHERE state IN ('waiting', 'taken') AND due <= :now
                   AND NOT EXISTS (
                       SELECT 1 FROM tickets AS other WHERE state = 'taken'
                       AND other.customer = mine.customer AND due > :now)
                   ORDER BY came, id LIMIT 1""",
                {"now": now},
            ).fetchone()
            if row is None:
                return None
            taken = connection.execute(
                """UPDATE tickets SET state = 'taken', due = ?, tries = tries + 1,
                   turn = turn + 1 WHERE id = ?
                   RETURNING id, customer, text, tries, turn""",
                (now + self.lease, row[0]),
            ).fetchone()
            return Job(*taken)

    # endregion take

    # region after
    def beat(self, job: Job) -> bool:
        """Still at it. False if the ticket has been given to somebody else."""
        return self._change(job, "due = ?", self.clock() + self.lease)

    def done(self, job: Job, outcome: str) -> bool:
        return self._end(job, "done", "done", outcome)

    def person(self, job: Job, why: str, limit: bool = False) -> bool:
        """People go on with it; `limit` says that it was stopped, and did not end."""
        return self._end(job, "person", "limit" if limit else "person", why)

    def again(self, job: Job, why: str) -> bool:
        """It failed. Later once more, and after the last try it is for people."""
        if job.tries >= self.tries:
            return self.person(job, f"{job.tries} tries: {why}", limit=True)
        due = self.clock() + 10 * 2**job.tries
        return self._change(job, "state = 'waiting', due = ?", due)

    def give_back(self, job: Job) -> bool:
        """It could not be worked on, by no fault of its own: the try does not count."""
        changes = "state = 'waiting', tries = tries - 1, due = ?"
        return self._change(job, changes, self.clock())

    # endregion after

    def reopen(self, id: str) -> None:
        """A person has decided, or mended what was wrong: it is worked on again, with all of its tries."""
        with transaction(self.path) as connection:
            connection.execute(
                "UPDATE tickets SET state = 'waiting', due = ?, tries = 0 "
                "WHERE id = ? AND state = 'person'",
                (self.clock(), id),
            )

    def counts(self) -> dict[str, int]:
        """Tickets by state, each state named even if there are none."""
        with transaction(self.path) as connection:
            query = "SELECT state, count(*) FROM tickets GROUP BY state"
            found = dict(connection.execute(query).fetchall())
        return {
            state: found.get(state, 0)
            for state in ("waiting", "taken", "done", "person")
        }

    def oldest(self) -> float:
        """Seconds that the oldest of those who wait has been waiting; 0 if there is none."""
        with transaction(self.path) as connection:
            query = "SELECT min(came) FROM tickets WHERE state IN ('waiting', 'taken')"
            came = connection.execute(query).fetchone()[0]
        return 0.0 if came is None else self.clock() - came

    def endings(self) -> list[tuple[str, str, str, float, float]]:
        """Ticket, kind (done, person or limit), outcome, when it came and when it ended, in this order.

        A ticket that is reopened ends more than once.
        """
        with transaction(self.path) as connection:
            return connection.execute("SELECT * FROM endings ORDER BY rowid").fetchall()

    def _end(self, job: Job, state: str, kind: str, outcome: str) -> bool:
        with transaction(self.path) as connection:
            row = connection.execute(
                "UPDATE tickets SET state = ? WHERE id = ? AND turn = ? "
                "AND state = 'taken' RETURNING came",
                (state, job.id, job.turn),
            ).fetchone()
            if row:
                note(connection, job.id, kind, outcome, row[0], self.clock())
            return row is not None

    # region fence
    def _change(self, job: Job, changes: str, *values: object) -> bool:
        """Only for the worker that has it now: the turn of a late one is over."""
        with transaction(self.path) as connection:
            changed = connection.execute(
                f"UPDATE tickets SET {changes} "
                "WHERE id = ? AND turn = ? AND state = 'taken'",
                (*values, job.id, job.turn),
            )
            return changed.rowcount == 1

    # endregion fence


def note(connection: sqlite3.Connection, *ending: object) -> None:
    connection.execute("INSERT INTO endings VALUES (?, ?, ?, ?, ?)", ending)
