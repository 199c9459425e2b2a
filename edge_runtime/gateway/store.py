"""What outlasts a power cut: alerts, messages that wait for the broker, the machines' states and their history.

One SQLite database in WAL mode, written by the gateway's thread alone. A commit is whole or not at all, and may be made again:
the same alert a second time, after a crash, changes nothing and queues nothing.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3

from edge_runtime.errors import StoreError
from edge_runtime.gateway.store_bounds import Bounds, Limits, WallClock
from edge_runtime.gateway.store_open import CORRUPT, NAME, FolderLock, give_reserve, make_reserve, open_database
from edge_runtime.gateway.store_read import Reader
from edge_runtime.gateway.store_rows import Changes
from edge_runtime.gateway.store_write import Writer

_FIRST_WAIT_S, _LONGEST_WAIT_S = 1.0, 30.0
"""After a failure of the disk the database is opened again, but not at every tick."""
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.2, 5.0
"""And what waits to be written is not tried to be at every tick: it may be much."""
_MOST_DONE, _DONE_WAITS_S = 200, 300.0
"""So many deliveries wait for a transaction with something else in it, and so long."""


class Store(Reader):
    """The database of one gateway, open for writing.

    Every method raises `StoreError` where the disk does not let it; the next call tries again.
    """

    def __init__(
        self, folder: str, limits: Limits, clock: WallClock, *, topic: str = "anomalite/gateway/alerts"
    ) -> None:
        """Open the store in `folder`, or begin one; `topic` is where it is told that alerts were lost for want of room.

        Raises `StoreError` if another process has it, if it is another program's or a later version's, or cannot be opened.
        """
        try:
            os.makedirs(folder, exist_ok=True)
        except OSError as fault:
            raise StoreError(f"{folder}: cannot be made: {fault.strerror}") from None
        self.path = os.path.join(folder, NAME)
        self.last_row = 0
        """Of the outbox: there is nothing to send behind it. Rows rise as long as this process lives, even in a new database."""
        self.lost_total = 0
        """Alerts deleted without having been sent, since the store was made."""
        self._folder, self._clock, self._bounds = folder, clock, Bounds(folder, limits, clock, topic, self._next_row)
        self._notices: list[str] = []
        self._wait_s, self._not_before = _FIRST_WAIT_S, 0.0
        self._writer = Writer(self._bounds.kept, self._next_row)
        self._saved: set[str] = set()
        self._done: dict[str, None] = {}
        """Messages that the broker has, and whose rows are still to be deleted."""
        self._done_since = 0.0
        self._fault, self._again_at, self._pause_s = "", 0.0, 0.0
        self._open: sqlite3.Connection | None = None
        self._is_closed = False
        self._lock = FolderLock(folder)
        try:
            self._reopen()
        except BaseException:
            self._lock.release()
            raise

    @property
    def counters(self) -> dict[str, int]:
        """Rows deleted since the start for want of room or by age: `history`, `evidence`, `alerts`, of them `lost`; `corrupt` files."""
        return dict(self._bounds.counters)

    @property
    def sizes(self) -> dict[str, int]:
        """Bytes of `database`, `wal`, `shm`, `reserve`, `corrupt` and `journal`, and the `limit` for all of them."""
        with self._translated("read"):
            return {**self._bounds.sizes(), "limit": self._bounds.most}

    def notices(self) -> list[str]:
        """What happened since the last call that must be told loudly: lines for the log."""
        told, self._notices = self._notices, []
        return told

    def problems(self) -> list[str]:
        """What is the matter as long as it is: lines for the status."""
        with self._translated("read"):
            names = os.listdir(self._folder)
        aside = sorted(name for name in names if name.startswith(NAME + CORRUPT) and not name.endswith("-wal"))
        lines = [
            f"{name}: the database was damaged and is kept under this name; delete it once looked at" for name in aside
        ]
        if self.lost_total:
            lines.append(f"{self.lost_total} alerts were never sent and had to be deleted: the storage was full")
        return lines

    def commit(self, changes: Changes, *, at_once: bool = False) -> None:
        """Write all of it in one transaction. After a `StoreError` nothing of it is written, and it may be committed again.

        Where all of it is deliveries, the rows are deleted with the next transaction, or after a few minutes: that is half of what
        an alert makes the card write. A crash before means that they are sent once more. After failures in a row the disk is left alone
        for a while, up to some seconds, and a commit meanwhile fails like the last one; not so with `at_once`.
        """
        if not changes or self._can_wait(changes):
            return
        if self._clock.monotonic() < self._again_at and not at_once:
            raise StoreError(self._fault)
        try:
            self._commit(changes)
        except StoreError as fault:
            self._fault, self._again_at = str(fault), self._clock.monotonic() + self._pause_s
            self._pause_s = min(max(_FIRST_PAUSE_S, 2 * self._pause_s), _LONGEST_PAUSE_S)
            raise
        self._pause_s = self._again_at = 0.0

    def _commit(self, changes: Changes) -> None:
        with self._translated("written"):
            growth, written = self._bounds.growth(changes, self._saved)
            try:
                self._prepared(growth, written)
                self._transaction(changes)
            except sqlite3.OperationalError as fault:
                if fault.sqlite_errorcode != sqlite3.SQLITE_FULL:
                    raise
                give_reserve(self._folder)
                # The log's room is used again once it is emptied.
                self._connection().execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
                self._transaction(changes)
            else:
                make_reserve(self._folder, self._bounds.reserve)

    def close(self) -> None:
        """Close the database and let another process have it."""
        if self._open is not None and self._done:
            with contextlib.suppress(StoreError), self._translated("written"):
                self._transaction(Changes())
        super().close()
        if not self._is_closed:
            self._is_closed = True
            self._lock.release()

    def _can_wait(self, changes: Changes) -> bool:
        """Remember deliveries, if there is nothing else and they are not many or old."""
        if changes.is_durable or changes.history:
            return False
        now = self._clock.monotonic()
        if not self._done:
            self._done_since = now
        self._done.update(dict.fromkeys(changes.delivered))
        with self._translated("written"):
            self._connection().executemany(
                "INSERT OR IGNORE INTO done VALUES (?)", [(each,) for each in changes.delivered]
            )
        return len(self._done) < _MOST_DONE and now - self._done_since < _DONE_WAITS_S

    def _prepared(self, growth: int, written: int) -> None:
        """Make room for a transaction, and delete what is too old."""
        db = self._connection()
        db.execute("PRAGMA synchronous = FULL")
        try:
            self._bounds.forget_old(db)
            self._bounds.make_room(db, growth, written)
        finally:
            _undo(db)
            self._notices += self._bounds.notices
            self._bounds.notices.clear()
        self._count_outbox(db)

    def _transaction(self, changes: Changes) -> None:
        db = self._connection()
        # Losing what is not durable to a power cut costs a repeated message or five minutes of history, and saves a write each.
        db.execute(f"PRAGMA synchronous = {'FULL' if changes.is_durable else 'NORMAL'}")
        db.execute("BEGIN IMMEDIATE")
        try:
            self._writer.write(db, changes, self._done)
            db.execute("COMMIT")
        except BaseException:
            self._writer.forget()  # some of them may be of the transaction that is undone
            _undo(db)
            raise
        self._saved.update(state.machine for state in changes.states)
        self._done.clear()

    def _next_row(self) -> int:
        self.last_row += 1
        return self.last_row

    def _count_outbox(self, db: sqlite3.Connection) -> None:
        self.last_row = max(self.last_row, db.execute("SELECT max(row) FROM outbox").fetchone()[0] or 0)
        found = db.execute("SELECT value FROM meta WHERE key = 'lost_total'").fetchone()
        self.lost_total = int(found[0]) if found else 0

    def _connection(self) -> sqlite3.Connection:
        if self._open is None and not self._is_closed:
            self._reopen()
        return super()._connection()

    def _reopen(self) -> None:
        now = self._clock.monotonic()
        if now < self._not_before:
            raise StoreError(f"{self.path}: the disk failed; it is tried again in {self._not_before - now:.0f} s")
        self._not_before, self._wait_s = now + self._wait_s, min(2 * self._wait_s, _LONGEST_WAIT_S)
        try:
            db, notices = open_database(self.path, self._clock.wall(), self._bounds.wal_bytes)
        except StoreError:
            if not give_reserve(self._folder):
                raise
            db, notices = open_database(self.path, self._clock.wall(), self._bounds.wal_bytes)
        self._notices += notices
        self._open = db
        with self._translated("read"):
            self._count_outbox(db)
            self._saved = {name for (name,) in db.execute("SELECT name FROM states JOIN machines ON id = machine")}
            db.executemany("INSERT INTO done VALUES (?)", [(message,) for message in self._done])
        self._writer.forget()
        self._not_before, self._wait_s = 0.0, _FIRST_WAIT_S

    def _failed(self, fault: sqlite3.Error | OSError) -> None:
        """What a disk did once it may do again to the same connection; a full one or a lock pass by themselves."""
        code = getattr(fault, "sqlite_errorcode", sqlite3.SQLITE_IOERR) & 0xFF
        if code not in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_CONSTRAINT):
            with contextlib.suppress(sqlite3.Error):
                super().close()
            self._open = None


def _undo(db: sqlite3.Connection) -> None:
    """End a transaction that failed, if SQLite has not; where that fails as well, the next one finds out."""
    if db.in_transaction:
        with contextlib.suppress(sqlite3.Error):
            db.execute("ROLLBACK")
