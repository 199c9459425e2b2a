"""What the store may take of the card, by size and by age, and what is given up for it, in which order."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from typing import Protocol

from edge_runtime.errors import StoreError
from edge_runtime.gateway.event import LostAlerts
from edge_runtime.gateway.store_open import CORRUPT, NAME, RESERVE
from edge_runtime.gateway.store_rows import Changes, event_message
from edge_runtime.gateway.store_tables import PAGE, UNSENT, place
from edge_runtime.readings import LATEST

MB = 2**20
SMALLEST_MB = 1.0
_SLACK = 0.9
"""Room is made for a tenth of the whole at once, so that it is seldom made."""
_REMEMBERED = 1000
"""Ids of alerts deleted for want of room: one of them again, from the journal after a crash, is no new alert."""
_STEADY_S = 3600.0
"""Nothing is deleted by age until the wall clock has run for so long without a step: a board starts with a wrong time."""
_DAY = 86_400_000_000
_HISTORY_CHUNK, _EVIDENCE_CHUNK, _ALERT_CHUNK = 5000, 20, 100
_CLEARED = "cleared IS NOT NULL"
_SENT = f"NOT EXISTS (SELECT 1 FROM outbox WHERE {UNSENT})"
_MATTERS = "NOT retain AND kind <> 'lost' AND id NOT IN (SELECT id FROM done)"
"""Messages whose loss is to be told of."""


class WallClock(Protocol):
    """The part of a `Clock` that the store looks at."""

    def monotonic(self) -> float:
        """Seconds that never step."""
        ...

    def wall(self) -> float:
        """Seconds since 1970 UTC, as far as this board knows."""
        ...


class Limits(Protocol):
    """The part of a `config.Storage` that the store looks at."""

    @property
    def max_mb(self) -> float:
        """Of all its files."""
        ...

    @property
    def keep_days(self) -> float:
        """What is older is deleted."""
        ...


class Bounds:
    """Makes room in a database, and counts what it cost."""

    def __init__(self, folder: str, limits: Limits, clock: WallClock, topic: str, next_row: Callable[[], int]) -> None:
        """`topic` is where messages about lost alerts go, `next_row` the place of one in the outbox. Raises `StoreError` if the limit is too small to be kept."""
        if limits.max_mb < SMALLEST_MB:
            raise StoreError(f"{folder}: expected at least {SMALLEST_MB:g} MB (storage.max_mb), got {limits.max_mb:g}")
        self.most = int(limits.max_mb * MB)
        self.wal_bytes = min(2 * MB, self.most // 8)
        """The write-ahead log is emptied when it is so large."""
        self.reserve = min(256 * 1024, self.most // 32)
        """Bytes kept free on the disk by a file."""
        self.counters = dict.fromkeys(("history", "evidence", "alerts", "lost", "corrupt"), 0)
        """Deleted since the start for want of room or by age: rows, and `corrupt` files; `lost` are alerts that were never sent."""
        self.notices: list[str] = []
        """What must be told loudly."""
        self._folder, self._clock, self._topic, self._next_row = folder, clock, topic, next_row
        self._keep = int(limits.keep_days * _DAY)
        self._offset, self._steady_since, self._next_age = clock.wall() - clock.monotonic(), clock.monotonic(), 0.0

    def sizes(self) -> dict[str, int]:
        """Bytes of files: `database`, `wal`, `shm`, `reserve`, `corrupt` (damaged ones, moved aside), `journal` (if in the same folder)."""
        kinds = {NAME: "database", f"{NAME}-wal": "wal", f"{NAME}-shm": "shm", RESERVE: "reserve"}
        sizes = dict.fromkeys((*kinds.values(), "corrupt", "journal"), 0)
        for entry in os.scandir(self._folder):
            kind = "corrupt" if entry.name.startswith(NAME + CORRUPT) else kinds.get(entry.name)
            kind = "journal" if kind is None and entry.name.startswith("journal") else kind
            if kind is not None:
                sizes[kind] += _size(entry)
        return sizes

    def growth(self, changes: Changes, known: set[str]) -> tuple[int, int]:
        """Bytes that a transaction adds to the database, and that it writes into the log.

        The states of `known` machines take the place of others.
        """
        added = sum(1500 + len(self.kept(stored.evidence) or b"") for stored in changes.events)
        added += sum(500 + len(message.payload) for message in changes.outbox)
        added += 120 * len(changes.history) + 300 * len(changes.maintenance)
        added += sum(100 + len(key) + len(value) for key, value in changes.meta.items())
        new = sum(200 + len(state.state) for state in changes.states if state.machine not in known)
        saved = sum(200 + len(state.state) for state in changes.states)
        pages = 8 + 2 * len(changes.events) + len(changes.delivered) // 8
        return added + new, int(1.3 * (added + saved)) + pages * PAGE

    def kept(self, evidence: bytes | None) -> bytes | None:
        """What is kept of the readings behind an alert: nothing, where they alone would take an eighth of the storage."""
        return evidence if evidence is None or len(evidence) <= self.most // 8 else None

    def make_room(self, db: sqlite3.Connection, growth: int, written: int) -> None:
        """Before a transaction that adds `growth` bytes and writes `written` into the log. Raises `sqlite3.Error`."""
        sizes = self._without_corrupt()
        log = max(self.wal_bytes, sizes["wal"], written) + sizes["shm"] + sizes["journal"] + self.reserve
        most = (self.most - log) // PAGE
        need = growth // PAGE + 16  # pages; a few for the inner nodes of the trees
        if _used(db) + need > most:
            self._give_up(db, most - need, int(most * _SLACK) - need)
        total = _pragma(db, "page_count")
        if total > most:  # the limit was larger once, or the log was smaller
            db.executescript(
                f"PRAGMA incremental_vacuum({total - most})"
            )  # `execute` takes the first of its steps only: a page
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        db.execute(f"PRAGMA max_page_count = {max(most, 16)}").fetchall()

    def forget_old(self, db: sqlite3.Connection) -> None:
        """Once an hour: delete what is older than `keep_days`, but no alert that is open or not sent. Raises `sqlite3.Error`."""
        now, wall = self._clock.monotonic(), self._clock.wall()
        if abs(wall - now - self._offset) > 60:
            self._offset, self._steady_since = wall - now, now
        if now - self._steady_since < _STEADY_S or now < self._next_age:
            return
        self._next_age = now + _STEADY_S
        oldest = max(0, int(wall * 1e6) - self._keep)
        while self._history(db, oldest):
            pass
        while self._alerts(db, f"{_CLEARED} AND {_SENT} AND cleared < {oldest}"):
            pass
        db.execute("DELETE FROM maintenance WHERE end < ?", (oldest,))

    def _without_corrupt(self) -> dict[str, int]:
        """The sizes, after damaged databases that were moved aside were deleted if there is no room for them."""
        sizes = self.sizes()
        if sizes["corrupt"] and sum(sizes.values()) > self.most * _SLACK:
            for entry in os.scandir(self._folder):
                if entry.name.startswith(NAME + CORRUPT):
                    os.unlink(entry.path)
                    self.notices.append(f"{entry.path}: deleted: there was no more room for a damaged database")
                    self._count("corrupt", 1)
        return sizes

    def _give_up(self, db: sqlite3.Connection, most: int, wanted: int) -> None:
        """Delete until `wanted` pages are in use; of alerts not sent no more than for `most` pages."""
        for sacrifice in (
            self._history,
            lambda db: self._evidence(db, _CLEARED),
            lambda db: self._alerts(db, f"{_CLEARED} AND {_SENT}"),
            lambda db: self._evidence(db, "1"),
            lambda db: self._alerts(db, _SENT),
        ):
            while _used(db) > wanted:
                if not sacrifice(db):
                    break
        # Where the states of the machines alone are too much, deleting alerts is no help.
        (states,) = db.execute("SELECT total(length(state)) FROM states").fetchone()
        lost = self.counters["lost"]
        while _used(db) > most > states / PAGE and self._unsent(db):
            pass
        if self.counters["lost"] > lost:
            self.notices.append(
                f"{self._folder}: {self.counters['lost'] - lost} alerts that were never sent were deleted: the storage is full"
            )

    def _history(self, db: sqlite3.Connection, before: int = LATEST) -> int:
        """Delete the oldest rows that are older than `before` (microseconds); returns how many."""
        until = f"SELECT place FROM history WHERE place < ? ORDER BY place LIMIT {_HISTORY_CHUNK}"
        return self._count(
            "history", db.execute(f"DELETE FROM history WHERE place IN ({until})", (place(before, 0),)).rowcount
        )

    def _evidence(self, db: sqlite3.Connection, which: str) -> int:
        """Delete the readings kept of the oldest alerts of those `which`."""
        chosen = f"SELECT alert FROM evidence JOIN alerts ON row = alert WHERE {which} ORDER BY alert LIMIT {_EVIDENCE_CHUNK}"
        return self._count("evidence", db.execute(f"DELETE FROM evidence WHERE alert IN ({chosen})").rowcount)

    def _alerts(self, db: sqlite3.Connection, which: str) -> int:
        """Delete the oldest alerts of those `which`, and remember their ids for a while."""
        rows = db.execute(f"SELECT row, id FROM alerts WHERE {which} ORDER BY row LIMIT {_ALERT_CHUNK}").fetchall()
        if rows:
            db.execute("BEGIN IMMEDIATE")
            _forget(db, rows)
            db.execute("COMMIT")
        return self._count("alerts", len(rows))

    def _unsent(self, db: sqlite3.Connection) -> int:
        """Delete the oldest alerts that were not sent; how many and of when is in the outbox instead, in the same transaction.

        A machine's silence, of which there is a message alone, counts as one.
        """
        db.execute("BEGIN IMMEDIATE")
        about = f"SELECT coalesce(alert, id), min(created) FROM outbox WHERE {_MATTERS} GROUP BY 1 ORDER BY min(row) LIMIT 8"
        times = []
        for alert, created in db.execute(about).fetchall():
            rows = db.execute("SELECT row, id, raised FROM alerts WHERE id = ?", (alert,)).fetchall()
            _forget(db, [row[:2] for row in rows])
            db.execute(f"DELETE FROM outbox WHERE coalesce(alert, id) = ? AND {_MATTERS}", (alert,))
            times.append(rows[0][2] if rows else created)
        if times:
            self._tell(db, times)
        db.execute("COMMIT")
        self._count("alerts", len(times))
        return self._count("lost", len(times))

    def _tell(self, db: sqlite3.Connection, raised: list[int]) -> None:
        """Queue a message about lost alerts; one that was not sent yet is taken back, and told of in this one."""
        total = int(_meta(db, "lost_total") or 0) + len(raised)
        count, first, last = len(raised), min(raised), max(raised)
        if db.execute("DELETE FROM outbox WHERE kind = 'lost'").rowcount:
            before = [int(value) for value in (_meta(db, "lost_waiting") or "").split()]
            count, first, last = count + before[0], min(first, before[1]), max(last, before[2])
        for key, value in (("lost_total", f"{total}"), ("lost_waiting", f"{count} {first} {last}")):
            db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))
        message = event_message(LostAlerts(count, total, first, last), self._topic, int(self._clock.wall() * 1e6))
        db.execute(
            "INSERT INTO outbox (row, id, topic, payload, retain, kind, created) VALUES (?, ?, ?, ?, 0, 'lost', ?)",
            (self._next_row(), message.id, message.topic, message.payload, message.created),
        )

    def _count(self, what: str, rows: int) -> int:
        self.counters[what] += rows
        return rows


def _forget(db: sqlite3.Connection, rows: list[tuple[int, str]]) -> None:
    """Delete alerts and what belongs to them, in a transaction that was begun."""
    for row, alert in rows:
        db.execute("DELETE FROM evidence WHERE alert = ?", (row,))
        db.execute("DELETE FROM alerts WHERE row = ?", (row,))
        db.execute("INSERT OR IGNORE INTO forgotten (id) VALUES (?)", (alert,))
    db.execute(f"DELETE FROM forgotten WHERE row <= (SELECT max(row) FROM forgotten) - {_REMEMBERED}")


def _meta(db: sqlite3.Connection, key: str) -> str | None:
    found = db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
    return found[0] if found else None


def _used(db: sqlite3.Connection) -> int:
    """Pages that hold something."""
    return _pragma(db, "page_count") - _pragma(db, "freelist_count")


def _pragma(db: sqlite3.Connection, name: str) -> int:
    return int(db.execute(f"PRAGMA {name}").fetchone()[0])


def _size(entry: os.DirEntry[str]) -> int:
    """Bytes of a file, or of the files of a folder."""
    try:
        if not entry.is_dir(follow_symlinks=False):
            return entry.stat(follow_symlinks=False).st_size
        return sum(_size(inner) for inner in os.scandir(entry.path))
    except FileNotFoundError:  # the journal was rotated meanwhile
        return 0
