"""Reading the store: by the gateway itself, and by others while it runs (`open_reader`)."""

from __future__ import annotations

import contextlib
import json
import math
import os
import sqlite3
from collections.abc import Iterator
from typing import Any

from edge_runtime.errors import StoreError
from edge_runtime.gateway.store_open import NAME
from edge_runtime.gateway.store_rows import HistoryRow, MachineState, MaintenanceRecord, Outgoing, StoredAlert
from edge_runtime.gateway.store_tables import APPLICATION, COUNTS, DONE, MIGRATIONS, PLACES, UNSENT, place

_ALERT = f"""
SELECT id, machine, bundle, digest, file, engine, variant, raised, score, threshold, contributions, in_maintenance, cleared, clear_reason,
    acknowledged, acknowledged_by, is_queued, is_queued AND NOT EXISTS (SELECT 1 FROM outbox WHERE {UNSENT}),
    EXISTS (SELECT 1 FROM evidence WHERE evidence.alert = alerts.row)
FROM alerts """
_OUTGOING = "SELECT id, topic, payload, retain, kind, alert, created, row FROM outbox "
_STATE = """
SELECT name, bundles.text, state, saved_wall, saved_boottime, boots.text, saved_steady, last_reading
FROM states JOIN machines ON machines.id = states.machine
    JOIN texts AS bundles ON bundles.id = states.digest JOIN texts AS boots ON boots.id = states.boot """


class Reader:
    """What is in the store. Every method raises `StoreError` if it cannot be read.

    Each reads all it returns at once: a reader that stayed inside a query would keep the write-ahead log from being emptied.
    """

    def __init__(self, path: str, connection: sqlite3.Connection) -> None:
        self.path = path
        self._open: sqlite3.Connection | None = connection

    def close(self) -> None:
        """Close the database."""
        if self._open is not None:
            self._open.close()
            self._open = None

    def alerts(self, limit: int = 50) -> list[StoredAlert]:
        """The newest first."""
        return [_alert(row) for row in self._rows(_ALERT + "ORDER BY row DESC LIMIT ?", limit)]

    def alert(self, alert: str) -> StoredAlert | None:
        """One, by its id."""
        return next((_alert(row) for row in self._rows(_ALERT + "WHERE id = ?", alert)), None)

    def last_alert(self, machine: str, before: int) -> StoredAlert | None:
        """The machine's last one that was raised before a time (microseconds)."""
        rows = self._rows(_ALERT + "WHERE machine = ? AND raised < ? ORDER BY row DESC LIMIT 1", machine, before)
        return _alert(rows[0]) if rows else None

    def open_alerts(self) -> list[StoredAlert]:
        """Those not cleared, in the order they were raised."""
        return [_alert(row) for row in self._rows(_ALERT + "WHERE cleared IS NULL ORDER BY row")]

    def evidence(self, alert: str) -> bytes | None:
        """The state and readings that an alert was raised by; None: there is no such alert, or they were deleted for want of room."""
        rows = self._rows("SELECT data FROM evidence WHERE alert = (SELECT row FROM alerts WHERE id = ?)", alert)
        return rows[0][0] if rows else None

    def waiting(self, after: int = 0, limit: int = -1) -> list[Outgoing]:
        """Messages of the outbox whose row is later than `after`, in the order they were queued; at most `limit`, -1 for all."""
        rows = self._rows(
            _OUTGOING + "WHERE row > ? AND id NOT IN (SELECT id FROM done) ORDER BY row LIMIT ?", after, limit
        )
        return [Outgoing(*row)._replace(retain=bool(row[3])) for row in rows]

    def waiting_count(self) -> int:
        """Messages in the outbox."""
        return int(self._rows("SELECT count(*) FROM outbox WHERE id NOT IN (SELECT id FROM done)")[0][0])

    def machine_states(self, digest: str) -> list[MachineState]:
        """The saved states of a bundle's machines, by name."""
        return [MachineState(*row) for row in self._rows(_STATE + "WHERE bundles.text = ? ORDER BY name", digest)]

    def history(self, machine: str, since: int = 0) -> list[HistoryRow]:
        """A machine's history from `since` (microseconds) on, in order."""
        rows = self._rows(
            f"SELECT place >> {PLACES}, lowest, mean, highest, threshold, {', '.join(COUNTS)} FROM history WHERE place >= ?"
            f" AND (place & {(1 << PLACES) - 1}) = (SELECT id FROM machines WHERE name = ?) ORDER BY place",
            place(since, 0),
            machine,
        )
        return [
            HistoryRow(
                machine, 1000 * row[0], _number(row[1]), _number(row[2]), _number(row[3]), _number(row[4]), row[5:]
            )
            for row in rows
        ]

    def meta(self, key: str) -> str | None:
        """A remembered value."""
        rows = self._rows("SELECT value FROM meta WHERE key = ?", key)
        return rows[0][0] if rows else None

    def machine_names(self) -> list[str]:
        """Of all machines that were ever heard."""
        return [name for (name,) in self._rows("SELECT name FROM machines ORDER BY id")]

    def remembered(self, prefix: str) -> list[str]:
        """The remembered values, but for empty ones, whose keys begin so."""
        rows = self._rows("SELECT value FROM meta WHERE substr(key, 1, ?) = ? AND value <> ''", len(prefix), prefix)
        return [value for (value,) in rows]

    def maintenance(self) -> list[MaintenanceRecord]:
        """All known work, by its start."""
        rows = self._rows("SELECT id, machines, start, end, note, by FROM maintenance ORDER BY start, id")
        return [MaintenanceRecord(row[0], tuple(json.loads(row[1])), *row[2:]) for row in rows]

    def _connection(self) -> sqlite3.Connection:
        if self._open is None:
            raise StoreError(f"{self.path}: closed")
        return self._open

    def _rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        with self._translated("read"):
            return self._connection().execute(query, values).fetchall()

    @contextlib.contextmanager
    def _translated(self, done: str) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as fault:
            self._failed(fault)
            raise StoreError(f"{self.path}: cannot be {done}: {fault}") from None

    def _failed(self, fault: sqlite3.Error | OSError) -> None:
        """What else there is to do when the database could not be read."""


def open_reader(folder: str) -> Reader:
    """Read the store in `folder`, whether a gateway has it or not. Raises `StoreError` if there is none that this version can read."""
    path = os.path.join(folder, NAME)
    if not os.path.isfile(path):
        raise StoreError(f"{path}: expected the database of a gateway, found no such file")
    try:
        connection = _read_only(path)
    except sqlite3.Error as fault:
        raise StoreError(f"{path}: cannot be read: {fault}") from None
    return Reader(path, connection)


def _read_only(path: str) -> sqlite3.Connection:
    address = f"file:{os.path.abspath(path).replace('%', '%25').replace('?', '%3f').replace('#', '%23')}?mode=ro"
    try:
        return _checked(path, address)
    except sqlite3.OperationalError:
        if os.path.exists(path + "-wal"):
            raise
        return _checked(
            path, address + "&immutable=1"
        )  # nobody has it open, and the files of sharing cannot be made here


def _checked(path: str, address: str) -> sqlite3.Connection:
    connection = sqlite3.connect(address, uri=True, isolation_level=None)
    try:
        connection.execute("PRAGMA busy_timeout = 2000")
        connection.execute("PRAGMA temp_store = MEMORY")
        connection.execute(DONE)
        application, version = (
            connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")
        )
        if application != APPLICATION or version != len(MIGRATIONS):
            raise StoreError(f"{path}: expected a database of anomalite of version {len(MIGRATIONS)}, got another")
    except BaseException:
        connection.close()
        raise
    return connection


def _alert(row: tuple[Any, ...]) -> StoredAlert:
    alert = StoredAlert(*row)
    return alert._replace(
        score=_number(alert.score),
        threshold=_number(alert.threshold),
        contributions=json.loads(row[10]),
        in_maintenance=bool(alert.in_maintenance),
        is_queued=bool(alert.is_queued),
        is_sent=bool(alert.is_sent),
        has_evidence=bool(alert.has_evidence),
    )


def _number(value: float | None) -> float:
    """SQLite has no NaN: it keeps NULL for it."""
    return math.nan if value is None else value
