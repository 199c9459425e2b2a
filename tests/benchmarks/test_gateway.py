from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.gateway import kill, models
from benchmarks.gateway.broker import mosquitto
from benchmarks.gateway.command import main
from benchmarks.gateway.exposed import Exposed
from benchmarks.gateway.feeder import Feed, stream
from benchmarks.gateway.oracle import Event, Oracle
from benchmarks.gateway.plant import PAYLOADS, Part, Plant, encoder
from benchmarks.gateway.received import (
    Fault,
    Ledger,
    Received,
    violations_of_faults,
    violations_of_ledger,
    violations_of_messages,
    violations_of_states,
)
from benchmarks.gateway.stream import PLAIN, Habits, Sample, merged, samples
from edge_runtime.gateway.event import AlertEvent, alert_id

SECOND = 1_000_000
needs_broker = pytest.mark.skipif(mosquitto() is None, reason="needs Mosquitto")
DIGEST = "d" * 64
DIGESTS = {"pump-0": DIGEST}
FIRST = AlertEvent(
    "raised", alert_id("pump-0", DIGEST, SECOND), "pump-0", "pump", DIGEST, SECOND, 3.0, 2.0, {"c0": 3.0}, "normal"
)
CLEARED = FIRST._replace(kind="cleared", time=9 * SECOND, score=1.0)


def consumed(folder: Path, *events: AlertEvent, states: tuple[str, ...] = ()) -> Received:
    """What the consumer's file says of these events, in this order, and of these states of pump-0."""
    alerts = [("proof/alerts/pump-0", each.to_json()) for each in events]
    told = [("proof/machines/pump-0", {"state": state}) for state in states]
    lines = [
        {"at": 1.0, "topic": f"anomalite/{topic}", "payload": json.dumps(payload)} for topic, payload in alerts + told
    ]
    file = folder / "consumer.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return Received.read(file)


def ledger_of(*events: AlertEvent) -> Ledger:
    """A ledger that expects these events."""
    ledger = Ledger([Event(each.machine, each.time, each.kind, each.score, each.threshold) for each in events])
    ledger.warming_up["pump-0"] = 1
    ledger.end = {"time": 100 * SECOND}
    return ledger


def test_an_uninterrupted_gateway_violates_nothing(tmp_path: Path) -> None:
    """Each alert of the ledger once or several times, in turn, with equal content: nothing to say."""
    received = consumed(tmp_path, FIRST, FIRST, CLEARED, FIRST, CLEARED, states=("warming_up", "normal", "alarm"))
    ledger = ledger_of(FIRST, CLEARED)
    assert violations_of_messages(received, DIGESTS) == []
    assert violations_of_ledger(received, ledger) == []
    assert violations_of_states(received, ledger) == []


@pytest.mark.parametrize(
    ("said", "events"),
    [
        ("lost", (FIRST,)),
        ("lost", ()),
        ("made up", (FIRST, CLEARED, FIRST._replace(time=10 * SECOND, alert="a" * 16))),
        ("altered", (FIRST._replace(score=3.001), CLEARED)),
        ("altered", (FIRST._replace(threshold=2.1), CLEARED)),
    ],
)
def test_what_is_not_as_in_the_ledger_is_found(tmp_path: Path, said: str, events: tuple[AlertEvent, ...]) -> None:
    """A lost alert, one that must not be, and one with another score or threshold are each told apart."""
    found = violations_of_ledger(consumed(tmp_path, *events), ledger_of(FIRST, CLEARED))
    assert [violation.partition(":")[0] for violation in found] == [said] * len(found)
    assert found


@pytest.mark.parametrize(
    ("said", "events"),
    [
        ("altered", (FIRST, FIRST._replace(score=3.0000001))),
        ("altered", (FIRST, FIRST._replace(contributions={"c0": 2.9}))),
        ("under several ids", (FIRST, FIRST._replace(alert="a" * 16))),
        ("id", (FIRST._replace(alert="a" * 16),)),
        ("raised twice", (FIRST, FIRST._replace(time=2 * SECOND, alert=alert_id("pump-0", DIGEST, 2 * SECOND)))),
        ("cleared, and not raised", (CLEARED,)),
        ("out of order", (CLEARED, FIRST)),
    ],
)
def test_messages_that_do_not_agree_with_each_other_are_found(
    tmp_path: Path, said: str, events: tuple[AlertEvent, ...]
) -> None:
    """Repeats that differ, ids that do not tell, and events out of turn are violations whatever the ledger says."""
    found = violations_of_messages(consumed(tmp_path, *events), DIGESTS)
    assert said in [violation.partition(":")[0] for violation in found]


def test_a_window_that_begins_anew_is_found(tmp_path: Path) -> None:
    """A machine that warms up again, where the oracle's did not, lost its window."""
    received = consumed(tmp_path, states=("warming_up", "normal", "warming_up", "normal"))
    assert len(violations_of_states(received, ledger_of())) == 1


def test_after_power_cuts_long_faults_are_reported_and_nothing_else(tmp_path: Path) -> None:
    """A fault that a cut left too short to be seen need not be reported; one that was long enough must, and no others."""
    ledger = ledger_of()
    ledger.faults = [fault_of(1, 8)]
    needed = {"pump-0": 5 * SECOND}
    seen, nothing = consumed(tmp_path, FIRST, CLEARED), Received()
    assert violations_of_faults(seen, ledger, [], needed) == []
    assert len(violations_of_faults(nothing, ledger, [], needed)) == 1
    assert violations_of_faults(nothing, ledger, [4 * SECOND], needed) == []
    late = FIRST._replace(time=50 * SECOND, alert="a" * 16)
    assert len(violations_of_faults(consumed(tmp_path, FIRST, CLEARED, late), ledger, [], needed)) == 1


def fault_of(first: int, last: int) -> Fault:
    """Of pump-0, in seconds."""
    return Fault("pump-0", first * SECOND, last * SECOND)


def test_a_seed_gives_the_same_readings_and_another_one_others() -> None:
    """What the oracle and the gateway are given is reproducible."""
    taken = [list(itertools.islice(samples(seed, 3, 0, 100_000), 500)) for seed in (1, 1, 2)]
    assert repr(taken[0]) == repr(taken[1]) != repr(taken[2])


def test_streams_are_merged_in_order_of_time() -> None:
    """A plant's readings are published as they are measured, whatever pauses a machine makes."""
    streams = [samples(seed, 2, 10 * seed, 1000, Habits(pause=0.05)) for seed in range(5)]
    times = [sample.time for _, sample in itertools.islice(merged(streams), 2000)]
    assert times == sorted(times)


@pytest.mark.parametrize("make", [models.steady, models.following, models.fitting])
def test_every_fault_raises_an_alert_and_nothing_else_does(tmp_path: Path, make: Callable[[], Any]) -> None:
    """The models are untrained, but what is normal and what is faulty is far enough apart for every sort of machine."""
    path = models.sealed(tmp_path / "pump.anomalite", make())
    part = Part("pump", path.name, 3)
    oracle = Oracle(Plant(tmp_path, (part,), 1883))
    feed = Feed(str(tmp_path), (part,), 1883, models.PERIOD_S, 1, PLAIN)
    faults, raised = {}, []
    for _, machine, sample in itertools.islice(stream(feed, 0), 3 * 1200):
        if sample.fault is not None:
            faults[machine, sample.time] = sample.fault
        event = oracle.take(machine, sample)
        if event is not None and event.kind == "raised":
            raised.append((event.machine, event.time))
    found = {key for key in faults if any(m == key[0] and key[1] <= t <= faults[key] for m, t in raised)}
    assert len(found) == len(raised) > 10
    assert len(faults) - len(found) <= 3  # one that had just begun


@pytest.mark.parametrize("payload", PAYLOADS)
def test_samples_are_encoded_to_the_bit(payload: str) -> None:
    """What arrives at the gateway is the number that the oracle took; what is missing is not zero."""
    text = encoder(payload)(Sample(1_700_000_000_123_456, (0.1, -3.3333)))
    if payload != "float32":
        assert b"0.1" in text
        assert b"-3.3333" in text
    if payload not in ("untimed", "float32"):
        assert b"1700000000123456" in text
    assert b"0.0" not in encoder(payload)(Sample(1, (float("nan"), 1.5)))


def test_metrics_are_read_as_a_scraper_does() -> None:
    """Samples are summed over the labels that are not asked for."""
    exposed = Exposed(
        '# HELP a_total x\na_total{machine="m",kind="raised"} 2\na_total{machine="n",kind="raised"} 3.0\nb 1\n'
    )
    assert exposed.total("a_total", kind="raised") == 5
    assert exposed.total("a_total", machine="n") == 3
    assert exposed.total("c") == 0
    assert exposed.by("a_total", "machine") == {"m": 2, "n": 3}


@needs_broker
@pytest.mark.heavy
def test_killed_a_few_times_nothing_is_lost(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The proof at a small size: a real broker, a real gateway, kill -9, and the ledger."""
    small = ["--kills", "4", "--machines", "6", "--period", "0.02", "--longest", "1.5", "--seed", "3"]
    assert main(["kill", "--folder", str(tmp_path), *small]) == 0
    said = json.loads(capsys.readouterr().out.splitlines()[-1])["results"][0]
    assert said["kills"] >= 4
    assert said["ledger_alerts"] == said["alerts"] > 5
    assert said["replayed"] == said["stored"] > 2
    assert not list(tmp_path.iterdir())


@needs_broker
@pytest.mark.heavy
def test_a_lost_alert_fails_the_proof(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A ledger with one more alert than there was: exit status 1, and the files are kept to look at."""
    read = Ledger.read

    def with_another(path: Path) -> Ledger:
        ledger = read(path)
        ledger.events.append(Event("steady-0", 1, "raised", 3.0, 2.0))
        return ledger

    monkeypatch.setattr(Ledger, "read", with_another)
    monkeypatch.setattr(kill, "PATIENCE_S", 2.0)
    small = ["--kills", "1", "--machines", "3", "--period", "0.02", "--longest", "1.5"]
    assert main(["kill", "--folder", str(tmp_path), *small]) == 1
    (kept,) = tmp_path.iterdir()
    assert "lost: Event(machine='steady-0'" in (kept / "violations.txt").read_text()


@needs_broker
@pytest.mark.heavy
def test_load_counts_every_alert(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A small load: each spike raises one alert, and nothing is refused. How fast that is, is another machine's business."""
    main(
        ["load", "--folder", str(tmp_path), "--engine", "numpy", "--machines", "20", "--seconds", "6", "--alerts", "20"]
    )
    said = json.loads(capsys.readouterr().out.splitlines()[-1])["results"][0]
    assert said["alerts"] > 5
    assert said["missing"] == said["lost"] == 0
    assert said["ms_max"] > 0


def test_a_day_of_the_soak_leaves_nothing_behind(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One simulated day with everything in it: its faults are told, and nothing waits at its end."""
    few = ["--days", "3", "--machines", "2", "--period", "120", "--keep-days", "1"]
    main(["soak", "--folder", str(tmp_path), *few])
    said = json.loads(capsys.readouterr().out.splitlines()[-1])["results"][0]
    assert said["days"] == 3
    assert said["waiting"] == 0
    assert 0 < said["raised"] <= said["faults"] + 2
