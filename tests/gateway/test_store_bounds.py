"""The store stays within its megabytes and days, and gives up the least important first."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from stored import DIGEST, HOUR, START, SetClock, cleared, delivered, history, raised, state

from edge_runtime.errors import StoreError
from edge_runtime.gateway.store import Store
from edge_runtime.gateway.store_rows import Changes, MaintenanceRecord, Outgoing

MB = 2**20
DAY_S = 86_400
TOPIC = "anomalite/plant/alerts"


class Limits(NamedTuple):
    """Smaller ones than a configuration may have."""

    max_mb: float
    keep_days: float


def opened(folder: Path, clock: SetClock | None = None, max_mb: float = 1.0, keep_days: float = 90.0) -> Store:
    """A small store."""
    return Store(str(folder), Limits(max_mb, keep_days), clock or SetClock(), topic=TOPIC)


def taken(folder: Path) -> int:
    """Bytes of all files."""
    return sum(each.stat().st_size for each in folder.rglob("*") if each.is_file())


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """One of a megabyte."""
    store = opened(tmp_path)
    yield store
    store.close()


def years(start: int, rows: int, machines: int = 10) -> Iterator[Changes]:
    """History, a transaction for each five minutes."""
    for interval in range(rows // machines):
        changes = Changes()
        changes.history += [history(f"pump-{each}", start + interval * HOUR // 12) for each in range(machines)]
        yield changes


def past(count: int) -> Iterator[Changes]:
    """Alerts that were cleared, and every message about them delivered; twenty a transaction."""
    for first in range(0, count, 20):
        changes = Changes()
        for number in range(first, first + 20):
            changes.add(raised(f"a{number}", START + number, bytes(3000)))
            changes.add(cleared(f"a{number}"))
            changes.add(delivered(f"a{number}-raised", f"a{number}-cleared"))
        yield changes


def test_history_without_end(store: Store, tmp_path: Path) -> None:
    """The oldest goes, the files stay below the limit, and what is kept has no holes."""
    most = 0
    for changes in years(START, 60_000):
        store.commit(changes)
        most = max(most, taken(tmp_path))
    assert 0.7 * MB < most <= MB
    kept = store.history("pump-3")
    assert kept[-1].start == START + 5999 * HOUR // 12
    assert {later.start - row.start for row, later in itertools.pairwise(kept)} == {HOUR // 12}
    assert store.counters["history"] == 60_000 - 10 * len(kept)
    assert (
        sum(store.sizes[name] for name in ("database", "wal", "shm", "reserve"))
        == taken(tmp_path) - (tmp_path / "store.lock").stat().st_size
    )
    assert store.sizes["limit"] == MB


def test_alerts_that_are_sent_without_end(store: Store, tmp_path: Path) -> None:
    """History goes first, then the readings of old alerts, then old alerts; the newest stay, nothing is lost."""
    for changes in years(START, 3000, 100):
        store.commit(changes)
    most, seen = 0, []
    for changes in past(8000):
        store.commit(changes)
        most = max(most, taken(tmp_path))
        seen.append({name for name, rows in store.counters.items() if rows})
    assert 0.6 * MB < most <= MB
    order = [each for number, each in enumerate(seen) if number == 0 or each != seen[number - 1]]
    assert order == [set(), {"history"}, {"history", "evidence"}, {"history", "evidence", "alerts"}]
    kept = store.alerts(-1)
    assert [alert.id for alert in kept] == [f"a{number}" for number in range(7999, 7999 - len(kept), -1)]
    assert len(kept) > 300
    assert kept[0].has_evidence
    assert not kept[-1].has_evidence
    assert store.lost_total == 0
    assert store.waiting() == []


def test_an_alert_that_was_deleted_is_not_raised_again(store: Store) -> None:
    """The journal may give it once more after a crash."""
    for changes in past(4000):
        store.commit(changes)
    gone = store.counters["alerts"]
    assert 0 < gone < 4000
    again = raised(f"a{gone - 1}")
    again.add(cleared(f"a{gone - 1}"))
    store.commit(again)
    assert store.alert(f"a{gone - 1}") is None
    assert store.waiting() == []


def test_an_alert_that_was_not_sent_goes_last_and_never_silently(tmp_path: Path) -> None:
    """The oldest unsent go once nothing else is left; how many and of when is sent in their place, and outlasts a restart."""
    store = opened(tmp_path)
    store.commit(next(years(START, 100)))
    most = 0
    for number in range(2500):
        store.commit(raised(f"a{number}", START + number, bytes(2000)))
        most = max(most, taken(tmp_path))
    assert 0.7 * MB < most <= MB
    assert store.history("pump-0") == []
    assert "alerts that were never sent were deleted" in store.notices()[0]
    waiting = store.waiting()
    kept = [each for each in waiting if each.kind == "raised"]
    lost = [each for each in waiting if each.kind == "lost"]
    gone = 2500 - len(kept)
    assert 0 < gone == store.lost_total == store.counters["lost"]
    assert [each.alert for each in kept] == [f"a{number}" for number in range(gone, 2500)]
    assert {alert.id for alert in store.alerts(-1)} == {each.alert for each in kept}
    (message,) = lost
    told = json.loads(message.payload)
    assert message.topic == TOPIC
    assert (told["id"], told["kind"], told["alerts"], told["total"]) == (message.id, "lost", gone, gone)
    assert (told["first"], told["last"]) == ("2023-11-14T22:13:20+00:00", f"2023-11-14T22:13:20.{gone - 1:06}+00:00")
    assert message.row == waiting[-1].row or waiting[-1].kind == "raised"
    store.close()
    store = opened(tmp_path)
    assert store.lost_total == gone
    assert store.problems() == [f"{gone} alerts were never sent and had to be deleted: the storage was full"]
    # Told of; what is lost from now on is told of by itself, with the sum of all.
    store.commit(delivered(message.id))
    for number in range(2500, 3000):
        store.commit(raised(f"a{number}", START + number, bytes(2000)))
    (message,) = [each for each in store.waiting() if each.kind == "lost"]
    told = json.loads(message.payload)
    assert told["alerts"] == store.lost_total - gone > 0
    assert told["total"] == store.lost_total == 3000 - sum(each.kind == "raised" for each in store.waiting())
    assert told["first"] == f"2023-11-14T22:13:20.{gone:06}+00:00"
    store.close()


def test_reports_of_silence_are_lost_like_alerts(store: Store, tmp_path: Path) -> None:
    """They wait for the broker as alerts do, and are not deleted silently either."""
    for number in range(0, 4000, 20):
        changes = Changes()
        changes.outbox += [
            Outgoing(f"{each}-silent", TOPIC, bytes(300), kind="silent") for each in range(number, number + 20)
        ]
        store.commit(changes)
        assert taken(tmp_path) <= MB
    waiting = store.waiting()
    assert len([each for each in waiting if each.kind == "silent"]) + store.lost_total == 4000
    assert [json.loads(each.payload)["alerts"] for each in waiting if each.kind == "lost"] == [store.lost_total]
    assert store.lost_total > 0


def test_open_alerts_outlast_sent_ones(store: Store) -> None:
    """What is still the case is not forgotten for what is over."""
    changes = raised("open", evidence=bytes(3000))
    changes.add(delivered("open-raised"))
    store.commit(changes)
    for changes in past(5000):
        store.commit(changes)
    assert store.counters["alerts"] > 500
    assert [(alert.id, alert.has_evidence) for alert in store.open_alerts()] == [("open", True)]


def test_states_that_are_saved_take_no_more_room(store: Store, tmp_path: Path) -> None:
    """Half of the storage may be states: each save takes the place of the one before, and history is not given up for it."""
    store.commit(next(years(START, 100)))
    for save in range(60):
        changes = Changes()
        changes.states += [state(f"pump-{each}", bytes([save]) * 1200) for each in range(200)]
        store.commit(changes)
        assert taken(tmp_path) <= MB
    assert store.counters["history"] == 0
    assert [each.state[0] for each in store.machine_states(DIGEST)] == [59] * 200


def test_more_than_there_is_room_for(store: Store, tmp_path: Path) -> None:
    """States that do not fit are refused; alerts are not deleted for them, and can be stored as before."""
    store.commit(raised("a"))
    changes = Changes()
    changes.states += [state(f"pump-{each}") for each in range(3000)]
    with pytest.raises(StoreError, match="full"):
        store.commit(changes)
    assert taken(tmp_path) < 1.3 * MB
    store.commit(raised("b"))
    assert [each.id for each in store.waiting()] == ["a-raised", "b-raised"]
    assert store.lost_total == 0
    assert store.machine_states(DIGEST) == []


def test_readings_larger_than_the_storage(store: Store) -> None:
    """The alert is stored without them."""
    store.commit(raised("a", evidence=bytes(3 * MB)))
    assert [(alert.id, alert.has_evidence) for alert in store.alerts()] == [("a", False)]


def test_a_limit_that_was_made_smaller(tmp_path: Path) -> None:
    """The file shrinks to it with the next commit."""
    store = opened(tmp_path, max_mb=4.0)
    for changes in years(START, 45_000):
        store.commit(changes)
    assert taken(tmp_path) > 2 * MB
    store.close()
    store = opened(tmp_path)
    store.commit(raised("a"))
    store.commit(raised("b"))
    assert taken(tmp_path) <= MB
    assert len(store.history("pump-0")) > 100
    store.close()


def test_a_limit_that_cannot_be_kept(tmp_path: Path) -> None:
    """It is refused, and the folder let go of."""
    with pytest.raises(StoreError, match=r"at least 1 MB \(storage.max_mb\), got 0.5"):
        opened(tmp_path, max_mb=0.5)
    opened(tmp_path).close()


def test_the_journal_in_the_same_folder_counts(tmp_path: Path) -> None:
    """The database takes what the journal leaves."""
    store = opened(tmp_path)
    (tmp_path / "journal").mkdir()
    (tmp_path / "journal" / "1").write_bytes(bytes(MB // 2))
    for changes in years(START, 20_000):
        store.commit(changes)
    assert taken(tmp_path) <= MB
    assert store.sizes["journal"] == MB // 2
    store.close()


def test_a_damaged_database_gives_way(tmp_path: Path) -> None:
    """It is kept as long as there is room for it."""
    (tmp_path / "store.db").write_bytes(bytes(MB // 2))
    store = opened(tmp_path)
    assert store.sizes["corrupt"] == MB // 2
    for changes in years(START, 20_000):
        store.commit(changes)
    assert (store.sizes["corrupt"], store.counters["corrupt"]) == (0, 1)
    assert "deleted" in store.notices()[-1]
    assert 0.7 * MB < taken(tmp_path) <= MB
    store.close()


def test_a_large_transaction_does_not_leave_its_log(tmp_path: Path) -> None:
    """The write-ahead log goes back to its usual size."""
    store = opened(tmp_path, max_mb=64)
    changes = Changes()
    changes.states += [state(f"pump-{each}") for each in range(10_000)]
    store.commit(changes)
    assert store.sizes["wal"] > 10 * MB
    for changes in years(START, 40):
        store.commit(changes)
    assert store.sizes["wal"] <= 2 * MB
    store.close()


def test_what_is_too_old_goes(tmp_path: Path) -> None:
    """History, alerts that are cleared and sent, and work that is over; alerts that are open or not sent stay, whatever their age."""
    clock = SetClock()
    store = opened(tmp_path, clock, keep_days=10)
    for number in range(12):
        clock.advance(DAY_S)
        now = int(clock.real * 1e6)
        changes = raised(f"a{number}", now)
        changes.history.append(history("pump", now))
        changes.maintenance.append(MaintenanceRecord(f"w{number}", (), now, now + 1))
        if number != 0:
            changes.add(cleared(f"a{number}", now))
        if number != 1:
            changes.add(delivered(f"a{number}-raised", f"a{number}-cleared"))
        store.commit(changes)
    clock.advance(5 * DAY_S + 1)
    store.commit(history_now(clock))
    assert {alert.id for alert in store.alerts(-1)} == {"a0", "a1", *(f"a{number}" for number in range(7, 12))}
    assert len(store.history("pump")) == 6
    assert [work.id for work in store.maintenance()] == [f"w{number}" for number in range(7, 12)]
    assert store.lost_total == 0
    store.close()


def history_now(clock: SetClock) -> Changes:
    """Something to write."""
    changes = Changes()
    changes.history.append(history("pump", int(clock.real * 1e6)))
    return changes


def test_a_wrong_clock_deletes_nothing(tmp_path: Path) -> None:
    """A step of ten years makes nothing old until the clock has run for an hour without another."""
    clock = SetClock()
    store = opened(tmp_path, clock)
    for step in (0, 10 * 365 * DAY_S, -20 * 365 * DAY_S, 10 * 365 * DAY_S):
        clock.real += step
        for _ in range(5):
            clock.advance(600)
            store.commit(history_now(clock))
    assert store.counters["history"] == 0
    assert len(store.history("pump")) == 20
    store.close()
