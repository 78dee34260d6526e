"""Search in the desk's runbooks: words and meaning in one sqlite file, and only what the asker may read.

The file is written by `Index.update` in one transaction, so that readers, in any number of processes, see
the runbooks as they were before or as they are after.
"""

import contextlib
import json
import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Literal

import apsw
import numpy as np
import sqlite_vec

from triage.agent.chunks import EVERYONE, MOST_WORDS, Chunk, Runbook
from triage.agent.ranking import CONSTANT, STOP, fuse, terms
from triage.errors import TriageError

Encode = Callable[[Sequence[str]], np.ndarray]
"""Texts to float32 rows of length one, such as `Encoder.load().encode`."""

By = Literal["words", "vectors", "hybrid"]

MOST_HITS = 50
DEPTH = 20
"""Candidates that each kind of search hands to the fusion."""
MOST_ASKED = 4_000
"""Characters of a question that are looked at; a pasted log does not make a better question."""

# region schema
SCHEMA = """
CREATE TABLE facts (encoder TEXT NOT NULL);
CREATE TABLE runbooks (
    name TEXT PRIMARY KEY, title TEXT NOT NULL, updated TEXT NOT NULL
);
CREATE TABLE readers (runbook TEXT, team TEXT, PRIMARY KEY (runbook, team));
CREATE TABLE chunks (
    id INTEGER PRIMARY KEY, runbook TEXT NOT NULL, digest TEXT NOT NULL,
    heading TEXT NOT NULL, text TEXT NOT NULL, UNIQUE (runbook, digest)
);
CREATE VIRTUAL TABLE words USING fts5(
    title, heading, text, tokenize = 'porter unicode61'
);
CREATE VIRTUAL TABLE vectors USING vec0(
    id INTEGER PRIMARY KEY, embedding float[{width}] distance_metric=cosine
);
"""
# endregion schema

# region queries
ALLOWED = """
    SELECT id FROM chunks JOIN readers USING (runbook)
    WHERE team IN (SELECT value FROM json_each(:teams))
"""
BY_WORDS = f"""
    SELECT rowid FROM words
    WHERE words MATCH :terms AND +rowid IN ({ALLOWED})
    ORDER BY rank LIMIT :k
"""
BY_VECTORS = f"""
    SELECT id FROM vectors
    WHERE embedding MATCH :vector AND k = :k AND id IN ({ALLOWED})
    ORDER BY distance
"""
# endregion queries
HITS = """
    SELECT chunks.id, runbook, title, heading, text, updated,
           iif(:vector IS NULL, NULL, 1 - vec_distance_cosine(embedding, :vector))
    FROM json_each(:ids) JOIN chunks ON chunks.id = value
    JOIN runbooks ON name = runbook JOIN vectors ON vectors.id = value
    ORDER BY key
"""


@dataclass(frozen=True)
class Hit:
    """A passage that was found, with what an answer must cite."""

    id: int
    runbook: str
    title: str
    heading: str
    text: str
    updated: date
    similarity: float | None
    """Cosine of question and passage, whichever search found it; None in a search by words alone."""

    @property
    def source(self) -> str:
        return f"{self.title}, {self.heading} ({self.updated})"


@dataclass(frozen=True)
class Changes:
    """What an update did, in chunks."""

    embedded: int
    kept: int
    removed: int


class Index:
    """An index of runbooks in the sqlite file `path`. Many threads may share one.

    `encoder` names what makes the vectors. An index made by another one is refused, since its distances
    would be numbers without a meaning.
    """

    def __init__(
        self,
        path: Path,
        encode: Encode,
        encoder: str = "all-MiniLM-L6-v2",
        most_words: int = MOST_WORDS,
        depth: int = DEPTH,
        constant: int = CONSTANT,
        stop: frozenset[str] = STOP,
    ):
        self.path, self.encode, self.encoder = path, encode, encoder
        self.most_words = most_words
        self.depth, self.constant, self.stop = depth, constant, stop
        self._threads = threading.local()

    # region update
    def update(self, runbooks: Iterable[Runbook]) -> Changes:
        """Make the index say what these runbooks say, all of it or nothing."""
        books = list(runbooks)
        _check_names(books)
        wanted = {
            (book.name, chunk.digest): chunk
            for book in books
            for chunk in book.chunks(self.most_words)
        }
        with self._writing() as db:
            known = {
                (runbook, digest): id
                for id, runbook, digest in db.execute(
                    "SELECT id, runbook, digest FROM chunks"
                )
            }
            new = [key for key in wanted if key not in known]
            gone = [(known[key],) for key in known if key not in wanted]
            texts = [wanted[key].embedded for key in new]
            vectors: Sequence[np.ndarray] = list(self.encode(texts)) if new else []

            db.execute("DELETE FROM runbooks; DELETE FROM readers")
            for book in books:
                db.execute(
                    "INSERT INTO runbooks VALUES (?, ?, ?)",
                    (book.name, book.title, book.updated.isoformat()),
                )
                db.executemany(
                    "INSERT INTO readers VALUES (?, ?)",
                    [(book.name, team) for team in book.audience],
                )
            db.executemany("DELETE FROM chunks WHERE id = ?", gone)
            db.executemany("DELETE FROM words WHERE rowid = ?", gone)
            db.executemany("DELETE FROM vectors WHERE id = ?", gone)
            for key, vector in zip(new, vectors, strict=True):
                self._insert(db, key, wanted[key], vector)
        return Changes(len(new), len(wanted) - len(new), len(gone))

    # endregion update

    @staticmethod
    def _insert(
        db: apsw.Connection, key: tuple[str, str], chunk: Chunk, vector: np.ndarray
    ) -> None:
        db.execute(
            "INSERT INTO chunks (runbook, digest, heading, text) VALUES (?, ?, ?, ?)",
            (*key, chunk.heading, chunk.text),
        )
        id = db.last_insert_rowid()
        db.execute(
            "INSERT INTO words (rowid, title, heading, text) VALUES (?, ?, ?, ?)",
            (id, chunk.title, chunk.heading, chunk.text),
        )
        db.execute(
            "INSERT INTO vectors VALUES (?, ?)",
            (id, np.asarray(vector, np.float32).tobytes()),
        )

    # region search
    def search(
        self, question: str, teams: Collection[str], k: int = 5, by: By = "hybrid"
    ) -> list[Hit]:
        """The k best passages among those that a member of these teams may read."""
        asked = _readable(question, teams, k)
        given = {
            "teams": json.dumps([EVERYONE, *teams]),
            "k": max(k, self.depth) if by == "hybrid" else k,
        }
        vector = None
        if by != "words":
            vector = self.encode([asked])[0].astype(np.float32).tobytes()
        with self._reading() as db:  # one snapshot for all three queries
            rankings = []
            if by != "vectors" and (match := terms(asked, self.stop)):
                found = db.execute(BY_WORDS, {**given, "terms": match})
                rankings.append([id for (id,) in found])
            if vector is not None:
                found = db.execute(BY_VECTORS, {**given, "vector": vector})
                rankings.append([id for (id,) in found])
            ids = json.dumps(fuse(rankings, self.constant)[:k])
            rows = db.execute(HITS, {"ids": ids, "vector": vector})
            return [_hit(row) for row in rows]

    # endregion search

    def close(self) -> None:
        """Close this thread's connection, so that the file may be moved or deleted."""
        if (db := self._threads.__dict__.pop("db", None)) is not None:
            db.close()

    @contextlib.contextmanager
    def _writing(self) -> Iterator[apsw.Connection]:
        missing = f"{self.path} cannot be made; choose a folder you may write to."
        with self._explained(missing):
            db = self._connection(create=True)
            db.execute("BEGIN IMMEDIATE")
            try:
                if not _exists(db):
                    width = self.encode(["How wide is a vector?"]).shape[1]
                    db.execute(SCHEMA.format(width=width))
                    db.execute("INSERT INTO facts VALUES (?)", [self.encoder])
                self._check(db)
                yield db
                db.execute("COMMIT")
            finally:
                if db.in_transaction:  # something was raised
                    db.execute("ROLLBACK")

    @contextlib.contextmanager
    def _reading(self) -> Iterator[apsw.Connection]:
        missing = f"There is no index at {self.path}; Index.update makes one."
        with self._explained(missing):
            db = self._connection()
            db.execute("BEGIN")
            try:
                self._check(db)
                yield db
            finally:
                db.execute("ROLLBACK")

    def _connection(self, create: bool = False) -> apsw.Connection:
        """This thread's own connection to the file."""
        db = getattr(self._threads, "db", None)
        if db is not None and not self.path.exists():  # deleted, and still open here
            self.close()
            db = None
        if db is None:
            flags = apsw.SQLITE_OPEN_READWRITE | (apsw.SQLITE_OPEN_CREATE * create)
            db = apsw.Connection(str(self.path), flags=flags)
            db.set_busy_timeout(10_000)
            db.enable_load_extension(True)
            db.load_extension(sqlite_vec.loadable_path())
            db.enable_load_extension(False)
            db.execute("PRAGMA journal_mode = WAL")  # a writer does not stop readers
            db.execute("PRAGMA mmap_size = 1073741824")  # a search reads every vector
            self._threads.db = db
        return db

    def _check(self, db: apsw.Connection) -> None:
        if not _exists(db):
            raise TriageError(f"{self.path} holds no index; Index.update makes one.")
        ((found,),) = db.execute("SELECT encoder FROM facts")
        if found != self.encoder:
            raise TriageError(
                f"The vectors in {self.path} were made by {found}, not by "
                f"{self.encoder}. Delete the file and update again."
            )

    @contextlib.contextmanager
    def _explained(self, missing: str) -> Iterator[None]:
        try:
            yield
        except apsw.CantOpenError as error:
            raise TriageError(missing) from error
        except apsw.BusyError as error:
            raise TriageError(
                f"Somebody else is writing to {self.path}; try again when they are done."
            ) from error
        except apsw.Error as error:
            raise TriageError(
                f"The index {self.path} cannot be used: {error}. "
                "Delete the file and update again."
            ) from error


def _check_names(books: list[Runbook]) -> None:
    names = Counter(book.name for book in books)
    if twice := [name for name, count in names.items() if count > 1]:
        raise TriageError(f"Two runbooks are called {twice[0]}; rename one of them.")


def _hit(row: tuple) -> Hit:
    id, runbook, title, heading, text, day, similarity = row
    return Hit(id, runbook, title, heading, text, date.fromisoformat(day), similarity)


def _exists(db: apsw.Connection) -> bool:
    query = "SELECT 1 FROM sqlite_schema WHERE name = 'facts'"
    return db.execute(query).fetchone() is not None


def _readable(question: str, teams: Collection[str], k: int) -> str:
    """The question as the encoder can read it, or TriageError."""
    if isinstance(teams, str):
        raise TriageError(f"Give the teams as a list: [{teams!r}].")
    if not 1 <= k <= MOST_HITS:
        raise TriageError(f"k is {k}; ask for 1 to {MOST_HITS} passages.")
    text = question[:MOST_ASKED].replace("\0", " ")
    text = text.encode("utf-8", "replace").decode()  # half a character has no code
    if not text.strip():
        raise TriageError("The question is empty; write what to look for.")
    return text
