"""The part of `store` that runs in the sandbox: MLflow's sqlite file in, `begun` and a line of JSON out.

It is sent there as source and needs the standard library alone. The file is a stranger's: a table may be a
view that never ends, a number a string, a page nonsense. So it is opened for reading only, and only plain
tables are read, a bounded number of rows and characters of each. What comes out is data; the judge takes
it apart again.
"""

import json
import math
import sqlite3

FILE = "file:mlflow.db?mode=ro&immutable=1"  # immutable: no journal is replayed
ROWS = 20_000  # of one table
LENGTH = 2_000  # characters of one value
NEEDED = {
    "experiments": ("experiment_id", "name", "lifecycle_stage"),
    "runs": ("run_uuid", "experiment_id", "status", "lifecycle_stage"),
    "params": ("run_uuid", "key", "value"),
    "latest_metrics": ("run_uuid", "key", "value", "is_nan"),
    "model_versions": ("name", "version", "run_id"),
    "model_version_tags": ("name", "version", "key", "value"),
    "registered_model_aliases": ("name", "alias", "version"),
}


def main() -> None:
    print("begun", flush=True)
    try:
        said = {"tables": read()}
    except Refused as refusal:
        said = {"problem": refusal.args[0], "where": refusal.args[1]}
    except (sqlite3.Error, OverflowError):
        said = {"problem": "damaged", "where": ""}
    print(json.dumps(said))


class Refused(Exception):
    """Why the file is not read, as a word, and the table that it is about."""


def read():
    with open("mlflow.db", "rb") as file:
        header = file.read(20)
    if not header.startswith(b"SQLite format 3\0"):
        raise Refused("not-sqlite", "")
    if header[18:20] == b"\2\2":
        raise Refused("write-ahead", "")
    connection = sqlite3.connect(FILE, uri=True)
    connection.text_factory = lambda text: text.decode("utf-8", "replace")
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 1_000_000)
    for pragma in ("trusted_schema=OFF", "query_only=ON", "cell_size_check=ON"):
        connection.execute(f"PRAGMA {pragma}")
    return {name: table(connection, name) for name in NEEDED}


def table(connection, name):
    """The needed columns of a plain table, row by row."""
    made = "SELECT type, sql FROM sqlite_master WHERE name = ?"
    found = connection.execute(made, (name,)).fetchall()
    if not found:
        raise Refused("no-table", name)
    kind, sql = found[0]
    plain = str(sql).upper().split()[:2] == ["CREATE", "TABLE"]
    if len(found) > 1 or kind != "table" or not plain:
        raise Refused("not-a-table", name)
    there = {row[1] for row in connection.execute(f"PRAGMA table_info({name})")}
    if not there.issuperset(NEEDED[name]):
        raise Refused("other-columns", name)
    columns = ", ".join(NEEDED[name])
    query = f"SELECT {columns} FROM {name} LIMIT {ROWS + 1}"
    rows = [list(map(value, row)) for row in connection.execute(query)]
    if len(rows) > ROWS:
        raise Refused("too-many-rows", name)
    return rows


def value(cell):
    """What JSON can carry of a cell; None for the rest."""
    if isinstance(cell, str):
        return cell[:LENGTH]
    if isinstance(cell, float) and not math.isfinite(cell):
        return None
    return None if isinstance(cell, bytes) else cell


main()
