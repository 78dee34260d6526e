"""What the models may cost, for a ticket and for a day: one sqlite file, so that all workers share it."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from triage.agent.storage import transaction
from triage.errors import TriageError

SCHEMA = """
CREATE TABLE IF NOT EXISTS spending (
    id INTEGER PRIMARY KEY, day INTEGER NOT NULL, ticket TEXT NOT NULL,
    model TEXT NOT NULL, euros REAL NOT NULL
)
"""


class Spent(TriageError):
    """The next call could cost more than is left. Asking again today does not help: a person takes over."""


# region price
@dataclass(frozen=True)
class Price:
    """Euros for a million tokens, read and written."""

    read: float
    written: float

    def of(self, read: int, written: int) -> float:
        return (self.read * read + self.written * written) / 1e6


# endregion price


class Purse:
    """Limits in euros, and what has been spent of them."""

    def __init__(
        self,
        path: Path,
        a_ticket: float,
        a_day: float,
        clock: Callable[[], float] = time.time,
    ):
        self.path, self.a_ticket, self.a_day, self.clock = path, a_ticket, a_day, clock
        with transaction(self.path) as connection:
            connection.execute(SCHEMA)

    # region reserve
    def reserve(self, ticket: str, model: str, most: float) -> int:
        """Set aside what a call can cost at most, before it is made. Raises Spent."""
        with transaction(self.path) as connection:
            day = int(self.clock() // 86_400)
            for limit, where, value in (
                (self.a_ticket, "ticket = ?", ticket),
                (self.a_day, "day = ?", day),
            ):
                query = f"SELECT total(euros) FROM spending WHERE {where}"
                (spent,) = connection.execute(query, [value]).fetchone()
                if spent + most > limit:
                    whose = "day" if value is day else "ticket"
                    raise Spent(
                        f"The {whose} has used {spent:.4f} of {limit:.4f} euros."
                    )
            added = connection.execute(
                "INSERT INTO spending (day, ticket, model, euros) VALUES (?, ?, ?, ?)",
                (day, ticket, model, most),
            )
            return int(added.lastrowid or 0)

    def settle(self, reserved: int, euros: float) -> None:
        """What it did cost. If a worker dies before, the most stays on the bill."""
        with transaction(self.path) as connection:
            connection.execute(
                "UPDATE spending SET euros = ? WHERE id = ?", (euros, reserved)
            )

    # endregion reserve

    def spent(self) -> dict[str, float]:
        """Euros by model, of all days."""
        with transaction(self.path) as connection:
            query = "SELECT model, sum(euros) FROM spending GROUP BY model"
            return dict(connection.execute(query).fetchall())
