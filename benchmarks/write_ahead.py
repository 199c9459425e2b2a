"""What it would write to a card to commit every reading to SQLite, as the gateway does not (docs/decisions/0019-the-gateway.md).

python -m benchmarks write_ahead
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import struct
import tempfile
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from benchmarks.markdown import table

MACHINES = 10
DAY_S = 86_400
KEPT_S = 200
"""So many seconds of readings stay in the table, a window and some."""


def main(arguments: Sequence[str]) -> int:
    """Print bytes a commit and a day; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks write_ahead",
        description="Bytes that a database of every reading writes a day: 10 machines, 4 channels, a reading a second.",
    )
    parser.add_argument("--seconds", type=int, default=3000, metavar="N", help="of readings to write (default: 3000)")
    parser.add_argument(
        "--folder",
        metavar="DIR",
        help="on the disk to write to, not in memory (default: the system's for temporary files)",
    )
    given = parser.parse_args(arguments)
    results = []
    for name, readings in (("one commit a second", MACHINES), ("one commit a reading", 1)):
        with tempfile.TemporaryDirectory(dir=given.folder) as folder:
            commits = given.seconds * MACHINES // readings
            written = bytes_written(Path(folder, "readings.db"), readings, commits)
        results.append(
            {
                "name": name,
                "bytes_a_commit": round(written / commits),
                "mb_a_day": round(written / given.seconds * DAY_S / 1e6),
            }
        )
    rows = [(str(each["name"]), f"{each['bytes_a_commit']:,}", f"{each['mb_a_day']:,}") for each in results]
    print(table(("", "bytes a commit", "MB a day"), rows))
    print(json.dumps({"benchmark": "write_ahead", "machines": MACHINES, "results": results}))
    return 0


def bytes_written(path: Path, readings: int, commits: int) -> int:
    """What the kernel was given to write for so many commits of so many readings each, in WAL mode with synchronous=FULL."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("CREATE TABLE readings (id INTEGER PRIMARY KEY, machine INTEGER, time INTEGER, data BLOB)")
        values = struct.pack("4d", 0.1, 0.2, 0.3, 0.4)
        kept = KEPT_S * MACHINES
        before = _write_bytes()
        for commit in range(commits):
            rows = [(machine, commit * 1_000_000, values) for machine in range(readings)]
            connection.execute("BEGIN")
            connection.executemany("INSERT INTO readings (machine, time, data) VALUES (?, ?, ?)", rows)
            connection.execute("COMMIT")
            if commit % 300 == 299:
                connection.execute("DELETE FROM readings WHERE id <= ?", ((commit + 1) * readings - kept,))
        return _write_bytes() - before


def _write_bytes() -> int:
    lines = Path("/proc/self/io").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("write_bytes"))
