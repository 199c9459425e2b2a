"""Streams as plants have them, through a whole gateway: clocks that are set, repeats, disorder, faults, silence, work; and every sort of bundle."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

import handmade
import numpy as np
import pytest
from inside import START, Bench

from edge_runtime import load
from edge_runtime.features import Features
from edge_runtime.manifest import Channel, Grid, Manifest, Operating, Sampling, Sensors, Waveform
from edge_runtime.readings import STATUSES

YEAR = 365.25 * 86_400
STEPS = (10 * YEAR, -10 * YEAR, 3600.0, -3600.0)
TOPIC = "plant/{}/readings"
FAULTS = (range(12, 16), range(30, 36), range(50, 53))
ROWS = 66


def group(
    bundle: str = "pump",
    machines: tuple[str, ...] = ("a", "b"),
    topic: str = "plant/{machine}/readings",
    payload: str = 'time = "ts"',
) -> str:
    """A table `groups`."""
    return f'[[groups]]\nbundle = "{bundle}.anomalite"\ntopic = "{topic}"\nmachines = {list(machines)}\n[groups.payload]\n{payload}\n'


@contextmanager
def bench_of(folder: Path, text: str, **manifests: Manifest) -> Iterator[Bench]:
    """A folder with bundles by name, and the first gateway there, started."""
    folder.mkdir(exist_ok=True)
    for name, manifest in manifests.items() or [("pump", handmade.manifest(4, 2))]:
        handmade.sealed(folder / f"{name}.anomalite", manifest)
    bench = Bench(folder, text)
    bench.start()
    try:
        yield bench
    finally:
        if bench.gateway is not None:
            bench.gateway.stop()


def values(seed: int, rows: int = ROWS, C: int = 2) -> np.ndarray:
    """Mostly normal (N, C), with three faults."""
    found = np.random.default_rng(seed).normal(0, 0.2, (rows, C))
    for fault in FAULTS:
        found[fault.start : fault.stop] += 6
    return found


def message(row: np.ndarray, time: float | None = None) -> dict[str, float | None]:
    """A reading as JSON."""
    named = {f"c{number}": None if np.isnan(value) else float(value) for number, value in enumerate(row)}
    return named if time is None else {"ts": time, **named}


def expected(bundle: Path, rows: np.ndarray, times: list[float]) -> list[tuple[str, float]]:
    """Kind and time of the alerts of a detector that nothing interrupts."""
    return [(alert.kind, alert.time.timestamp()) for alert in load(bundle).score(rows, times).alerts()]


def told(bench: Bench, machine: str = "a") -> list[tuple[str, float]]:
    """The same of what the gateway told, in order."""
    first: dict[str, dict[str, Any]] = {}
    for _, content in bench.broker.heard:
        if content.get("machine") == machine and content.get("kind") in ("raised", "cleared"):
            assert first.setdefault(content["id"], content) == content  # a repeat says the same to the bit
    return [(each["kind"], datetime.fromisoformat(each["time"]).timestamp()) for each in first.values()]


def state(bench: Bench, machine: str = "a") -> str:
    """What a machine is."""
    assert bench.gateway is not None
    for fleet in bench.gateway.parts.fleets:
        if machine in fleet.index:
            return fleet.state_name(fleet.index[machine])
    raise AssertionError(machine)


# Clocks


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("at", [9, 14, 32])
def test_a_source_whose_clock_is_set(tmp_path: Path, step: float, at: int) -> None:
    """With readings repeated and out of order around it: the alerts come of the same readings as without the step."""
    found = []
    for ahead in (0.0, step):
        chance = Random(at)
        with bench_of(tmp_path / str(ahead), group()) as bench:
            rows = values(1)
            order = list(range(ROWS))
            for place in range(2, ROWS - 2, 7):
                if abs(place - at) > 3:
                    order[place], order[place + 1] = order[place + 1], order[place]
            for row in order:
                content = message(rows[row], START + row + (ahead if row >= at else 0.0))
                bench.feed(TOPIC.format("a"), [content] * chance.choice((1, 1, 2)), each_s=0.0)
                bench.clock.go(1.0)
                bench.tick()
            bench.clock.go(3.0)
            bench.tick()
            moved = ahead > 0 and START + at + ahead / 2, ahead < 0 and START - 1000
            shifted = [
                (kind, round(time - START - (ahead if (moved[0] and time > moved[0]) or time < moved[1] else 0)))
                for kind, time in told(bench)
            ]
            found.append(shifted)
    assert len(found[0]) == 6
    assert found[1] == found[0]


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("is_stamped", [True, False])
def test_the_gateways_own_clock_is_set(tmp_path: Path, step: float, is_stamped: bool) -> None:
    """Twice, the second time in the middle of a fault, with a crash after it: the same alerts, as early as without."""
    found = []
    for ahead in (0.0, step):
        with bench_of(tmp_path / str(ahead), group(payload='time = "ts"' if is_stamped else "")) as bench:
            kinds = []
            for row, reading in enumerate(values(2)):
                if row in (20, 31):
                    bench.clock.set(ahead)
                bench.feed(TOPIC.format("a"), [message(reading, START + row if is_stamped else None)])
                if row == 33:
                    bench.crash()
                    bench.start()
                kinds.append([kind for kind, _ in told(bench)])
            found.append(kinds)
    assert len(found[0][-1]) == 6
    assert found[1] == found[0]


def test_a_clock_set_while_nobody_looked(tmp_path: Path) -> None:
    """Between kill -9 and the next start: machines stamped by arrival go on in the middle of their windows."""
    found = []
    for ahead in (0.0, *STEPS):
        with bench_of(tmp_path / str(ahead), group(payload="")) as bench:
            kinds = []
            for row, reading in enumerate(values(3)):
                if row == 29:  # the fault begins with the next reading
                    bench.crash()
                    bench.clock.set(ahead)
                    bench.start()
                bench.feed(TOPIC.format("a"), [message(reading)])
                kinds.append([kind for kind, _ in told(bench)])
            found.append(kinds)
    assert len(found[0][-1]) == 6
    assert all(each == found[0] for each in found)


def test_late_and_repeated_readings_change_nothing(tmp_path: Path) -> None:
    """Not the state of the machine, nor its alarm: in an alarm, while warming up, and when all is well."""
    with bench_of(tmp_path, group()) as bench:
        rows = values(4)
        for row in range(36):
            bench.feed(TOPIC.format("a"), [message(rows[row], START + row)])
            before = state(bench), told(bench)
            changed = len(bench.broker.heard)
            for late in (0, 1, 2):
                bench.feed(TOPIC.format("a"), [message(np.full(2, 9.0), START + row - late)], each_s=0.0)
            assert (state(bench), told(bench)) == before
            assert [topic for topic, _ in bench.broker.heard[changed:] if "/machines/" in topic] == []
        assert state(bench) == "alarm"


# Bundles


GRID = handmade.manifest(4, 2, sampling=Sampling(1.0, 3.0, Grid("mean", 0.5)))


@pytest.mark.parametrize("ends", ["crash", "power cut", "stop"])
def test_a_bundle_with_a_grid(tmp_path: Path, ends: str) -> None:
    """Readings at any time, several a period: the same alerts as of a detector alone, also when the process ends within a period."""
    chance = np.random.default_rng(5)
    rows = np.repeat(values(5), 3, axis=0) + chance.normal(0, 0.02, (3 * ROWS, 2))
    times = [START + row / 3 + float(chance.uniform(0, 0.3)) for row in range(3 * ROWS)]
    with bench_of(tmp_path, group(), pump=GRID) as bench:
        for row, (reading, time) in enumerate(zip(rows, times, strict=True)):
            bench.feed(TOPIC.format("a"), [message(reading, time)], each_s=1 / 3)
            if row in (91, 95):
                end(bench, ends)
        assert told(bench) == expected(tmp_path / "pump.anomalite", rows, times)
        assert len(told(bench)) >= 4


def end(bench: Bench, how: str) -> None:
    """The process ends, and another begins."""
    assert bench.gateway is not None
    if how == "stop":
        bench.gateway.stop()
    else:
        if how == "power cut":  # everything was saved a moment before; what is kept in memory is gone
            bench.gateway._save(bench.clock.monotonic())
            bench.gateway._commit()
        bench.crash()
        if how == "power cut":
            shutil.rmtree(bench.folder / "journal")
            bench.clock.power_cut(0.5)
    bench.start()


@pytest.mark.parametrize("kind", ["moving_quantile", "spot"])
@pytest.mark.parametrize("ends", ["crash", "power cut", "stop"])
def test_thresholds_that_follow_a_machine_go_on(tmp_path: Path, kind: str, ends: str) -> None:
    """After whatever end: each threshold is that of a detector which nothing interrupted, to the bit."""
    adapting = handmade.manifest(4, 2, threshold=handmade.THRESHOLDS[kind])
    rng = np.random.default_rng(6)
    rows = rng.normal(0, 1.1, (300, 2))
    times = [START + row for row in range(300)]
    with bench_of(tmp_path, group(), pump=adapting) as bench:
        thresholds = []
        for row, reading in enumerate(rows):
            bench.feed(TOPIC.format("a"), [message(reading, times[row])])
            if row in (40, 150, 151, 260):
                end(bench, ends)
            assert bench.gateway is not None
            fleet = bench.gateway.parts.fleets[0]
            thresholds.append(float(fleet.thresholds[0]))
        verdicts = load(tmp_path / "pump.anomalite").score(rows, times)
        want = [float(np.float32(value)) for value in verdicts.thresholds]
        assert len(set(want)) > 5
        after = {40, 150, 151, 260}  # a new process shows the bundle's own until the next reading
        assert [t for row, t in enumerate(thresholds) if row not in after] == [
            t for row, t in enumerate(want) if row not in after
        ]
        assert told(bench) == expected(tmp_path / "pump.anomalite", rows, times)


def test_groups_that_share_a_bundle_and_one_that_does_not(tmp_path: Path) -> None:
    """Each machine alone, whoever else is scored with it; what comes to the wrong group's topic is refused."""
    text = (
        group(machines=("a", "b"), topic="hall/{machine}")
        + group(machines=("c",), topic="yard/{machine}")
        + group("fan", machines=("d",), topic="roof/{machine}")
    )
    wide = handmade.manifest(5, 3)
    with bench_of(tmp_path, text, pump=handmade.manifest(4, 2), fan=wide) as bench:
        assert bench.gateway is not None
        assert [fleet.names for fleet in bench.gateway.parts.fleets] == [["a", "b", "c"], ["d"]]
        topics = {"a": "hall/a", "b": "hall/b", "c": "yard/c", "d": "roof/d"}
        streams = {name: values(row, C=3 if name == "d" else 2) for row, name in enumerate(topics)}
        for row in range(ROWS):
            for name, topic in topics.items():
                bench.broker.send(topic, message(streams[name][row], START + row))
            bench.broker.send("yard/a", message(np.full(2, 9.0), START + row))
            bench.tick()
            bench.clock.go(1.0)
            if row == 31:
                end(bench, "crash")
        times = [START + row for row in range(ROWS)]
        for name, stream in streams.items():
            bundle = tmp_path / ("fan.anomalite" if name == "d" else "pump.anomalite")
            assert told(bench, name) == expected(bundle, stream, times)
            assert len(told(bench, name)) >= 4
        assert bench.gateway is not None
        assert bench.gateway.parts.metrics.refused["machine"] == ROWS - 32


def test_snapshots_of_a_waveform(tmp_path: Path) -> None:
    """Packed samples become features, and alerts as of a detector that is given the features."""
    waveform = Waveform(1000.0, 64, {"x": "g"}, features=("rms", "peak"))
    rng = np.random.default_rng(7)
    raw = rng.normal(0, 0.05, (ROWS, 64, 1)).astype(np.float32)
    for fault in FAULTS:
        raw[fault.start : fault.stop] *= 80
    features = Features(waveform)
    rows = np.array([features.step(each) for each in raw])
    shaken = handmade.manifest(4, 2, channels=waveform.columns, waveform=waveform)
    with bench_of(tmp_path, group(payload='kind = "samples"'), pump=shaken) as bench:
        kinds = []
        for row, each in enumerate(raw):
            bench.feed(TOPIC.format("a"), [each.astype("<f4").tobytes()])
            if row == 31:
                end(bench, "crash")
            kinds += [row] * (len(told(bench)) - len(kinds))
        want = expected(tmp_path / "pump.anomalite", rows, [START + row for row in range(ROWS)])
        assert [(kind, START + row) for (kind, _), row in zip(told(bench), kinds, strict=True)] == want
        assert len(want) >= 4
        bench.feed(TOPIC.format("a"), [raw[0].tobytes()[:-4]])
        assert bench.gateway is not None
        assert bench.gateway.parts.metrics.refused["shape"] == 1


# Machines


CHANNELS = (Channel("c0", "", -100.0, 100.0, stuck_after=5), Channel("c1", "", -100.0, 100.0))
WATCHED = {
    "sensors": handmade.manifest(4, 2, operating=Operating("c1 > -50"), sensors=Sensors(), channels=CHANNELS),
    "plain": handmade.manifest(4, 2, operating=Operating("c1 > -50"), channels=CHANNELS),
}


@pytest.mark.parametrize("kind", WATCHED)
def test_faults_of_sensors_and_a_machine_that_is_off(tmp_path: Path, kind: str) -> None:
    """Stuck, missing, out of range and off are states of their own, those of the verdicts, over crashes too; none raises an alert."""
    rows = np.random.default_rng(8).normal(0, 0.2, (80, 2))
    rows[10:20, 0] = 0.3  # stuck
    rows[30:36, 0] = np.nan  # silent, while c1 speaks
    rows[44:50, 0] = np.arange(500.0, 506.0)  # impossible
    rows[60:66, 1] = -60.0  # off
    with bench_of(tmp_path, group(), pump=WATCHED[kind]) as bench:
        seen = []
        for row, reading in enumerate(rows):
            bench.feed(TOPIC.format("a"), [message(reading, START + row)])
            seen.append(state(bench))
            if row in (18, 34, 63):
                end(bench, "crash")
                assert state(bench) == seen[-1]
            if row == 34:
                bench.clock.go(1.1)
                bench.tick()
                status = bench.seen.status()
                assert status is not None
                assert status.machines[0].fault_channels == (("c0",) if kind == "sensors" else ())
        codes = load(tmp_path / "pump.anomalite").score(rows, [START + row for row in range(80)]).status_codes
        assert seen == ["normal" if STATUSES[code] == "scored" else STATUSES[code] for code in codes.tolist()]
        assert (seen[18], seen[48], seen[64], seen[79]) == ("sensor_fault", "out_of_range", "off", "normal")
        assert seen[34] == ("sensor_fault" if kind == "sensors" else "gap")
        assert told(bench) == []
        states = [content for topic, content in bench.broker.heard if topic.endswith("/machines/a")]
        assert {"sensor_fault", "out_of_range", "off", "normal"} <= {content["state"] for content in states}
        assert ["c0"] in [content["fault_channels"] for content in states if content["state"] == "sensor_fault"]


def test_a_machine_that_goes_silent_while_its_alarm_is_up(tmp_path: Path) -> None:
    """It is told as silent, its alert stays open, over a crash too; when it is heard again its alarm is up still, and clears."""
    with bench_of(tmp_path, group(machines=("a",))) as bench:
        rows = values(9)
        for row in range(34):
            bench.feed(TOPIC.format("a"), [message(rows[row], START + row)])
        assert state(bench) == "alarm"
        for second in range(90):
            bench.clock.go(1.0)
            bench.tick()
            if second == 80:
                end(bench, "crash")
        for _ in range(70):
            bench.clock.go(1.0)
            bench.tick()
        assert state(bench) == "silent"
        assert bench.gateway is not None
        assert [alert.cleared for alert in bench.gateway.parts.store.open_alerts()] == [None]
        silent = {content["id"] for _, content in bench.broker.heard if content.get("kind") == "silent"}
        assert len(silent) == 1  # told again by the next process, as the same
        now = bench.clock.wall()
        bench.feed(TOPIC.format("a"), [message(np.full(2, 0.1), now + second) for second in range(8)])
        heard = {content["id"]: content["kind"] for topic, content in bench.broker.heard if "/alerts/" in topic}
        kinds = list(heard.values())
        assert kinds == ["raised", "cleared", "raised", "silent", "heard", "cleared"]
        assert state(bench) == "normal"


def test_work_from_the_configuration(tmp_path: Path) -> None:
    """What is raised meanwhile is recorded, and told only if it is up still when the work is over."""
    begin, over = (datetime.fromtimestamp(START + at, UTC).isoformat() for at in (10, 32))
    work = f'[[maintenance]]\nmachines = ["a"]\nstart = {begin}\nend = {over}\nnote = "bearing"\n'
    with bench_of(tmp_path, group() + work) as bench:
        rows = values(10)
        for row in range(ROWS):
            for machine in "ab":
                bench.broker.send(TOPIC.format(machine), message(rows[row], START + row))
            bench.tick()
            bench.clock.go(1.0)
        want = expected(tmp_path / "pump.anomalite", rows, [START + row for row in range(ROWS)])
        assert told(bench, "b") == want
        assert (
            told(bench, "a") == want[2:]
        )  # the first began and ended during the work, the second was up when it was over
        assert bench.gateway is not None
        kept = [alert for alert in bench.gateway.parts.store.alerts() if alert.machine == "a"]
        assert [alert.in_maintenance for alert in sorted(kept, key=lambda each: each.raised)] == [True, True, False]
        sent: list[Any] = [content for topic, content in bench.broker.heard if topic.endswith("/machines/a")]
        assert {content["maintenance"] for content in sent} == {True, False}
