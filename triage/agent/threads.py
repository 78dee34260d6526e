"""Threads and all that was told about them: a log in a sqlite file that outlives every process."""

import contextlib
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from triage.agent.events import EVENTS, Event, Received
from triage.agent.planning import Ticket
from triage.agent.storage import connected, writing
from triage.errors import TriageError

SCHEMA = """
CREATE TABLE IF NOT EXISTS threads (
    thread TEXT PRIMARY KEY, customer TEXT NOT NULL, text TEXT NOT NULL,
    cancelled INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE IF NOT EXISTS events (
    id INTEGER PRIMARY KEY AUTOINCREMENT, thread TEXT NOT NULL REFERENCES threads,
    key TEXT NOT NULL, type TEXT NOT NULL, event TEXT NOT NULL, UNIQUE (thread, key)
);
CREATE INDEX IF NOT EXISTS by_thread ON events (thread, id);
CREATE INDEX IF NOT EXISTS by_type ON events (type, id);
"""
PAGE = 100
"""Events that are read at once, whatever a client has missed."""


class Taken(TriageError):
    """The thread's id was used for another ticket."""


@dataclass(frozen=True)
class Line:
    """An event as it is stored: `id` grows, `json` is what is sent."""

    id: int
    type: str
    json: str


class Threads:
    """All threads of one desk. Connections are per call, so any thread or process may use it."""

    def __init__(self, path: Path):
        self.path = path
        with self._connected() as connection:
            connection.execute("PRAGMA journal_mode = WAL")  # who reads stops no writer
            connection.executescript(SCHEMA)

    # region open
    def open(self, thread: str, ticket: Ticket) -> bool:
        """Write a ticket down, under an id its page has made; False if it is there."""
        with self._writing() as connection:
            known = connection.execute(
                "SELECT customer, text FROM threads WHERE thread = ?", [thread]
            ).fetchone()
            if known is None:
                connection.execute(
                    "INSERT INTO threads (thread, customer, text) VALUES (?, ?, ?)",
                    (thread, ticket["customer"], ticket["text"]),
                )
                _append(connection, thread, "received", Received(text=ticket["text"]))
                return True
        if known != (ticket["customer"], ticket["text"]):
            raise Taken(f"{thread} is the id of another ticket. Make a new one.")
        return False

    # endregion open

    # region append
    def append(self, thread: str, key: str, event: Event) -> bool:
        """Tell something once; `key` names it within its thread. False if known."""
        with self._writing() as connection:
            return _append(connection, thread, key, event)

    def after(self, thread: str, last: int, types: str = "*") -> list[Line]:
        """What follows the event `last`, PAGE of them at most. `*` is every thread."""
        with self._connected() as connection:
            rows = connection.execute(
                "SELECT id, type, event FROM events WHERE id > :last "
                "AND (:thread = '*' OR thread = :thread) AND type GLOB :types "
                "ORDER BY id LIMIT :most",
                {"last": last, "thread": thread, "types": types, "most": PAGE},
            )
            return [Line(*row) for row in rows]

    # endregion append

    def ticket(self, thread: str) -> Ticket | None:
        with self._connected() as connection:
            row = connection.execute(
                "SELECT customer, text FROM threads WHERE thread = ?", [thread]
            ).fetchone()
        return Ticket(customer=row[0], text=row[1]) if row else None

    def unfinished(self) -> list[str]:
        """The threads that have not been told to be done, oldest first."""
        query = (
            "SELECT thread FROM threads WHERE NOT EXISTS (SELECT 1 FROM events "
            "WHERE events.thread = threads.thread AND type = 'done') ORDER BY rowid"
        )
        with self._connected() as connection:
            return [thread for (thread,) in connection.execute(query)]

    def about(self, order: str) -> list[str]:
        """The threads in which somebody was asked to approve something about an order."""
        query = (
            "SELECT DISTINCT thread FROM events WHERE type = 'approval_wanted' "
            "AND json_extract(event, '$.order') = ?"
        )
        with self._connected() as connection:
            return [thread for (thread,) in connection.execute(query, [order])]

    def told(self, thread: str, kind: str) -> list[str]:
        """The thread's events of one type, as JSON."""
        query = "SELECT event FROM events WHERE thread = ? AND type = ? ORDER BY id"
        with self._connected() as connection:
            return [event for (event,) in connection.execute(query, (thread, kind))]

    def cancel(self, thread: str) -> None:
        """Let whoever works on it stop at the next step."""
        with self._writing() as connection:
            connection.execute(
                "UPDATE threads SET cancelled = 1 WHERE thread = ?", [thread]
            )

    def is_cancelled(self, thread: str) -> bool:
        query = "SELECT 1 FROM threads WHERE thread = ? AND cancelled"
        with self._connected() as connection:
            return connection.execute(query, [thread]).fetchone() is not None

    @contextlib.contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        with connected(self.path) as connection:
            connection.execute("PRAGMA synchronous = NORMAL")
            yield connection

    @contextlib.contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """One writer at a time, so that ids become visible in their order."""
        with self._connected() as connection, writing(connection):
            yield connection


def _append(
    connection: sqlite3.Connection, thread: str, key: str, event: Event
) -> bool:
    added = connection.execute(
        "INSERT OR IGNORE INTO events (thread, key, type, event) VALUES (?, ?, ?, ?)",
        (thread, key, event.type, EVENTS.dump_json(event).decode()),
    )
    return added.rowcount == 1
