"""Opening the database: one process at a time, and what to do with a file that is damaged or another program's."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import sys
import time
from typing import NamedTuple

from edge_runtime.errors import StoreError
from edge_runtime.gateway.store_tables import APPLICATION, DONE, MIGRATIONS, PAGE, TABLES, migrate

NAME = "store.db"
LOCK = "store.lock"
RESERVE = "store.reserve"
"""A file that is there to be deleted when the disk is full: with its room the database can be opened, and a few alerts written."""
CORRUPT = ".corrupt-"
"""What a damaged database's name goes on with, and then the time it was found so."""

_MAGIC = b"SQLite format 3\0"
_DAMAGE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_BUSY_MS = 200
"""So long another connection that writes (a person's `sqlite3`) is waited for: the readings wait as well."""


class Opened(NamedTuple):
    """A connection for writing."""

    connection: sqlite3.Connection
    notices: list[str]
    """What a person has to be told."""


class FolderLock:
    """Holds a folder for this process, until it ends in whatever way."""

    def __init__(self, folder: str) -> None:
        """Raises `StoreError` if another process holds it."""
        path = os.path.join(folder, LOCK)
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as fault:
            raise StoreError(f"{path}: cannot be opened: {fault.strerror}") from None
        try:
            _lock(self._file)
        except OSError:
            holder = os.read(self._file, 20).decode("ascii", "replace").strip() or "unknown"
            os.close(self._file)
            raise StoreError(
                f"{folder}: in use by another gateway, process {holder}: each needs a folder of its own"
            ) from None
        with contextlib.suppress(OSError):  # on a full disk the lock holds as well, only without a name
            os.ftruncate(self._file, 0)
            os.pwrite(self._file, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Let another process have it."""
        os.close(self._file)


def _lock(file: int) -> None:
    """Lock the open file, or raise `OSError` where another process has."""
    if sys.platform == "win32":
        import msvcrt

        msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def make_reserve(folder: str, size: int) -> None:
    """Take some room for bad times, if there is any and it is not taken yet."""
    path = os.path.join(folder, RESERVE)
    with contextlib.suppress(FileNotFoundError):
        if os.path.getsize(path) > size:
            os.truncate(path, size)
        return
    try:
        with open(path, "wb", buffering=0) as file:
            file.write(os.urandom(size))  # which no file system makes smaller
    except OSError:
        give_reserve(folder)


def give_reserve(folder: str) -> bool:
    """Free the room that was taken for bad times; False: it was not there."""
    try:
        os.unlink(os.path.join(folder, RESERVE))
    except OSError:
        return False
    return True


def open_database(path: str, wall: float, wal_bytes: int) -> Opened:
    """Open the database for writing, or begin one; a damaged one is moved aside first, and what can be read of it is copied.

    `wall` is the time it would be named by, `wal_bytes` how large the write-ahead log may become. Raises `StoreError` for another
    program's database, and where the disk does not let it be opened; `sqlite3.Error` does not get out.
    """
    notices = []
    try:
        damage = _damage(path)
        if damage:
            aside = _move_aside(path, wall)
            connection = _connect(path, wal_bytes)
            copied = _salvage(connection, aside)
            notices.append(
                f"{path}: damaged ({damage}), moved to {os.path.basename(aside)}; a new one was begun with what could be read of it: {copied}"
            )
        else:
            connection = _connect(path, wal_bytes)
    except sqlite3.Error as fault:
        raise StoreError(f"{path}: cannot be opened: {fault}") from None
    except OSError as fault:
        raise StoreError(f"{path}: cannot be opened: {fault.strerror}") from None
    return Opened(connection, notices)


def _damage(path: str) -> str:
    """What is wrong with the file, `""` for nothing. Raises `StoreError` for another program's, `OSError`, `sqlite3.Error`."""
    if not os.path.exists(path):
        return ""
    with open(path, "rb") as file:
        header = file.read(100)
    if not header:  # no commit was made yet, if no log tells otherwise
        return "empty" if os.path.exists(path + "-wal") and os.path.getsize(path + "-wal") > 0 else ""
    if len(header) < 100 or not header.startswith(_MAGIC):
        return "no database"
    if int.from_bytes(header[68:72], "big") != APPLICATION:
        raise StoreError(
            f"{path}: expected a database of anomalite, got another program's: give the gateway a folder of its own"
        )
    try:
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute(f"PRAGMA busy_timeout = {_BUSY_MS}")
            (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
            return "" if found == "ok" else str(found).replace("\n", " ")
    except sqlite3.DatabaseError as fault:
        if fault.sqlite_errorcode & 0xFF in _DAMAGE:
            return str(fault)
        raise


def _move_aside(path: str, wall: float) -> str:
    """Rename the database and its log; returns the new path."""
    aside = path + CORRUPT + time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(wall))
    number = 1
    while os.path.exists(aside):
        number += 1
        aside = f"{aside.partition('.again')[0]}.again{number}"
    if os.path.exists(path + "-wal"):
        os.replace(path + "-wal", aside + "-wal")
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path + "-shm")
    os.replace(path, aside)
    return aside


def _connect(path: str, wal_bytes: int) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)  # transactions are begun and ended by name
    try:
        for setting in (
            f"busy_timeout = {_BUSY_MS}",
            "temp_store = MEMORY",  # nothing is written outside the folder
            "secure_delete = OFF",  # Debian's SQLite overwrites with zeros what is deleted: bytes written for nothing
            "cache_size = -1000",
        ):
            connection.execute(f"PRAGMA {setting}").fetchall()
        if os.path.getsize(path) == 0:
            connection.execute(f"PRAGMA page_size = {PAGE}")
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # so that a smaller `max_mb` can be kept to
            connection.execute(
                f"PRAGMA application_id = {APPLICATION}"
            )  # before WAL: in the file itself from the first byte
        for setting in (
            "journal_mode = WAL",
            f"wal_autocheckpoint = {wal_bytes // PAGE}",
            f"journal_size_limit = {wal_bytes}",  # one very large transaction does not leave its size behind
        ):
            connection.execute(f"PRAGMA {setting}").fetchall()
        migrate(connection, path)
        connection.execute(DONE)
    except BaseException:
        connection.close()
        raise
    return connection


def _salvage(connection: sqlite3.Connection, aside: str) -> str:
    """Copy what can be read of a damaged database, from both ends of each table; returns how many rows of which."""
    copied = dict.fromkeys(TABLES, 0)
    with contextlib.suppress(sqlite3.DatabaseError), contextlib.closing(sqlite3.connect(aside)) as old:
        if old.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),):
            for table in TABLES:
                for direction in ("ASC", "DESC"):
                    copied[table] += _copy(old, connection, table, direction)
    return ", ".join(f"{rows} {table}" for table, rows in copied.items() if rows) or "nothing"


def _copy(old: sqlite3.Connection, new: sqlite3.Connection, table: str, direction: str) -> int:
    """Copy rows of a table up to the damage; returns how many were new."""
    columns = [row[1] for row in new.execute(f"PRAGMA table_info({table})")]
    places = ", ".join("?" * len(columns))
    before = new.total_changes
    new.execute("BEGIN IMMEDIATE")
    with contextlib.suppress(sqlite3.DatabaseError):
        for row in old.execute(f"SELECT {', '.join(columns)} FROM {table} ORDER BY {columns[0]} {direction}"):
            new.execute(f"INSERT OR IGNORE INTO {table} VALUES ({places})", row)
    new.execute("COMMIT")
    return new.total_changes - before
