"""The database's tables, and how one made by an older version is brought up to date."""

from __future__ import annotations

import sqlite3

from edge_runtime.errors import StoreError
from edge_runtime.readings import STATUSES

APPLICATION = 0x616E6F6D
"""`anom`, in the header of the file: what tells our database from another program's."""
PAGE = 4096
"""Bytes. What a card's file system writes at once; a saved state of 1.2 kB shares a page with two others."""
COUNTS = tuple(f"n_{status}" for status in STATUSES)
"""The history's columns of counts."""

_FIRST = f"""
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE machines (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE texts (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE);  -- of digests and boots
CREATE TABLE states (  -- apart from the names, and without long texts: what is rewritten at every save is as small as it can be
    machine INTEGER PRIMARY KEY,
    digest INTEGER NOT NULL, saved_wall REAL NOT NULL, saved_boottime REAL NOT NULL, boot INTEGER NOT NULL,  -- both by texts.id
    saved_steady INTEGER NOT NULL, last_reading INTEGER, state BLOB NOT NULL
);
CREATE TABLE alerts (
    row INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, machine TEXT NOT NULL, bundle TEXT NOT NULL, digest TEXT NOT NULL,
    file TEXT NOT NULL, engine TEXT NOT NULL, variant TEXT NOT NULL, raised INTEGER NOT NULL, score REAL, threshold REAL,
    contributions TEXT NOT NULL, in_maintenance INTEGER NOT NULL, is_queued INTEGER NOT NULL,
    cleared INTEGER, clear_reason TEXT NOT NULL DEFAULT '', acknowledged INTEGER, acknowledged_by TEXT NOT NULL DEFAULT ''
);
CREATE TABLE evidence (alert INTEGER PRIMARY KEY, data BLOB NOT NULL);  -- by alerts.row
CREATE TABLE forgotten (row INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE);  -- alerts deleted for want of room
CREATE TABLE outbox (
    row INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, topic TEXT NOT NULL, payload BLOB NOT NULL,
    retain INTEGER NOT NULL, kind TEXT NOT NULL, alert TEXT, created INTEGER NOT NULL
);
CREATE INDEX outbox_topic ON outbox (topic) WHERE retain;
CREATE TABLE history (
    place INTEGER PRIMARY KEY,  -- milliseconds of the start, times 2^20, plus machines.id: a save appends to the last page
    lowest REAL, mean REAL, highest REAL, threshold REAL, {", ".join(f"{name} INTEGER NOT NULL" for name in COUNTS)}
);
CREATE TABLE maintenance (
    id TEXT PRIMARY KEY, machines TEXT NOT NULL, start INTEGER NOT NULL, end INTEGER NOT NULL, note TEXT NOT NULL, by TEXT NOT NULL
) WITHOUT ROWID;
"""

MIGRATIONS = (_FIRST,)
"""Scripts; number N brings a database of `user_version` N to N + 1. Never changed once released, only added to."""

DONE = "CREATE TEMP TABLE done (id TEXT PRIMARY KEY) WITHOUT ROWID"
"""Messages of the outbox that the broker has: in memory until the next transaction deletes them. Every connection has one."""

UNSENT = "outbox.id > alerts.id || '-' AND outbox.id < alerts.id || '.' AND outbox.id NOT IN (SELECT id FROM done)"
"""Messages of the outbox about an alert: their ids are the alert's, `-` and the kind."""

PLACES = 20
"""Bits of the machine in a `history.place`: the milliseconds of the interval's start are above them."""

TABLES = ("meta", "machines", "alerts", "outbox", "texts", "states", "maintenance", "forgotten", "evidence", "history")
"""What matters most first: the order in which a damaged database is read."""


def migrate(connection: sqlite3.Connection, path: str) -> None:
    """Bring the database to this version, each step whole or not at all. Raises `StoreError` if it is of a later version."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > len(MIGRATIONS):
        raise StoreError(
            f"{path}: expected a database of version {len(MIGRATIONS)} or before, got {version}: "
            "it was written by a later version of anomalite"
        )
    for number in range(version, len(MIGRATIONS)):
        # Not `executescript`, which commits before it begins.
        connection.execute("BEGIN IMMEDIATE")
        try:
            for statement in statements(MIGRATIONS[number]):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {number + 1}")
            connection.execute("COMMIT")
        except sqlite3.Error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise


def place(start: int, machine: int) -> int:
    """Where the history has a machine's interval that starts at `start` (microseconds), of the years 1970 to 2248."""
    return (min(max(start // 1000, 0), (1 << 43) - 1) << PLACES) + machine


def statements(script: str) -> list[str]:
    """The script's statements."""
    found, statement = [], ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            found.append(statement)
            statement = ""
    return found
