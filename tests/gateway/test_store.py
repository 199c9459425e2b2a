"""The store: whole commits, made twice without harm, read back as they were written, by one gateway at a time."""

from __future__ import annotations

import math
import os
import random
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from stored import DIGEST, START, SetClock, cleared, delivered, event, history, message, raised, state

from edge_runtime.errors import StoreError
from edge_runtime.gateway.config import Storage
from edge_runtime.gateway.store import Store
from edge_runtime.gateway.store_read import open_reader
from edge_runtime.gateway.store_rows import (
    EVIDENCE_HELD,
    HISTORY_HELD,
    Changes,
    HistoryRow,
    MaintenanceRecord,
    Outgoing,
    StoredEvent,
)
from edge_runtime.readings import STATUSES

REPOSITORY = Path(__file__).parents[2]


def opened(folder: Path) -> Store:
    """A store with room enough."""
    return Store(str(folder), Storage(folder=str(folder)), SetClock())


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A new one."""
    store = opened(tmp_path)
    yield store
    store.close()


def test_what_is_written_is_read(store: Store) -> None:
    """Every field of every kind, floats to the bit."""
    changes = raised("a", evidence=b"\0\xff")
    odd = state("pump 2 ü", b"\0state")._replace(saved_wall=0.1 + 0.2, last_reading=None)
    changes.states += [state("pump", b"1"), odd]
    changes.history.append(HistoryRow("pump", START, math.nan, 0.1, math.inf, 1.0, tuple(range(len(STATUSES)))))
    changes.meta["position"] = "12"
    work = MaintenanceRecord("w", ("pump", "fan"), START, START + 1, "belt", "configuration")
    changes.maintenance.append(work)
    store.commit(changes)
    (alert,) = store.alerts()
    assert alert == store.alert("a") == store.open_alerts()[0]
    assert (alert.machine, alert.digest, alert.file, alert.engine) == ("pump", DIGEST, "pumps.anomalite", "numpy")
    assert (alert.raised, alert.score, alert.threshold) == (START, 2.5, 1.0)
    assert list(alert.contributions.items()) == [("c0", 2.0), ("c1", 0.5)]
    assert (alert.cleared, alert.acknowledged, alert.in_maintenance, alert.is_sent) == (None, None, False, False)
    assert alert.has_evidence
    assert store.evidence("a") == b"\0\xff"
    assert store.evidence("b") is None
    assert store.waiting() == [message("a")._replace(row=1)]
    assert store.machine_states(DIGEST) == [state("pump", b"1"), odd]
    assert store.machine_states("of another bundle") == []
    (row,) = store.history("pump")
    assert math.isnan(row.lowest)
    assert row[2:] == changes.history[0][2:]  # all but the machine and the NaN
    assert (store.meta("position"), store.meta("none"), store.maintenance()) == ("12", None, [work])


def test_an_alert_goes_through_its_life(store: Store) -> None:
    """Raised, acknowledged, cleared; sent once the broker has every message about it; the messages in order."""
    store.commit(raised("a"))
    changes = Changes()
    changes.events.append(StoredEvent(event("a", "acknowledged", START + 5, reason="Eva")))
    store.commit(changes)
    store.commit(cleared("a", START + 9))
    store.commit(delivered("a-raised"))
    alert = store.alert("a")
    assert alert is not None
    assert (alert.acknowledged, alert.acknowledged_by) == (START + 5, "Eva")
    assert (alert.cleared, alert.clear_reason, alert.is_sent) == (START + 9, "normal", False)
    assert store.open_alerts() == []
    assert [each.id for each in store.waiting()] == ["a-cleared"]
    store.commit(delivered("a-cleared"))
    alert = store.alert("a")
    assert alert is not None
    assert alert.is_sent
    assert store.waiting_count() == 0


def test_the_same_again_changes_nothing(store: Store) -> None:
    """After a crash alerts are raised and cleared again, with the same ids: nothing is queued twice, even what was delivered long ago."""
    store.commit(raised("a"))
    store.commit(cleared("a"))
    before = store.alerts(), store.waiting()
    again = raised("a", evidence=b"other")
    again.add(cleared("a", START + 77))
    store.commit(again)
    assert (store.alerts(), store.waiting()) == before
    assert store.evidence("a") == b"evidence"
    store.commit(delivered("a-raised", "a-cleared"))
    store.commit(again)
    assert store.waiting() == []
    assert [alert.is_sent for alert in store.alerts()] == [True]


def test_an_alert_in_maintenance_is_kept_and_not_sent(store: Store) -> None:
    """It has no message, so it never counts as sent."""
    changes = raised("a", in_maintenance=True)
    changes.outbox.clear()
    store.commit(changes)
    assert [(alert.in_maintenance, alert.is_sent) for alert in store.alerts()] == [(True, False)]


def test_the_end_of_an_unknown_alert_is_passed_on(store: Store) -> None:
    """Its row was deleted long ago, perhaps; the consumer may still wait for it."""
    store.commit(cleared("a"))
    assert [each.id for each in store.waiting()] == ["a-cleared"]
    assert store.alerts() == []


def test_of_a_retained_topic_the_newest_waits(store: Store) -> None:
    """It goes to the end; alerts stay where they are; the acknowledgement of the one it replaced does not delete it."""
    for number in range(3):
        changes = raised(f"a{number}")
        changes.outbox.append(Outgoing(f"state-{number}", "machines/pump", b"%d" % number, retain=True))
        store.commit(changes)
    assert [each.id for each in store.waiting()] == ["a0-raised", "a1-raised", "a2-raised", "state-2"]
    store.commit(delivered("state-0"))
    assert [each.payload for each in store.waiting()][-1] == b"2"


def test_waiting_goes_on_behind_a_row(store: Store) -> None:
    """Rows rise, also behind ones that were deleted."""
    for number in range(5):
        store.commit(raised(f"a{number}"))
    first = store.waiting(limit=2)
    assert [each.id for each in first] == ["a0-raised", "a1-raised"]
    store.commit(delivered(*(each.id for each in store.waiting())))
    store.commit(raised("b"))
    (last,) = store.waiting(first[-1].row)
    assert last.id == "b-raised"
    assert last.row == store.last_row == 6


def test_all_or_nothing(store: Store) -> None:
    """Something in the middle that cannot be written undoes what came before it, and may be repaired and committed again."""
    changes = raised("a")
    changes.states.append(state("new machine"))
    changes.history.append(history("another", START)._replace(counts=(None,) * len(STATUSES)))  # type: ignore[arg-type]
    with pytest.raises(StoreError, match=r"store\.db: cannot be written: NOT NULL"):
        store.commit(changes)
    assert (store.alerts(), store.waiting(), store.machine_states(DIGEST)) == ([], [], [])
    changes.history = [history("another", START)]
    store.commit(changes)
    assert (
        len(store.alerts())
        == len(store.waiting())
        == len(store.machine_states(DIGEST))
        == len(store.history("another"))
        == 1
    )


def test_history_is_told_apart(store: Store) -> None:
    """By machine and time, whatever order machines appear in; the same interval again replaces it."""
    changes = Changes()
    for minute in range(4):
        changes.history += [history(machine, START + minute * 60_000_000, minute) for machine in ("b", "a")]
    changes.history.append(history("a", START, 9.0))
    store.commit(changes)
    assert [row.mean for row in store.history("a")] == [9.0, 1, 2, 3]
    assert [(row.machine, row.start) for row in store.history("b", START + 120_000_000)] == [
        ("b", START + 120_000_000),
        ("b", START + 180_000_000),
    ]


def test_a_state_takes_the_place_of_the_one_before(store: Store) -> None:
    """Also that of another bundle."""
    for content, digest in ((b"1", DIGEST), (b"2", DIGEST), (b"3", "other")):
        changes = Changes()
        changes.states.append(state("pump", content)._replace(digest=digest))
        store.commit(changes)
    assert store.machine_states(DIGEST) == []
    assert [each.state for each in store.machine_states("other")] == [b"3"]


def test_it_is_all_there_after_a_restart(tmp_path: Path) -> None:
    """And the next rows of the outbox come after the last."""
    store = opened(tmp_path)
    changes = raised("a")
    changes.states.append(state("pump"))
    store.commit(changes)
    before = store.alerts(), store.waiting(), store.machine_states(DIGEST)
    store.close()
    store = opened(tmp_path)
    assert (store.alerts(), store.waiting(), store.machine_states(DIGEST)) == before
    assert store.last_row == 1
    store.close()
    with pytest.raises(StoreError, match="closed"):
        store.alerts()


def test_a_second_gateway_is_refused(store: Store, tmp_path: Path) -> None:
    """With the process that has the folder; after that one has ended, however, it may have it."""
    with pytest.raises(StoreError, match=f"in use by another gateway, process {os.getpid()}"):
        opened(tmp_path)
    store.commit(raised("a"))
    store.close()
    opened(tmp_path).close()


def test_a_folder_that_cannot_be(tmp_path: Path) -> None:
    """A file is in its place."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="file: cannot be made: File exists"):
        opened(tmp_path / "file")


def test_readers_read_while_it_writes(store: Store, tmp_path: Path) -> None:
    """What was committed, and nothing else; and they cannot write."""
    store.commit(raised("a"))
    reader = open_reader(str(tmp_path))
    assert reader.alerts() == store.alerts()
    assert reader.evidence("a") == b"evidence"
    store.commit(cleared("a"))
    assert reader.alerts() == store.alerts()
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        reader._connection().execute("DELETE FROM alerts")
    reader.close()


def test_reading_without_a_gateway(tmp_path: Path) -> None:
    """The store of one that ended; where there is none, or another version's, it is said."""
    with pytest.raises(StoreError, match="found no such file"):
        open_reader(str(tmp_path))
    store = opened(tmp_path)
    store.commit(raised("a"))
    store.close()
    reader = open_reader(str(tmp_path))
    assert [alert.id for alert in reader.alerts()] == ["a"]
    reader.close()
    with sqlite3.connect(tmp_path / "store.db") as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(StoreError, match="of version 1, got another"):
        open_reader(str(tmp_path))
    with pytest.raises(StoreError, match="of version 1 or before, got 99"):
        opened(tmp_path)


def test_what_could_not_be_written_is_gathered() -> None:
    """Of states the last, of a retained topic the last, of the history the newest, of old alerts no evidence; nothing that was delivered."""
    waiting = Changes()
    assert not waiting
    for number in range(EVIDENCE_HELD + 10):
        later = raised(f"a{number}")
        later.states += [state("pump", b"%d" % number), state("fan", b"%d" % number)]
        later.outbox.append(Outgoing(f"state-{number}", "machines/pump", b"", retain=True))
        later.history += [history("pump", number)] * (HISTORY_HELD // 50)
        later.meta["number"] = str(number)
        waiting.add(later)
    waiting.add(delivered("a3-raised"))
    assert waiting
    last = EVIDENCE_HELD + 9
    assert [stored.event.alert for stored in waiting.events] == [f"a{number}" for number in range(last + 1)]
    assert [stored.evidence is None for stored in waiting.events] == [True] * 10 + [False] * EVIDENCE_HELD
    ids = [f"a{number}-raised" for number in range(last + 1) if number != 3]
    assert [each.id for each in waiting.outbox] == [*ids, f"state-{last}"]
    assert [(each.machine, each.state) for each in waiting.states] == [("pump", b"%d" % last), ("fan", b"%d" % last)]
    assert len(waiting.history) == HISTORY_HELD
    assert waiting.history[-1].start == last
    assert waiting.meta == {"number": str(last)}


def test_what_was_sent_from_memory_counts_as_sent(store: Store) -> None:
    """An alert that could not be stored, was sent, and is stored later is not queued."""
    changes = raised("a")
    changes.add(delivered("a-raised"))
    store.commit(changes)
    assert store.waiting() == []
    assert [alert.is_sent for alert in store.alerts()] == [True]


def test_deliveries_wait_for_company(tmp_path: Path) -> None:
    """They write nothing by themselves, and count at once; they are deleted with the next transaction, at the end, or after a while.

    After a crash before, the messages are there again.
    """
    clock = SetClock()
    store = Store(str(tmp_path), Storage(folder=str(tmp_path)), clock)
    for number in range(4):
        store.commit(raised(f"a{number}"))

    def on_disk() -> list[str]:
        reader = open_reader(str(tmp_path))
        ids = [str(each.alert) for each in reader.waiting()]
        reader.close()
        return ids

    before = (tmp_path / "store.db-wal").read_bytes()
    store.commit(delivered("a0-raised"))
    assert (tmp_path / "store.db-wal").read_bytes() == before
    assert on_disk() == ["a0", "a1", "a2", "a3"]
    assert [each.alert for each in store.waiting()] == ["a1", "a2", "a3"]
    assert store.waiting_count() == 3
    assert [alert.is_sent for alert in store.alerts()] == [False, False, False, True]
    store.commit(cleared("a0"))
    assert on_disk() == ["a1", "a2", "a3", "a0"]
    store.commit(delivered("a1-raised"))
    clock.advance(301)
    store.commit(delivered("a2-raised"))
    assert on_disk() == ["a3", "a0"]
    store.commit(delivered("a3-raised"))
    store.close()
    assert on_disk() == ["a0"]


WRITER = """
import os, sys
sys.path[:0] = sys.argv[2:]
from stored import SetClock, raised, cleared, state
from edge_runtime.gateway.config import Storage
from edge_runtime.gateway.store import Store
folder = sys.argv[1]
store = Store(folder, Storage(folder=folder), SetClock())
side = os.open(os.path.join(folder, "confirmed"), os.O_WRONLY | os.O_APPEND)
number = int(sys.stdin.readline())
while True:
    changes = raised(f"a{number}", evidence=bytes(number % 9000))
    changes.states += [state(f"pump-{each}", b"%d" % number) for each in range(5)]
    store.commit(changes)
    os.write(side, b"%d\\n" % number)
    os.fsync(side)
    number += 1
"""


def test_every_confirmed_commit_outlives_a_kill(tmp_path: Path) -> None:
    """A process that commits in a loop is killed 20 times at random moments; each commit it knew of is there, whole, and so is the outbox."""
    confirmed = tmp_path / "confirmed"
    confirmed.write_text("")
    generator = random.Random(6)
    arguments = [sys.executable, "-c", WRITER, str(tmp_path), str(REPOSITORY), str(Path(__file__).parent)]
    for _ in range(20):
        number = len(confirmed.read_text().splitlines())
        with subprocess.Popen(arguments, stdin=subprocess.PIPE) as writer:
            assert writer.stdin is not None
            writer.stdin.write(b"%d\n" % number)
            writer.stdin.flush()
            wanted = number + generator.randrange(1, 30)
            while len(confirmed.read_text().splitlines()) < wanted:
                assert writer.poll() is None
            for _ in range(generator.randrange(2000)):  # somewhere inside a commit
                pass
            writer.send_signal(signal.SIGKILL)
        store = opened(tmp_path)
        alerts = {alert.id for alert in store.alerts(-1)}
        known = [f"a{number}" for number in range(len(confirmed.read_text().splitlines()))]
        assert alerts >= set(known)
        assert [each.alert for each in store.waiting()] == [f"a{number}" for number in range(len(alerts))]
        last = len(alerts) - 1
        assert [each.state for each in store.machine_states(DIGEST)] == [b"%d" % last] * 5
        assert store.evidence(f"a{last}") == bytes(last % 9000)
        assert store.notices() == []
        store.close()
