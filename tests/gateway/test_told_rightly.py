"""What people are told stays true over restarts, power cuts, work, wrong clocks and faults of disk and engine."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import handmade
import pytest
from gateway.inside import START, Bench

from edge_runtime.errors import EngineError, InputError, StateError, StoreError
from edge_runtime.gateway.lines import Lines, Position
from edge_runtime.gateway.message import Message
from edge_runtime.gateway.store import Store

GROUP = """
[[groups]]
bundle = "pump.anomalite"
topic = "plant/{machine}/readings"
machines = ["a", "b"]
[groups.payload]
time = "ts"
"""
BY_ARRIVAL = GROUP.replace('[groups.payload]\ntime = "ts"\n', "")
TOPIC = "plant/a/readings"
NORMAL, FAULT = 0.0, 9.0


class Killed(BaseException):
    """kill -9 at this very line."""


def _killed(*_: Any, **__: Any) -> None:
    raise Killed


@pytest.fixture
def begun(tmp_path: Path) -> Iterator[Callable[[str], Bench]]:
    """Makes a bench, on whose bundle (T = 4, C = 2, a reading a second, gaps of 3 s, threshold 1) nothing has run yet."""
    benches = []

    def make(text: str) -> Bench:
        handmade.sealed(tmp_path / "pump.anomalite")
        benches.append(Bench(tmp_path, text))
        return benches[-1]

    yield make
    for bench in benches:
        if bench.gateway is not None:
            bench.gateway.stop()


def feed(bench: Bench, first: int, count: int, value: float, *, topic: str = TOPIC) -> None:
    """Readings, a second apart."""
    bench.feed(topic, [{"ts": START + first + row, "c0": value, "c1": value} for row in range(count)])


def idle(bench: Bench, seconds: int) -> None:
    """Nothing comes for so long."""
    for _ in range(seconds):
        bench.clock.go(1.0)
        bench.tick()


def kinds(bench: Bench, machine: str = "a") -> list[str]:
    """Of all that was told of a machine, in order."""
    return [alert["kind"] for alert in bench.broker.alerts() if alert["machine"] == machine]


def test_a_machine_whose_clock_stands_still_is_silent(begun: Callable[[str], Bench]) -> None:
    """Its readings are all late and change nothing: nobody may think that it is watched."""
    bench = begun(GROUP)
    gateway = bench.start()
    feed(bench, 0, 8, NORMAL)
    bench.feed(TOPIC, [{"ts": START + 7, "c0": FAULT, "c1": FAULT}] * 90)
    assert gateway.parts.fleets[0].state_name(0) == "silent"
    assert kinds(bench) == ["silent"]


def test_a_silence_that_was_told_ends_for_people_too_after_a_restart(begun: Callable[[str], Bench]) -> None:
    """The machine is heard again soon after the restart: that is told, and the silence is not told twice."""
    bench = begun(GROUP)
    bench.start()
    feed(bench, 0, 8, NORMAL)
    idle(bench, 70)
    assert kinds(bench) == ["silent"]
    bench.crash()
    gateway = bench.start()
    assert gateway.parts.fleets[0].state_name(0) == "silent"
    idle(bench, 70)
    assert kinds(bench) == ["silent"]
    feed(bench, 150, 3, NORMAL)
    assert kinds(bench) == ["silent", "heard"]
    silent, heard = (alert for alert in bench.broker.alerts() if alert["machine"] == "a")
    assert silent["id"].removesuffix("-silent") == heard["id"].removesuffix("-heard")
    bench.crash()
    gateway = bench.start()
    assert gateway.parts.fleets[0].state_name(0) != "silent"


def test_a_silence_told_before_work_ends_for_people_during_it(begun: Callable[[str], Bench]) -> None:
    """The work is often what makes the machine speak again."""
    bench = begun(GROUP)
    bench.start()
    feed(bench, 0, 8, NORMAL)
    idle(bench, 70)
    bench.broker.send("anomalite/hall/commands", {"command": "maintenance", "machines": ["a"], "minutes": 10})
    idle(bench, 2)
    feed(bench, 90, 3, NORMAL)
    assert kinds(bench) == ["silent", "heard"]


@pytest.mark.parametrize("is_restarted", [False, True])
def test_a_machine_that_went_silent_during_work_and_stays_so_is_told_after_it(
    begun: Callable[[str], Bench], is_restarted: bool
) -> None:
    """Somebody forgot to switch it on again. One that is heard before the work is over raises nothing."""
    bench = begun(GROUP)
    bench.start()
    feed(bench, 0, 8, NORMAL)
    bench.broker.send("anomalite/hall/commands", {"command": "maintenance", "machines": ["a", "b"], "minutes": 3})
    idle(bench, 100)
    assert kinds(bench) == kinds(bench, "b") == []
    if is_restarted:
        bench.crash()
        bench.start()
    feed(bench, 120, 2, NORMAL, topic="plant/b/readings")
    assert kinds(bench, "b") == []
    idle(bench, 100)
    assert kinds(bench) == ["silent"]


def test_states_of_another_version_leave_no_alert_open(begun: Callable[[str], Bench], monkeypatch: Any) -> None:
    """After an upgrade that cannot read the states: the open alert is cleared, and raised again if there is reason to."""
    bench = begun(GROUP)
    bench.start()
    feed(bench, 0, 8, NORMAL)
    feed(bench, 8, 4, FAULT)
    assert kinds(bench) == ["raised"]
    bench.crash()

    def refuse(*_: Any) -> None:
        raise StateError("expected a machine's state of this bundle and version, got one that is laid out otherwise")

    with monkeypatch.context() as patch:
        patch.setattr("edge_runtime.gateway.fleet.recall", refuse)
        bench.start()
    bench.tick()
    assert kinds(bench) == ["raised", "cleared"]
    assert bench.broker.alerts()[1]["reason"] == "state lost"
    feed(bench, 12, 8, FAULT)
    assert kinds(bench) == ["raised", "cleared", "raised"]


def test_a_journal_from_before_the_power_cut_does_not_hide_a_later_alert(begun: Callable[[str], Bench]) -> None:
    """On a card the journal may lose its end: the database knows that the first alert is over, and which one is open."""
    bench = begun(GROUP)
    bench.start()
    feed(bench, 0, 8, NORMAL)
    feed(bench, 8, 4, FAULT)
    shutil.copytree(bench.folder / "journal", bench.folder / "kept")
    feed(bench, 12, 12, NORMAL)
    feed(bench, 24, 4, FAULT)
    assert kinds(bench) == ["raised", "cleared", "raised"]
    bench.crash()
    shutil.rmtree(bench.folder / "journal")
    (bench.folder / "kept").rename(bench.folder / "journal")
    bench.clock.power_cut(2.0)
    gateway = bench.start()
    (alert,) = gateway.parts.store.open_alerts()
    assert gateway.parts.fleets[0].open == {0: alert.id}
    feed(bench, 31, 12, NORMAL)
    assert kinds(bench) == ["raised", "cleared", "raised", "cleared"]
    assert bench.broker.alerts()[3]["alert"] == alert.id


def test_a_name_is_one_machine_in_the_whole_gateway(begun: Callable[[str], Bench]) -> None:
    """The same name on another group's topic would overwrite its state and end its alerts: it is refused."""
    other = GROUP.replace("pump", "fan").replace("plant", "power").replace('machines = ["a", "b"]', "appear = 3")
    bench = begun(GROUP.replace('machines = ["a", "b"]', "appear = 3") + other)
    handmade.sealed(bench.folder / "fan.anomalite", handmade.manifest(4, 2, name="fan"))
    bench.start()
    feed(bench, 0, 8, NORMAL)
    feed(bench, 0, 8, NORMAL, topic="power/a/readings")
    feed(bench, 8, 4, FAULT, topic="power/a/readings")
    feed(bench, 8, 4, FAULT)
    bench.crash()
    gateway = bench.start()
    bench.tick()
    assert kinds(bench) == ["raised"]
    assert [fleet.names for fleet in gateway.parts.fleets] == [["a"], []]


def test_a_reload_that_fails_late_leaves_the_folders_free(begun: Callable[[str], Bench]) -> None:
    """A password file that is missing, say: the configuration before it is to go on, in the same process."""
    bench = begun(GROUP)

    def fail(*_: Any) -> Any:
        raise InputError("password_file: cannot be read")

    connect, bench.broker.connect = bench.broker.connect, fail  # type: ignore[method-assign]
    with pytest.raises(InputError):
        bench.start()
    bench.broker.connect = connect  # type: ignore[method-assign]
    bench.start()


def test_since_when_a_machine_is_as_it_is_follows_the_clock(begun: Callable[[str], Bench]) -> None:
    """A board that boots in the past learns the time: no state is years old, on the page or in the retained message."""
    bench = begun(BY_ARRIVAL)
    bench.clock.ahead = 0.0
    gateway = bench.start()
    feed(bench, 0, 8, NORMAL)
    bench.clock.set(START)
    idle(bench, 3)
    fleet = gateway.parts.fleets[0]
    assert abs(fleet.since[0] - bench.clock.wall()) < 60
    told = [content for topic, content in bench.broker.heard if topic.endswith("machines/a")]
    assert told[-1]["since"][:4] == "2026"


def test_an_alert_held_back_and_told_after_work_counts_as_told(begun: Callable[[str], Bench]) -> None:
    """Its end is told as well, though the process was killed before it was stored."""
    bench = begun(GROUP)
    bench.start()
    feed(bench, 0, 8, NORMAL)
    bench.broker.send("anomalite/hall/commands", {"command": "maintenance", "machines": ["a"], "minutes": 1})
    feed(bench, 8, 70, FAULT)
    assert kinds(bench) == ["raised"]
    gateway = bench.gateway
    assert gateway is not None
    assert gateway.parts.store.alerts()[0].is_sent
    feed(bench, 78, 2, NORMAL)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gateway.parts.store, "commit", _killed)
        with pytest.raises(Killed):
            feed(bench, 80, 10, NORMAL)
    bench.crash()
    bench.start()
    bench.tick()
    assert kinds(bench) == ["raised", "cleared"]


def test_lines_are_not_read_again_after_the_board_was_off(begun: Callable[[str], Bench]) -> None:
    """The journal, in memory, is gone: how far the file was read is in the database as well."""
    bench = begun(
        BY_ARRIVAL.replace('topic = "plant/{machine}/readings"', 'lines = "readings.jsonl"').replace(', "b"', "")
    )
    gateway = bench.start()
    path = str(bench.folder / "readings.jsonl")
    position = Position(7, 1234, 99)
    bench.gateway = gateway
    (lines,) = (source for source in gateway.parts.sources if isinstance(source, Lines))
    gateway.tick([Message(lines, path, b'{"c0": 0.0, "c1": 0.0}', bench.clock.monotonic(), position)])
    gateway.stop()
    bench.gateway = None
    shutil.rmtree(bench.folder / "journal")
    bench.clock.power_cut(60)
    gateway = bench.start()
    assert gateway.position(path) == position


def test_how_far_lines_were_read_is_not_noted_before_their_readings(
    begun: Callable[[str], Bench], monkeypatch: Any
) -> None:
    """Two bundles; killed while the first one scores: the journal has all readings of the tick, or says that none were read."""
    text = GROUP + GROUP.replace("pump", "fan").replace(
        'topic = "plant/{machine}/readings"', 'lines = "readings.jsonl"'
    ).replace('"a", "b"', '"c"')
    bench = begun(text)
    handmade.sealed(bench.folder / "fan.anomalite", handmade.manifest(4, 2, name="fan"))
    gateway = bench.start()
    feed(bench, 0, 8, NORMAL)
    path = str(bench.folder / "readings.jsonl")
    (lines,) = (source for source in gateway.parts.sources if isinstance(source, Lines))
    bench.broker.send(TOPIC, {"ts": START + 8, "c0": 0.0, "c1": 0.0})
    assert bench.broker.client is not None
    line = b'{"ts": %d, "c0": 0.0, "c1": 0.0}' % (START + 8)
    with monkeypatch.context() as patch:
        patch.setattr(gateway.parts.fleets[0], "take", _killed)
        with pytest.raises(Killed):
            gateway.tick(
                [
                    Message(lines, path, line, bench.clock.monotonic(), Position(7, 1234, 99)),
                    *bench.broker.client.messages(9),
                ]
            )
    bench.crash()
    gateway = bench.start()
    was_read = gateway.position(path) is not None
    assert was_read == (gateway.parts.fleets[1].newest[0] == (START + 8) * 1e6)


def test_killed_between_an_alert_and_a_clock_step_in_one_tick_it_tells_the_alert(
    begun: Callable[[str], Bench], monkeypatch: Any
) -> None:
    """The machine's clock is set right after the reading that raises the alarm."""
    bench = begun(GROUP)
    gateway = bench.start()
    feed(bench, 0, 8, NORMAL)
    ahead = 1_000_000
    rows = [
        (8, FAULT),
        (9, FAULT),
        (10 + ahead, FAULT),
        (11 + ahead, FAULT),
        (12 + ahead, NORMAL),
        (13 + ahead, NORMAL),
    ]
    for second, value in rows:
        bench.broker.send(TOPIC, {"ts": START + second, "c0": value, "c1": value})
    assert bench.broker.client is not None
    messages = [
        message._replace(arrived=message.arrived + row) for row, message in enumerate(bench.broker.client.messages(9))
    ]
    bench.clock.go(6.0)
    commit = gateway.parts.store.commit

    def killed_after_the_step(*given: Any, **named: Any) -> None:
        if gateway.parts.fleets[0].counts[0] == 14:
            raise Killed
        commit(*given, **named)

    with monkeypatch.context() as patch:
        patch.setattr(gateway.parts.store, "commit", killed_after_the_step)
        patch.setattr(gateway.parts.keeper, "after_commit", _killed)
        with pytest.raises(Killed):
            gateway.tick(messages)
    bench.crash()
    bench.start()
    idle(bench, 2)
    assert kinds(bench)[:1] == ["raised"]
    assert bench.broker.alerts()[0]["time"][:19] == "2026-09-21T14:13:28"


def test_a_tick_that_fails_is_taken_again_by_the_next_process(begun: Callable[[str], Bench], monkeypatch: Any) -> None:
    """An error nobody thought of ends the process, and saves nothing that it may have spoilt."""
    bench = begun(GROUP)
    gateway = bench.start()
    feed(bench, 0, 12, NORMAL)
    for second in range(12, 18):
        bench.broker.send(TOPIC, {"ts": START + second, "c0": FAULT, "c1": FAULT})
    assert bench.broker.client is not None
    messages = bench.broker.client.messages(9)

    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("nobody thought of it")

    with monkeypatch.context() as patch:
        patch.setattr(gateway.parts.inbox, "take", lambda *_: messages)
        patch.setattr(gateway.parts.desk, "turn", fail)
        with pytest.raises(RuntimeError):
            gateway.run(lambda: True)
    bench.crash()
    bench.start()
    idle(bench, 1)
    assert kinds(bench) == ["raised"]


def test_a_folder_that_cannot_be_looked_into_stops_nothing(begun: Callable[[str], Bench], monkeypatch: Any) -> None:
    """A card that died: what SQLite has in memory can still be read, the folder cannot."""
    bench = begun(GROUP)
    bench.start()
    feed(bench, 0, 8, NORMAL)

    def fail(*_: Any) -> Any:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr("edge_runtime.gateway.store.os.listdir", fail)
        feed(bench, 8, 4, FAULT)
    assert kinds(bench) == ["raised"]


def test_an_engine_that_fails_within_a_tick_hides_no_alert(begun: Callable[[str], Bench], monkeypatch: Any) -> None:
    """Several readings of a machine in one tick: the alarm goes up at one of them, and the engine fails at the next."""
    bench = begun(GROUP)
    gateway = bench.start()
    feed(bench, 0, 12, NORMAL)
    detector = gateway.parts.fleets[0].detector
    run, calls = detector.engine.run, []

    def failing(windows: Any) -> Any:
        calls.append(len(windows))
        if len(calls) == 4:
            raise EngineError("out of memory")
        return run(windows)

    with monkeypatch.context() as patch:
        patch.setattr(detector.engine, "run", failing)
        for second in range(12, 17):
            bench.broker.send(TOPIC, {"ts": START + second, "c0": FAULT, "c1": FAULT})
        bench.tick()
        assert len(calls) == 4
    feed(bench, 17, 8, FAULT)
    assert kinds(bench) == ["raised"]
    feed(bench, 25, 12, NORMAL)
    assert kinds(bench) == ["raised", "cleared"]


def test_an_alert_at_a_time_that_was_before_is_another_alert(begun: Callable[[str], Bench]) -> None:
    """A controller without a battery begins in 2000 whenever it is switched on, and its fault comes a minute later each time."""
    bench = begun(GROUP)
    bench.start()
    begin = 946_684_800 - START
    for _ in range(3):
        feed(bench, int(begin), 60, NORMAL)
        feed(bench, int(begin) + 60, 6, FAULT)
        feed(bench, int(begin) + 66, 12, NORMAL)
        idle(bench, 20)
    assert kinds(bench) == ["raised", "cleared"] * 3
    assert len({alert["id"] for alert in bench.broker.alerts() if alert["machine"] == "a"}) == 6


def states(bench: Bench, machine: str = "a") -> list[dict[str, Any]]:
    """What the broker was told to retain of a machine, in order."""
    return [content for topic, content in bench.broker.heard if topic.endswith(f"machines/{machine}")]


def test_work_that_the_configuration_names_is_in_the_state_while_it_lasts(begun: Callable[[str], Bench]) -> None:
    """From its start, and not only once something else changes."""
    work = '[[maintenance]]\nmachines = ["a"]\nstart = 2026-09-21T14:13:50Z\nend = 2026-09-21T14:14:10Z\n'
    bench = begun(GROUP + work)
    bench.start()
    feed(bench, 0, 80, NORMAL)
    turns = [state["maintenance"] for state in states(bench)]
    assert [flag for row, flag in enumerate(turns) if turns[row - 1 : row] != [flag]] == [False, True, False]


def test_an_alert_that_follows_another_in_one_tick_is_in_the_state(begun: Callable[[str], Bench]) -> None:
    """The machine is in alarm before and after, but by another alert."""
    bench = begun(GROUP)
    gateway = bench.start()
    feed(bench, 0, 8, NORMAL)
    feed(bench, 8, 4, FAULT)
    for second, value in [
        *((second, NORMAL) for second in range(12, 24)),
        *((second, FAULT) for second in range(24, 28)),
    ]:
        bench.broker.send(TOPIC, {"ts": START + second, "c0": value, "c1": value})
    bench.clock.go(16.0)
    bench.tick()
    idle(bench, 2)
    assert kinds(bench) == ["raised", "cleared", "raised"]
    assert states(bench)[-1]["alert"] == gateway.parts.fleets[0].open[0]


def test_the_state_of_a_machine_that_was_removed_is_taken_back(begun: Callable[[str], Bench]) -> None:
    """Else the broker would say for ever that it is normal."""
    bench = begun(GROUP)
    gateway = bench.start()
    feed(bench, 0, 8, NORMAL, topic="plant/b/readings")
    gateway.stop()
    bench.config = replace(bench.config, groups=(replace(bench.config.groups[0], machines=("a",)),))
    bench.start()
    idle(bench, 2)
    assert states(bench, "b")[-1] == {}
    assert [state for state in states(bench) if state == {}] == []


@pytest.mark.parametrize("is_full", [False, True])
def test_the_journal_is_bounded_while_nothing_can_be_stored(
    begun: Callable[[str], Bench], monkeypatch: pytest.MonkeyPatch, is_full: bool
) -> None:
    """It mostly lies in the board's memory, which a full card must not fill as well."""
    bench = begun(GROUP)
    gateway = bench.start()
    journal = gateway.parts.keeper.journal
    monkeypatch.setattr(journal, "_limit", 2_000)
    feed(bench, 0, 8, NORMAL)

    def full(*_: Any, **__: Any) -> None:
        raise StoreError("store.db: cannot be written: database or disk is full")

    sizes = []
    with monkeypatch.context() as patch:
        if is_full:
            patch.setattr(Store, "commit", full)
        feed(bench, 8, 4, FAULT)
        for first in range(12, 1112, 100):
            feed(bench, first, 100, NORMAL)
            sizes.append(journal.size)
    assert max(sizes) < 45_000


def test_a_gateway_that_starts_while_nothing_can_be_stored_soon_has_a_journal(
    begun: Callable[[str], Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An alert waits to be stored, and goes out from memory; the readings since the start outlast the next crash."""
    bench = begun(GROUP)
    bench.start()
    feed(bench, 0, 8, NORMAL)

    def full(*_: Any, **__: Any) -> None:
        raise StoreError("store.db: cannot be written: database or disk is full")

    monkeypatch.setattr(Store, "commit", full)
    feed(bench, 8, 4, FAULT)
    bench.crash()
    bench.start()
    feed(bench, 12, 40, NORMAL)
    bench.crash()
    monkeypatch.undo()
    gateway = bench.start()
    assert gateway.parts.fleets[0].newest[0] == (START + 51) * 1e6


@pytest.mark.parametrize("years", [10, -10])
def test_a_clock_that_is_set_right_after_a_restart_costs_no_window(begun: Callable[[str], Bench], years: int) -> None:
    """Before the first reading comes: the restored times of the machines that are stamped by it are moved as well."""
    bench = begun(BY_ARRIVAL)
    bench.start()
    feed(bench, 0, 8, NORMAL)
    bench.crash()
    gateway = bench.start()
    bench.clock.set(years * 365.25 * 86_400)
    idle(bench, 1)
    feed(bench, 0, 1, NORMAL)
    assert gateway.parts.fleets[0].state_name(0) == "normal"


def test_readings_that_end_every_process_are_set_aside(
    begun: Callable[[str], Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error nobody thought of, in what the journal holds: the start fails, loudly, and the next one does without."""
    bench = begun(GROUP)
    bench.start()
    feed(bench, 0, 8, NORMAL)
    bench.crash()

    def fail(*_: Any) -> Any:
        raise RuntimeError("nobody thought of it")

    with monkeypatch.context() as patch:
        patch.setattr("edge_runtime.gateway.fleet.Fleet.take", fail)
        with pytest.raises(RuntimeError):
            bench.start()
        gateway = bench.start()
    assert list((bench.folder / "journal").glob("*.aside"))
    assert gateway.is_stored


def test_a_message_that_decoding_did_not_think_of_stops_nothing(
    begun: Callable[[str], Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is refused as any other that cannot be used, acknowledged, and said to be our own error."""
    bench = begun(GROUP)
    gateway = bench.start()

    def fail(*_: Any) -> Any:
        raise IndexError("nobody thought of it")

    with monkeypatch.context() as patch:
        patch.setattr(gateway.parts.intake.entrances[0].decoder, "decode", fail)
        feed(bench, 0, 1, NORMAL)
    assert bench.broker.unacknowledged == []
    assert gateway.parts.metrics.refused["internal"] == 1
    assert ("message_refused", "internal") in [(name, fields.get("reason")) for name, fields in bench.logged]


APPEARING = GROUP.replace('machines = ["a", "b"]', "appear = 3")


def test_copies_of_a_bundle_are_one(begun: Callable[[str], Bench]) -> None:
    """A file a hall, say: a machine that appeared in the second hall is in its place after a power cut."""
    bench = begun(APPEARING + APPEARING.replace("pump", "copy").replace("plant", "hall"))
    shutil.copy(bench.folder / "pump.anomalite", bench.folder / "copy.anomalite")
    bench.start()
    feed(bench, 0, 8, NORMAL, topic="hall/a/readings")
    feed(bench, 8, 4, FAULT, topic="hall/a/readings")
    bench.crash()
    shutil.rmtree(bench.folder / "journal")
    bench.clock.power_cut(2.0)
    gateway = bench.start()
    assert [fleet.names for fleet in gateway.parts.fleets] == [["a"]]
    feed(bench, 14, 12, NORMAL, topic="hall/a/readings")
    assert kinds(bench) == ["raised", "cleared"]


def test_machines_appear_with_one_engine_of_a_bundle(begun: Callable[[str], Bench]) -> None:
    """Their states and alerts are kept by the bundle: a restart could not tell which engine a machine had."""
    other = APPEARING.replace("plant", "hall").replace("[groups.payload]", 'engine = "numpy"\n[groups.payload]')
    bench = begun(APPEARING + other)
    with pytest.raises(InputError, match="one engine and variant"):
        bench.start()
