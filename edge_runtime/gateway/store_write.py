"""What a transaction does with `Changes`."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable

from edge_runtime.gateway.store_rows import Changes, MachineState, Outgoing, StoredEvent
from edge_runtime.gateway.store_tables import COUNTS, place


class Writer:
    """Writes rows."""

    def __init__(self, kept: Callable[[bytes | None], bytes | None], next_row: Callable[[], int]) -> None:
        """`kept`: what is kept of the readings behind an alert; `next_row`: the place of a message in the outbox."""
        self._kept, self._next_row = kept, next_row
        self._numbers: dict[tuple[str, str], int] = {}

    def forget(self) -> None:
        """What was written last is undone, or the database is another one."""
        self._numbers.clear()

    def write(self, db: sqlite3.Connection, changes: Changes, done: Iterable[str]) -> None:
        """Write all of it, and delete the messages of the outbox that are `done`, in a transaction that was begun."""
        sent = {message.id for message in changes.outbox}.union(changes.delivered)
        known = set()
        for stored in changes.events:
            kept = stored._replace(evidence=self._kept(stored.evidence))
            if not _record(db, kept, stored.event.id in sent):
                known.add(stored.event.id)
        for message in changes.outbox:
            if message.id not in known:
                _queue(db, message, self._next_row())
                if message.kind == "raised":  # during work, and told only now that it is over
                    db.execute("UPDATE alerts SET is_queued = 1 WHERE id = ? AND NOT is_queued", (message.alert,))
        db.executemany("DELETE FROM outbox WHERE id = ?", [(message,) for message in (*done, *changes.delivered)])
        db.execute("DELETE FROM done")
        for state in changes.states:
            self._save(db, state)
        db.executemany(
            f"INSERT OR REPLACE INTO history VALUES ({', '.join('?' * (5 + len(COUNTS)))})",
            [(place(row.start, self._machine(db, row.machine)), *row[2:6], *row.counts) for row in changes.history],
        )
        db.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", changes.meta.items())
        db.executemany(
            "INSERT OR REPLACE INTO maintenance VALUES (?, ?, ?, ?, ?, ?)",
            [(work.id, json.dumps(work.machines), *work[2:]) for work in changes.maintenance],
        )

    def _save(self, db: sqlite3.Connection, state: MachineState) -> None:
        db.execute(
            "INSERT INTO states VALUES (:machine, :digest, :saved_wall, :saved_boottime, :boot, :saved_steady, :last_reading, :state)"
            " ON CONFLICT (machine) DO UPDATE SET digest = excluded.digest,"
            " saved_wall = excluded.saved_wall, saved_boottime = excluded.saved_boottime, boot = excluded.boot,"
            " saved_steady = excluded.saved_steady, last_reading = excluded.last_reading, state = excluded.state",
            {
                **state._asdict(),
                "machine": self._machine(db, state.machine),
                "digest": self._number(db, "texts", "text", state.digest),
                "boot": self._number(db, "texts", "text", state.boot),
            },
        )

    def _machine(self, db: sqlite3.Connection, name: str) -> int:
        return self._number(db, "machines", "name", name)

    def _number(self, db: sqlite3.Connection, table: str, column: str, text: str) -> int:
        """The number that stands for a text, in other tables."""
        if (table, text) not in self._numbers:
            db.execute(f"INSERT OR IGNORE INTO {table} ({column}) VALUES (?)", (text,))
            (number,) = db.execute(f"SELECT id FROM {table} WHERE {column} = ?", (text,)).fetchone()
            self._numbers[table, text] = number
        return self._numbers[table, text]


def _record(db: sqlite3.Connection, stored: StoredEvent, is_queued: bool) -> bool:
    """Write an event into the alert it is about; False: it was there before."""
    event = stored.event
    known = db.execute("SELECT row FROM alerts WHERE id = ?", (event.alert,)).fetchone()
    if known is None and db.execute("SELECT 1 FROM forgotten WHERE id = ?", (event.alert,)).fetchone():
        return False
    if event.kind == "raised":
        if known is not None:
            return False
        values = {
            **event._asdict(),
            **stored._asdict(),
            "contributions": json.dumps(event.contributions),
            "is_queued": is_queued,
        }
        row = db.execute(
            "INSERT INTO alerts (id, machine, bundle, digest, file, engine, variant, raised, score, threshold, contributions,"
            " in_maintenance, is_queued) VALUES (:alert, :machine, :bundle, :digest, :file, :engine, :variant, :time, :score,"
            " :threshold, :contributions, :in_maintenance, :is_queued)",
            {name: value for name, value in values.items() if name != "event"},
        ).lastrowid
        if stored.evidence is not None:
            db.execute("INSERT INTO evidence VALUES (?, ?)", (row, stored.evidence))
        return True
    when, why = ("cleared", "clear_reason") if event.kind == "cleared" else ("acknowledged", "acknowledged_by")
    changed = db.execute(
        f"UPDATE alerts SET {when} = ?, {why} = ? WHERE id = ? AND {when} IS NULL",
        (event.time, event.reason, event.alert),
    ).rowcount
    return changed > 0 or known is None  # of an alert nothing is known of: passed on


def _queue(db: sqlite3.Connection, message: Outgoing, row: int) -> None:
    """Put a message at the end of the outbox; a retained one takes the place of any other for its topic."""
    if message.retain:
        db.execute("DELETE FROM outbox WHERE retain AND topic = ? AND id <> ?", (message.topic, message.id))
    db.execute(
        "INSERT OR IGNORE INTO outbox (id, topic, payload, retain, kind, alert, created, row) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (*message[:7], row),
    )
