"""Larch's orders and payments, as its other systems keep them: one sqlite file, every effect at most once."""

import contextlib
import json
import random
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from triage.agent.dialogues import DAYS, ITEMS, REASONS, order_number
from triage.agent.storage import transaction
from triage.errors import TriageError

APPROVAL = 10_000
"""Cents. Who refunds more needs the approval of a person."""

SCHEMA = """
CREATE TABLE orders (
    number TEXT PRIMARY KEY, customer TEXT NOT NULL, item TEXT NOT NULL, cents INTEGER NOT NULL,
    status TEXT NOT NULL, day TEXT NOT NULL, held INTEGER NOT NULL DEFAULT 0,
    note TEXT NOT NULL DEFAULT ''
);
CREATE TABLE approvals (
    number TEXT PRIMARY KEY, person TEXT NOT NULL, granted INTEGER NOT NULL
);
CREATE TABLE effects (
    id INTEGER PRIMARY KEY, key TEXT UNIQUE NOT NULL, kind TEXT NOT NULL,
    request TEXT NOT NULL, result TEXT NOT NULL
);
"""


class Refused(TriageError):
    """What was asked goes against the desk's rules; asking again does not help."""


@dataclass(frozen=True)
class Order:
    """An order as the warehouse knows it. `status` is packed, shipped or delivered."""

    number: str
    customer: str
    item: str
    cents: int
    status: str
    day: str
    """Of the week: on which it leaves if packed, should come if shipped, or came."""
    held: bool
    note: str = ""
    """For the courier, by whoever has the tracking link: a stranger may have written it."""


@dataclass(frozen=True)
class Effect:
    """Something that was done and cannot be undone by forgetting it: a line of the ledger."""

    key: str
    kind: str
    request: dict[str, Any]
    result: dict[str, Any]


class Desk:
    """Orders, approvals and the ledger of effects in a sqlite file, which many processes may use at once.

    Every method with an effect takes an idempotency key. The same key with the same request gives the
    recorded result and does nothing; with another request it is refused.
    """

    def __init__(self, path: Path):
        self.path = path

    @classmethod
    def create(cls, path: Path, orders: int = 40, seed: int = 7) -> "Desk":
        """A new file with so many orders, of customers C-1 to C-9."""
        desk, source = cls(path), random.Random(seed)
        with contextlib.closing(sqlite3.connect(path)) as connection, connection:
            connection.executescript(SCHEMA)
        for _ in range(orders):
            desk.add(
                Order(
                    order_number(source),
                    f"C-{source.randrange(1, 10)}",
                    source.choice(ITEMS),
                    source.randrange(1_500, 30_000, 10),
                    source.choice(["packed", "shipped", "delivered"]),
                    source.choice(DAYS),
                    held=False,
                )
            )
        return desk

    def add(self, order: Order) -> None:
        with self._transaction() as connection:
            connection.execute(
                "INSERT INTO orders VALUES (:number, :customer, :item, :cents, :status, :day, :held, :note)",
                asdict(order),
            )

    def orders(self) -> list[Order]:
        with self._transaction() as connection:
            rows = connection.execute("SELECT * FROM orders ORDER BY number")
            return [_order(row) for row in rows]

    def look_up(self, number: str) -> Order:
        """The order of that number. Raises Refused if there is none."""
        with self._transaction() as connection:
            return _find(connection, number)

    def effects(self) -> list[Effect]:
        """The ledger, oldest first."""
        with self._transaction() as connection:
            rows = connection.execute(
                "SELECT key, kind, request, result FROM effects ORDER BY id"
            )
            return [
                Effect(key, kind, json.loads(request), json.loads(result))
                for key, kind, request, result in rows
            ]

    def approve(self, number: str, person: str) -> None:
        """Let an order be refunded whatever it cost. Only the approvals' own interface may call this."""
        self._decide(number, person, granted=True)

    def decline(self, number: str, person: str) -> None:
        """Say no. The first answer stays; only the approvals' own interface may call this."""
        self._decide(number, person, granted=False)

    def decision(self, number: str) -> bool | None:
        """What a person has said about paying this order back; None if nobody has yet."""
        with self._transaction() as connection:
            return _decision(connection, number)

    def _decide(self, number: str, person: str, granted: bool) -> None:
        with self._transaction() as connection:
            _find(connection, number)
            connection.execute(
                "INSERT OR IGNORE INTO approvals VALUES (?, ?, ?)",
                (number, person, granted),
            )

    # region refund
    def refund(self, number: str, reason: str, key: str) -> dict[str, Any]:
        """Pay an order back, once; over APPROVAL cents with a person's approval."""
        if reason not in REASONS:
            raise Refused(f"A reason is one of {', '.join(REASONS)}, not {reason!r}.")

        def pay(connection: sqlite3.Connection) -> dict[str, Any]:
            order = _find(connection, number)
            if _done(connection, "refund", number):
                raise Refused(f"Order {number} was paid back already.")
            if order.cents > APPROVAL and not _decision(connection, number):
                raise Refused(
                    f"Order {number} cost {order.cents / 100:.2f} euros; over "
                    f"{APPROVAL / 100:.0f} a person must approve."
                )
            return {"refunded": f"{order.cents / 100:.2f}"}

        return self._once(key, "refund", {"order": number, "reason": reason}, pay)

    # endregion refund

    def hold(self, number: str, key: str) -> dict[str, Any]:
        """Keep an order that is packed from leaving the warehouse. Raises Refused if it has left."""

        def stop(connection: sqlite3.Connection) -> dict[str, Any]:
            if (status := _find(connection, number).status) != "packed":
                raise Refused(f"Order {number} is {status}, and cannot be held.")
            connection.execute("UPDATE orders SET held = 1 WHERE number = ?", [number])
            return {"held": True}

        return self._once(key, "hold", {"order": number}, stop)

    def release(self, number: str, key: str) -> dict[str, Any]:
        """Undo `hold`."""

        def go(connection: sqlite3.Connection) -> dict[str, Any]:
            _find(connection, number)
            connection.execute("UPDATE orders SET held = 0 WHERE number = ?", [number])
            return {"held": False}

        return self._once(key, "release", {"order": number}, go)

    def hand_over(self, message: str, team: str, key: str) -> dict[str, Any]:
        """Put a message into a team's queue."""
        return self._once(
            key,
            "hand_over",
            {"message": message, "team": team},
            lambda connection: {"team": team},
        )

    # region once
    def _once(
        self,
        key: str,
        kind: str,
        request: dict[str, Any],
        act: Callable[[sqlite3.Connection], dict[str, Any]],
    ) -> dict[str, Any]:
        """The effect and its line in the ledger in one transaction, or what it says."""
        asked = json.dumps(request, sort_keys=True)
        with self._transaction() as connection:
            known = connection.execute(
                "SELECT kind, request, result FROM effects WHERE key = ?", [key]
            ).fetchone()
            if known is None:
                result = act(connection)
                connection.execute(
                    "INSERT INTO effects (key, kind, request, result) "
                    "VALUES (?, ?, ?, ?)",
                    (key, kind, asked, json.dumps(result)),
                )
                return result
        if known[:2] != (kind, asked):
            raise Refused(f"The key {key} was used for another request.")
        return json.loads(known[2])

    # endregion once

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        if not self.path.exists():
            raise TriageError(
                f"There is no desk at {self.path}; Desk.create makes one."
            )
        with transaction(self.path) as connection:
            yield connection


def _find(connection: sqlite3.Connection, number: str) -> Order:
    row = connection.execute(
        "SELECT * FROM orders WHERE number = ?", [number]
    ).fetchone()
    if row is None:
        raise Refused(f"There is no order {number}.")
    return _order(row)


def _order(row: tuple) -> Order:
    number, customer, item, cents, status, day, held, note = row
    return Order(number, customer, item, cents, status, day, bool(held), note)


def _decision(connection: sqlite3.Connection, number: str) -> bool | None:
    query = "SELECT granted FROM approvals WHERE number = ?"
    row = connection.execute(query, [number]).fetchone()
    return None if row is None else bool(row[0])


def _done(connection: sqlite3.Connection, kind: str, number: str) -> bool:
    query = (
        "SELECT 1 FROM effects WHERE kind = ? AND json_extract(request, '$.order') = ?"
    )
    return connection.execute(query, (kind, number)).fetchone() is not None
