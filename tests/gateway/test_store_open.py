"""A damaged database is moved aside and what can be read of it is kept; another program's is left alone."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from stored import DIGEST, SetClock, cleared, raised, state

from edge_runtime.errors import StoreError
from edge_runtime.gateway.config import Storage
from edge_runtime.gateway.store import Store
from edge_runtime.gateway.store_rows import Changes
from edge_runtime.gateway.store_tables import MIGRATIONS, TABLES, statements

ALERTS = 200


def opened(folder: Path) -> Store:
    """A store with room enough."""
    return Store(str(folder), Storage(folder=str(folder)), SetClock())


def filled(folder: Path) -> Path:
    """A store with alerts that wait; returns the database, closed."""
    store = opened(folder)
    for number in range(ALERTS):
        changes = raised(f"a{number}", evidence=bytes(5000))
        changes.states.append(state(f"pump-{number}"))
        changes.meta["number"] = str(number)
        store.commit(changes)
    store.close()
    assert sorted(each.name for each in folder.iterdir()) == ["store.db", "store.lock", "store.reserve"]
    return folder / "store.db"


def test_a_new_one_says_nothing(tmp_path: Path) -> None:
    """Nor does an old one that is whole."""
    for _ in range(2):
        store = opened(tmp_path)
        assert (store.notices(), store.problems()) == ([], [])
        store.close()


def garbage(path: Path) -> None:
    path.write_bytes(os.urandom(50_000))


def short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:60])


def zeros_in_front(path: Path) -> None:
    path.write_bytes(bytes(4096) + path.read_bytes()[4096:])


def half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def emptied(path: Path) -> None:
    path.write_bytes(b"")
    Path(f"{path}-wal").write_bytes(bytes(5000))


def bytes_in_pages(path: Path) -> None:
    """Every tenth page but the first few."""
    content = bytearray(path.read_bytes())
    for page in range(30, len(content) // 4096, 10):
        content[page * 4096 : page * 4096 + 100] = os.urandom(100)
    path.write_bytes(content)


@pytest.mark.parametrize("damage", [garbage, short, zeros_in_front, half, emptied, bytes_in_pages])
def test_a_damaged_database_is_moved_aside(damage: Callable[[Path], None], tmp_path: Path) -> None:
    """It is kept, a new one is begun, and that is said in the log once and in the status until a person has deleted it."""
    path = filled(tmp_path)
    damage(path)
    found = path.read_bytes()
    store = opened(tmp_path)
    (notice,) = store.notices()
    assert notice.startswith(f"{path}: damaged (")
    assert "moved to store.db.corrupt-20231114T221320Z; a new one was begun with what could be read of it: " in notice
    assert store.notices() == []
    assert store.problems() == [
        "store.db.corrupt-20231114T221320Z: the database was damaged and is kept under this name; delete it once looked at"
    ]
    if damage is not emptied:
        assert (tmp_path / "store.db.corrupt-20231114T221320Z").read_bytes() == found
    store.commit(raised("new"))
    store.close()
    store = opened(tmp_path)
    assert store.notices() == []
    assert len(store.problems()) == 1
    assert store.alerts(1)[0].id == "new"
    store.close()
    for aside in tmp_path.glob("store.db.corrupt-*"):
        aside.unlink()
    store = opened(tmp_path)
    assert store.problems() == []
    store.close()


def test_most_of_a_damaged_database_is_read(tmp_path: Path) -> None:
    """From both ends of a table up to a page that is damaged; what was not sent still waits, in order, and the id of a later one follows."""
    path = filled(tmp_path)
    with sqlite3.connect(path) as connection:
        pages = [
            row[0]
            for row in connection.execute("SELECT pageno FROM dbstat WHERE name = 'outbox' AND pagetype = 'leaf'")
        ]
    connection.close()
    content = bytearray(path.read_bytes())
    page = pages[len(pages) // 2]
    content[(page - 1) * 4096 : page * 4096] = os.urandom(4096)
    path.write_bytes(content)
    store = opened(tmp_path)
    (notice,) = store.notices()
    assert f"{ALERTS} alerts" in notice
    numbers = [int(str(each.alert)[1:]) for each in store.waiting()]
    assert numbers == sorted(numbers)
    assert (numbers[0], numbers[-1]) == (0, ALERTS - 1)
    assert ALERTS - 15 < len(numbers) < ALERTS
    assert len(store.machine_states(DIGEST)) == ALERTS
    store.commit(raised("next"))
    assert store.waiting()[-1].row == ALERTS + 1
    store.close()


def test_damage_found_while_running(tmp_path: Path) -> None:
    """The commit that meets it fails; the next one opens the database again, which moves it aside, and is written into the new one."""
    path = filled(tmp_path)
    store = opened(tmp_path)
    content = path.read_bytes()
    path.write_bytes(content[:8192] + os.urandom(len(content) - 8192))
    with pytest.raises(StoreError, match="malformed"):
        store.commit(cleared("a5"))
    store.commit(raised("new"))
    assert "damaged" in store.notices()[0]
    assert store.alerts()[0].id == "new"
    assert store.waiting()[-1].row == store.last_row > ALERTS  # where a publisher that is past all others finds it
    store.close()


def test_two_damaged_in_one_second(tmp_path: Path) -> None:
    """Neither is lost."""
    for content in (b"one" * 100, b"two" * 100):
        (tmp_path / "store.db").write_bytes(content)
        opened(tmp_path).close()
    assert sorted(each.read_bytes()[:3] for each in tmp_path.glob("*.corrupt-*")) == [b"one", b"two"]


def test_another_programs_database_is_refused(tmp_path: Path) -> None:
    """And not touched."""
    with sqlite3.connect(tmp_path / "store.db") as connection:
        connection.execute("CREATE TABLE songs (name TEXT)")
    connection.close()
    before = (tmp_path / "store.db").read_bytes()
    with pytest.raises(StoreError, match=r"store\.db: expected a database of anomalite, got another program's"):
        opened(tmp_path)
    assert (tmp_path / "store.db").read_bytes() == before
    (tmp_path / "store.db").unlink()
    opened(tmp_path).close()  # the lock was let go of


def test_a_start_that_was_cut_off(tmp_path: Path) -> None:
    """Before the first table, or before the first byte, it is begun again."""
    store = opened(tmp_path)
    store.close()
    with sqlite3.connect(tmp_path / "store.db") as connection:
        for table in TABLES:
            connection.execute(f"DROP TABLE {table}")
        connection.execute("PRAGMA user_version = 0")
    connection.close()
    store = opened(tmp_path)
    store.commit(raised("a"))
    assert store.notices() == []
    store.close()
    (tmp_path / "store.db").write_bytes(b"")
    store = opened(tmp_path)
    assert (store.alerts(), store.notices()) == ([], [])
    store.close()


def test_a_migration_is_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that fails leaves the version and the tables as they were; one that works keeps what is there."""
    filled(tmp_path)
    for script in ("CREATE TABLE new (a);\nCREATE TABLE alerts (a);", "CREATE TABLE new (a);\nCREATE TABLE newer (b);"):
        monkeypatch.setattr("edge_runtime.gateway.store_tables.MIGRATIONS", (*MIGRATIONS, script))
        if "alerts" in script:
            with pytest.raises(StoreError, match="cannot be opened: table alerts already exists"):
                opened(tmp_path)
        else:
            store = opened(tmp_path)
            assert len(store.alerts(-1)) == ALERTS
            store.close()
    with sqlite3.connect(tmp_path / "store.db") as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS) + 1,)
        assert {("new",), ("newer",)} < set(connection.execute("SELECT name FROM sqlite_master"))
    connection.close()


def test_every_table_would_be_salvaged() -> None:
    """The list of tables is that of the schema."""
    made = {
        line.split()[2]
        for script in MIGRATIONS
        for line in statements(script)
        if line.strip().startswith("CREATE TABLE")
    }
    assert set(TABLES) == made


def test_an_empty_commit_opens_nothing(tmp_path: Path) -> None:
    """There is nothing to write."""
    store = opened(tmp_path)
    store.close()
    store.commit(Changes())
