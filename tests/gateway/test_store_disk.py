"""Disks that are full, read-only, locked or out of reach: nothing is half written, alerts go out, and are stored when that is possible again."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from stored import DIGEST, START, SetClock, cleared, raised, state
from test_publisher import Broker, ScriptedClient, payload_id

from edge_runtime.errors import StoreError
from edge_runtime.gateway.config import Storage
from edge_runtime.gateway.publisher import Publisher
from edge_runtime.gateway.store import Store
from edge_runtime.gateway.store_read import open_reader
from edge_runtime.gateway.store_rows import Changes

KB = 1024


def opened(folder: Path, clock: SetClock) -> Store:
    """A store with more room than the disk has."""
    return Store(str(folder), Storage(folder=str(folder)), clock)


def run(*command: str) -> str:
    """Run a command of the system; what it says, if it fails."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return "" if done.returncode == 0 else f"{' '.join(command)}: {done.stderr.strip()}"


def mounted(*command: str) -> None:
    """Mount, or skip the test where that is not allowed; in CI it is."""
    fault = run("mount", *command) if hasattr(os, "geteuid") and os.geteuid() == 0 else "only root mounts"
    if fault and os.environ.get("CI"):
        pytest.fail(fault)
    if fault:
        pytest.skip(fault)


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MB, in memory."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted("-t", "tmpfs", "-o", "size=4m", "none", str(folder))
    yield folder
    assert run("umount", "-l", str(folder)) == ""


def fill(folder: Path, leave: int = 0) -> None:
    """Write a file until the last page is taken; then free some."""
    with (folder / "filler").open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            file.truncate(max(0, file.tell() - leave))


def empty(folder: Path) -> None:
    """Take the file away again."""
    (folder / "filler").unlink()


class Gateway:
    """The part of a gateway's loop that stores and sends."""

    def __init__(self, folder: Path) -> None:
        self.clock = SetClock()
        self.store = opened(folder, self.clock)
        self.broker = Broker()
        self.client = ScriptedClient(self.broker)
        self.publisher = Publisher(self.store, self.client)
        self.changes = Changes()
        self.faults: list[str] = []

    def tick(self, changes: Changes) -> None:
        """Store what happened, or keep it; send; hear from the broker."""
        self.clock.advance(1)
        self.changes.add(changes)
        try:
            self.store.commit(self.changes)
            self.changes = Changes()
        except StoreError as fault:
            self.faults.append(str(fault))
        self.publisher.hold(self.changes.outbox)
        self.changes.delivered += self.publisher.pump()
        self.client.arrive()
        self.client.answer()
        self.changes.delivered += self.publisher.pump()

    @property
    def sent(self) -> list[str]:
        """Ids of the alerts that the broker received, in order."""
        return [payload_id(payload) for payload in self.broker.received]


def test_a_full_disk(small: Path) -> None:
    """Alerts are sent from memory, each once and in order; once there is space they are stored, as sent, with the rest."""
    gateway = Gateway(small)
    for number in range(40):
        if number == 10:
            fill(small)
        if number == 30:
            assert "database or disk is full" in gateway.faults[-1]
            stored = {alert.id for alert in gateway.store.alerts(-1)}
            assert {f"a{number}" for number in range(10)} <= stored < {f"a{number}" for number in range(30)}
            empty(small)
            gateway.clock.advance(10)
        changes = raised(f"a{number}", START + number, bytes(20 * KB))
        changes.states.append(state("pump", b"%d" % number))
        gateway.tick(changes)
    gateway.tick(Changes())
    assert gateway.sent == [f"a{number}-raised" for number in range(40)]
    alerts = gateway.store.alerts(-1)
    assert [alert.id for alert in alerts] == [f"a{number}" for number in range(39, -1, -1)]
    assert all(alert.is_sent and alert.has_evidence for alert in alerts)
    assert [each.state for each in gateway.store.machine_states(DIGEST)] == [b"39"]
    assert gateway.store.waiting() == []
    assert gateway.store.notices() == []
    gateway.store.close()


def test_a_disk_that_fills_up_in_the_middle_of_a_commit(small: Path) -> None:
    """Whatever fits: all of the transaction is there, or nothing of it, and the next smaller one is written."""
    clock = SetClock()
    store = opened(small, clock)
    store.commit(raised("before"))
    outcomes = set()
    for number in range(40):
        (small / "store.reserve").unlink(missing_ok=True)
        fill(small, leave=number * 8 * KB)
        changes = raised(f"a{number}", START + number, bytes(50 * KB))
        changes.add(raised(f"b{number}", START + number, bytes(50 * KB)))
        clock.advance(10)
        try:
            store.commit(changes)
            outcome = True
        except StoreError:
            outcome = False
        outcomes.add(outcome)
        assert [store.alert(f"{which}{number}") is not None for which in "ab"] == [outcome] * 2
        assert [len(each.id) > 0 for each in store.waiting() if each.id == f"b{number}-raised"] == [True] * outcome
        empty(small)
        if outcome:
            break
    assert outcomes == {True, False}
    store.close()
    store = opened(small, clock)
    assert store.notices() == []
    assert store.alert("before") is not None
    store.close()


def test_a_start_on_a_full_disk(small: Path) -> None:
    """It works, by what was set aside for it; where that is used up as well, what is stored is still there once there is space."""
    clock = SetClock()
    store = opened(small, clock)
    for number in range(20):
        store.commit(raised(f"a{number}", START + number, bytes(20 * KB)))
    store.close()
    fill(small)
    store = opened(small, clock)
    assert not (small / "store.reserve").exists()
    store.commit(raised("b"))
    with pytest.raises(StoreError, match="full"):
        store.commit(raised("c", evidence=bytes(250 * KB)))
    store.close()
    fill(small)
    with pytest.raises(StoreError, match=r"store\.db: cannot be opened: "):  # now there is nothing left to give
        opened(small, clock)
    empty(small)
    store = opened(small, clock)
    assert len(store.alerts(-1)) == len(store.waiting()) == 21
    assert store.notices() == []
    store.commit(raised("c"))
    assert (small / "store.reserve").stat().st_size == store.sizes["reserve"] > 0
    store.close()


def test_a_disk_that_becomes_read_only(tmp_path: Path) -> None:
    """As ext4 does it by itself after an error. Alerts are sent; with the disk in order they are stored, without a restart."""
    folder, image = tmp_path / "card", tmp_path / "card.img"
    folder.mkdir()
    for name in ("card.img", "other.img"):
        with (tmp_path / name).open("wb") as file:
            file.truncate(16 * KB * KB)
        assert run("mkfs.ext4", "-q", str(tmp_path / name)) == ""
    mounted("-o", "loop,errors=remount-ro", str(image), str(folder))
    try:
        gateway = Gateway(folder)
        gateway.tick(raised("a0"))
        assert run("mount", "-o", "remount,abort", str(folder)) == ""
        for number in range(1, 5):
            gateway.tick(raised(f"a{number}", START + number))
            gateway.clock.advance(60)
        assert len(gateway.faults) == 4
        assert gateway.sent == [f"a{number}-raised" for number in range(5)]
        # A restart of the board would check the file system; here another with the same files takes its place.
        kept = tmp_path / "kept"
        shutil.copytree(folder, kept, ignore=shutil.ignore_patterns("lost+found"))
        assert run("umount", "-l", str(folder)) == ""
        mounted("-o", "loop", str(tmp_path / "other.img"), str(folder))
        shutil.copytree(kept, folder, dirs_exist_ok=True)
        gateway.clock.advance(60)
        gateway.tick(cleared("a4"))
        gateway.tick(Changes())
        assert [alert.id for alert in gateway.store.alerts()] == ["a4", "a3", "a2", "a1", "a0"]
        assert gateway.store.alerts()[0].cleared is not None
        assert gateway.sent[5:] == ["a4-cleared"]
        assert gateway.store.notices() == []
        gateway.store.close()
    finally:
        run("umount", "-l", str(folder))


def test_a_database_that_somebody_locks(tmp_path: Path) -> None:
    """A person with `sqlite3`: the commit fails after a moment, and works when the other has finished."""
    gateway = Gateway(tmp_path)
    gateway.tick(raised("a0"))
    other = sqlite3.connect(tmp_path / "store.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    gateway.tick(raised("a1"))
    assert "database is locked" in gateway.faults[-1]
    assert gateway.sent == ["a0-raised", "a1-raised"]
    other.execute("ROLLBACK")
    gateway.tick(Changes())
    assert [alert.is_sent for alert in gateway.store.alerts()] == [True, True]
    assert len(gateway.faults) == 1
    other.close()
    gateway.store.close()


def test_a_reader_that_stays(tmp_path: Path) -> None:
    """Somebody who leaves a query open keeps the log from being emptied, not the gateway from writing."""
    store = opened(tmp_path, SetClock())
    store.commit(raised("a"))
    other = sqlite3.connect(tmp_path / "store.db", isolation_level=None)
    other.execute("BEGIN")
    other.execute("SELECT * FROM alerts").fetchall()
    for number in range(60):
        store.commit(raised(f"a{number}", START + number, bytes(60 * KB)))
    assert store.sizes["wal"] > 2 * KB * KB
    other.close()
    for number in range(60, 65):
        store.commit(raised(f"a{number}", START + number, bytes(60 * KB)))
    assert store.sizes["wal"] <= 2 * KB * KB
    store.close()


def test_failures_in_a_row_leave_the_disk_alone(tmp_path: Path) -> None:
    """The first is tried again at once, further ones after longer and longer; whoever has no more time may try at once."""
    clock = SetClock()
    store = opened(tmp_path, clock)
    other = sqlite3.connect(tmp_path / "store.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    changes = raised("a")
    for _ in range(2):
        with pytest.raises(StoreError, match="locked"):
            store.commit(changes)
    other.execute("ROLLBACK")
    with pytest.raises(StoreError, match="locked"):
        store.commit(changes)
    store.commit(changes, at_once=True)
    store.commit(cleared("a"))
    assert store.alerts()[0].cleared is not None
    other.close()
    store.close()


@contextmanager
def as_nobody() -> Iterator[None]:
    """Without root's rights over files; everybody else has not got them anyway."""
    is_root = hasattr(os, "geteuid") and os.geteuid() == 0
    if is_root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if is_root:
            os.seteuid(0)


def test_a_folder_that_is_taken_away() -> None:
    """It says so; reading works where nobody may write, and says so where nobody may read."""
    folder = Path(tempfile.mkdtemp(dir="/tmp"))  # pytest's own are for their owner's eyes only
    store = opened(folder, SetClock())
    store.commit(raised("a"))
    store.close()
    try:
        folder.chmod(0o555)
        (folder / "store.lock").chmod(0o444)
        with as_nobody(), pytest.raises(StoreError, match=r"store\.lock: cannot be opened: Permission denied"):
            opened(folder, SetClock())
        with as_nobody():
            reader = open_reader(str(folder))
            assert [alert.id for alert in reader.alerts()] == ["a"]
            reader.close()
        folder.chmod(0)
        with (
            as_nobody(),
            pytest.raises(StoreError, match=r"store\.db: expected the database of a gateway, found no such file"),
        ):
            open_reader(str(folder))
    finally:
        folder.chmod(0o755)
        shutil.rmtree(folder)
