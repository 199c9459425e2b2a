"""The loop: nothing is lost, whatever happens between two lines of it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import handmade
import numpy as np
import pytest
from gateway.inside import START, Bench

from edge_runtime import load
from edge_runtime.errors import StoreError
from edge_runtime.gateway.journal import Journal
from edge_runtime.gateway.store import Store

GROUP = """
[[groups]]
bundle = "pump.anomalite"
topic = "plant/{machine}/readings"
machines = ["a", "b", "c"]
appear = 2
[groups.payload]
time = "ts"
"""
TOPIC = "plant/{}/readings"


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """A folder with a bundle (T = 4, C = 2, a reading a second, gaps of 3 s, threshold 1) and three machines."""
    yield from _bench(tmp_path)


def _bench(folder: Path, text: str = GROUP) -> Iterator[Bench]:
    handmade.sealed(folder / "pump.anomalite")
    bench = Bench(folder, text)
    yield bench
    if bench.gateway is not None:
        bench.gateway.stop()


def readings(seed: int, count: int, *, machine: int = 0) -> list[dict[str, float]]:
    """Readings a second apart, mostly normal, with faults that raise alarms and end."""
    rng = np.random.default_rng([seed, machine])
    values = rng.normal(0, 0.2, (count, 2))
    at = 8
    while at < count:
        length = int(rng.integers(1, 6))
        values[at : at + length] += rng.choice([-6, 6])
        at += length + int(rng.integers(6, 12))
    return [{"ts": START + row, "c0": float(a), "c1": float(b)} for row, (a, b) in enumerate(values)]


def expected(folder: Path, streams: dict[str, list[dict[str, float]]]) -> dict[str, list[tuple[str, float]]]:
    """What an uninterrupted detector says of each machine: kind and time of every alert, in order."""
    found = {}
    for name, stream in streams.items():
        verdicts = load(folder / "pump.anomalite").score(
            [[row["c0"], row["c1"]] for row in stream], [row["ts"] for row in stream]
        )
        found[name] = [(alert.kind, alert.time.timestamp()) for alert in verdicts.alerts()]
    return found


def told(alerts: list[dict[str, Any]]) -> dict[str, list[tuple[str, float]]]:
    """The same of what came to the broker."""
    from datetime import datetime

    found: dict[str, list[tuple[str, float]]] = {}
    for alert in alerts:
        time = datetime.fromisoformat(alert["time"]).timestamp()
        found.setdefault(alert["machine"], []).append((alert["kind"], time))
    return found


IN_MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None
"""Where waiting for a disk does not take most of the time."""


class Killed(BaseException):
    """kill -9 at this very line."""


STEPS = {
    "before the journal": ("parts.keeper.journal", "write"),
    "before scoring": ("parts.fleets[0]", "take"),
    "after scoring": ("parts.fleets[0]", "note"),
    "before the store": ("parts.store", "commit"),
    "before states are kept": ("parts.keeper", "after_commit"),
    "before the acknowledgement": ("parts.sources[0]", "acknowledge"),
    "before publishing": ("parts.sources[0]", "publish"),
    "before a new journal": ("parts.keeper", "look_after"),
}
"""Where a gateway is killed, and what it would have called there."""


@pytest.mark.parametrize("seed", range(40))
def test_killed_anywhere_it_tells_what_an_uninterrupted_detector_tells(seed: int) -> None:
    """Three machines; killed before any step, again and again; every alert once, in order, and none that is not expected."""
    random = Random(seed)
    with tempfile.TemporaryDirectory(dir=IN_MEMORY) as name:
        folder = Path(name)
        (bench,) = _bench(folder)
        streams = {machine: readings(seed, 60, machine=row) for row, machine in enumerate("abc")}
        for row in range(60):
            for machine in "abc":
                bench.broker.send(TOPIC.format(machine), streams[machine][row])
        bench.start()
        for _ in range(random.randint(1, 6)):
            for _ in range(random.randint(0, 6)):
                bench.tick(random.randint(1, 20))
                bench.clock.go(0.3)
            _kill(bench, *STEPS[random.choice(sorted(STEPS))], random)
            bench.start()
        while bench.broker.unacknowledged:
            bench.tick(50)
            bench.clock.go(0.3)
        for _ in range(3):
            bench.clock.go(1.1)
            bench.tick()
        assert told(bench.broker.alerts()) == {k: v for k, v in expected(folder, streams).items() if v}
        assert bench.gateway is not None
        assert len(bench.gateway.parts.store.alerts()) == sum(
            alert["kind"] == "raised" for alert in bench.broker.alerts()
        )
        bench.gateway.stop()


def _kill(bench: Bench, where: str, call: str, random: Random) -> None:
    """Go on until the call is made, and die there; or after some ticks, if it is not."""

    def killed(*_: Any, **__: Any) -> None:
        raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(eval(f"bench.gateway.{where}"), call, killed)  # noqa: S307 - of this file's own table
        for _ in range(5):
            bench.clock.go(0.3)
            try:
                bench.tick(random.randint(1, 20))
            except Killed:
                break
    bench.crash()


def test_a_power_cut_loses_no_alert_and_no_alarm(bench: Bench) -> None:
    """The journal is gone; the alert that was raised is in the store, its alarm is still up, and its end is told."""
    bench.start()
    stream = readings(1, 30)
    first = next(time for kind, time in expected(bench.folder, {"a": stream})["a"] if kind == "raised")
    rows = int(first - START) + 1
    bench.feed(TOPIC.format("a"), stream[:rows])
    assert [alert["kind"] for alert in bench.broker.alerts()] == ["raised"]
    bench.crash()
    shutil.rmtree(bench.folder / "journal")
    bench.clock.power_cut(600)
    gateway = bench.start()
    assert gateway.parts.fleets[0].state_name(0) == "alarm"
    quiet = [{"ts": bench.clock.wall() + second, "c0": 0.1, "c1": 0.1} for second in range(12)]
    bench.feed(TOPIC.format("a"), quiet)
    alerts = bench.broker.alerts()
    assert [alert["kind"] for alert in alerts] == ["raised", "cleared"]
    assert alerts[0]["alert"] == alerts[1]["alert"]


def test_work_on_a_machine_is_recorded_and_not_sent(bench: Bench) -> None:
    """A commanded window: the alert is in the store, marked; what is still up when the work ends is told then."""
    gateway = bench.start()
    bench.feed(TOPIC.format("a"), readings(1, 7))
    bench.broker.send("anomalite/hall/commands", {"command": "maintenance", "machines": ["a"], "minutes": 1})
    bench.tick()
    now = bench.clock.wall()
    bench.feed(TOPIC.format("a"), [{"ts": START + 7 + second, "c0": 9.0, "c1": 9.0} for second in range(10)])
    assert bench.broker.alerts() == []
    (alert,) = gateway.parts.store.alerts()
    assert alert.in_maintenance
    assert alert.cleared is None
    bench.feed(TOPIC.format("a"), [{"ts": START + 17 + second, "c0": 9.0, "c1": 9.0} for second in range(60)])
    assert bench.clock.wall() > now + 60
    kinds = [alert["kind"] for alert in bench.broker.alerts() if alert["machine"] == "a"]
    assert kinds == ["raised"]


def test_an_acknowledgement_is_remembered_over_a_crash(bench: Bench) -> None:
    """Told as an event of its own, once, and shown on the machine's state."""
    bench.start()
    bench.feed(TOPIC.format("a"), readings(1, 12))
    (raised,) = bench.broker.alerts()
    bench.broker.send("anomalite/hall/commands", {"command": "acknowledge", "alert": raised["alert"], "by": "Ada"})
    bench.tick()
    bench.crash()
    gateway = bench.start()
    assert gateway.parts.desk.acknowledged == {raised["alert"]}
    bench.tick()
    assert [alert["kind"] for alert in bench.broker.alerts()] == ["raised", "acknowledged"]
    assert bench.broker.alerts()[1]["reason"] == "Ada"


def test_a_silent_machine_is_reported_once_and_so_is_its_return(bench: Bench) -> None:
    """Silent after a minute here; the others were never heard, and are reported too."""
    bench.start()
    bench.feed(TOPIC.format("a"), readings(1, 5))
    for _ in range(70):
        bench.clock.go(1.0)
        bench.tick()
    kinds = [(alert["machine"], alert["kind"]) for alert in bench.broker.alerts()]
    assert sorted(kinds) == [("a", "silent"), ("b", "silent"), ("c", "silent")]
    bench.feed(TOPIC.format("a"), [{"ts": START + 80, "c0": 0.0, "c1": 0.0}])
    bench.clock.go(1.1)
    bench.tick()
    assert ("a", "heard") in [(alert["machine"], alert["kind"]) for alert in bench.broker.alerts()]


def test_what_cannot_be_stored_is_sent_and_stored_later(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the disk is full readings are scored and alerts come; the store has them once it can be written."""
    gateway = bench.start()

    def full(*_: Any, **__: Any) -> None:
        raise StoreError("store.db: cannot be written: database or disk is full")

    stream = readings(1, 40)
    with monkeypatch.context() as patch:
        patch.setattr(Store, "commit", full)
        bench.feed(TOPIC.format("a"), stream)
        bench.tick()
        assert told(bench.broker.alerts()) == expected(bench.folder, {"a": stream})
        assert "disk is full" in (gateway.problems.get("store") or "")
        bench.clock.go(1.1)
        bench.tick()
        assert bench.seen.status() is not None
        assert any("full" in problem for problem in bench.seen.status().problems)  # type: ignore[union-attr]
    bench.tick()
    assert "store" not in gateway.problems
    kept = {(alert.id, alert.cleared is not None) for alert in gateway.parts.store.alerts()}
    assert {alert for alert, _ in kept} == {alert["alert"] for alert in bench.broker.alerts()}


def test_a_journal_that_could_not_be_written_does_not_hide_what_the_store_knows(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed within the same boot: the alert was stored with its machine's state, and the journal ends before it."""
    bench.start()
    stream = readings(1, 30)
    first = next(time for kind, time in expected(bench.folder, {"a": stream})["a"] if kind == "raised")
    rows = int(first - START) + 1
    bench.feed(TOPIC.format("a"), stream[: rows - 3])

    def full(*_: Any) -> None:
        raise StoreError("journal: cannot be written: No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "write", full)
        patch.setattr(Journal, "rotate", full)
        bench.feed(TOPIC.format("a"), stream[rows - 3 : rows])
        assert [alert["kind"] for alert in bench.broker.alerts()] == ["raised"]
        bench.crash()
    gateway = bench.start()
    assert gateway.parts.fleets[0].state_name(0) == "alarm"
    assert [alert.cleared for alert in gateway.parts.store.alerts()] == [None]
    bench.feed(TOPIC.format("a"), stream[rows:])
    bench.clock.go(1.1)
    bench.tick()
    assert told(bench.broker.alerts())["a"] == expected(bench.folder, {"a": stream})["a"]


@pytest.mark.parametrize("years", [10, -10])
def test_a_wall_clock_that_jumps_neither_raises_nor_hides(tmp_path: Path, years: int) -> None:
    """Readings without a time: the same alerts at the same readings as without the jump, and their times are the new clock's."""
    group = GROUP.replace('[groups.payload]\ntime = "ts"\n', "")
    kinds = []
    for jump in (0, years):
        folder = tmp_path / str(jump)
        folder.mkdir()
        for bench in _bench(folder, group):
            bench.start()
            told_after = []
            for row, reading in enumerate(readings(3, 60)):
                if row == 20:
                    bench.clock.set(jump * 365.25 * 86_400)
                bench.feed(TOPIC.format("a"), [{"c0": reading["c0"], "c1": reading["c1"]}])
                told_after.append([alert["kind"] for alert in bench.broker.alerts()])
            kinds.append(told_after)
            assert bench.gateway is not None
            assert bench.gateway.parts.metrics.clock_steps == (jump != 0)
            assert len(told_after[-1]) > 4
    assert kinds[0] == kinds[1]


def test_a_machine_appears_and_is_known_after_a_restart(bench: Bench) -> None:
    """Up to two here, of any names; the third is refused and counted, and no other machine suffers."""
    bench.start()
    for name in ("x", "y", "z"):
        bench.broker.send(TOPIC.format(name), {"ts": START, "c0": 0.0, "c1": 0.0})
    bench.tick()
    bench.crash()
    gateway = bench.start()
    assert gateway.parts.fleets[0].names == ["a", "b", "c", "x", "y"]
    bench.broker.send(TOPIC.format("z"), {"ts": START, "c0": 0.0, "c1": 0.0})
    bench.feed(TOPIC.format("a"), readings(1, 12))
    assert gateway.parts.metrics.refused["machine"] == 1
    assert [alert["kind"] for alert in bench.broker.alerts()] == ["raised"]
