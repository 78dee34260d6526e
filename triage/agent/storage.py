"""Sqlite files that several processes write to."""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def connected(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection that waits for others' writing, and leaves it to `writing` to begin."""
    with contextlib.closing(
        sqlite3.connect(path, timeout=30, isolation_level=None)
    ) as connection:
        yield connection


@contextlib.contextmanager
def writing(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """One writer at a time; all of it is on disk when the block has ended, or nothing."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield connection
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


@contextlib.contextmanager
def transaction(path: Path) -> Iterator[sqlite3.Connection]:
    """Both for one block. What is read in it stays true until what follows from it is written."""
    with connected(path) as connection, writing(connection):
        yield connection
