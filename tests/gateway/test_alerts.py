"""Known work on machines, and the messages about them."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from edge_runtime.errors import PayloadError
from edge_runtime.gateway.alerts import Work, state_message, to_outgoing, topic_of
from edge_runtime.gateway.command import Begin, End
from edge_runtime.gateway.config import Maintenance
from edge_runtime.gateway.event import AlertEvent, LostAlerts, Silence
from edge_runtime.gateway.status import MachineStatus

MINUTE = 60_000_000
NOW = 1_800_000_000_000_000  # 2027-01-15 08:00 UTC


def begin(*machines: str, start: int | None = None, end: int | None = None, minutes: float | None = None) -> Begin:
    return Begin(machines, start, end, minutes, "new bearing", "Ann")


def configured(*machines: str, start: int = 0, end: int = 60) -> Maintenance:
    """Work from and to so many minutes after `NOW`."""
    moments = [datetime.fromtimestamp(NOW / 1e6 + 60 * minutes, UTC) for minutes in (start, end)]
    return Maintenance(machines, moments[0], moments[1], "planned")


def test_work_of_the_configuration() -> None:
    """It is on from its start to just before its end, on its machines."""
    work = Work([configured("a", "b"), configured("a", start=60, end=90)])
    assert [work.is_on("a", NOW + minutes * MINUTE) for minutes in (-1, 0, 59, 60, 89, 90)] == [
        False, True, True, True, True, False,
    ]  # fmt: skip
    assert not work.is_on("c", NOW)
    found = work.current("b", NOW)
    assert found is not None
    assert (found.note, found.by, found.machines) == ("planned", "configuration", ("a", "b"))
    work.configure([configured("c")])
    assert (work.is_on("a", NOW), work.is_on("c", NOW)) == (False, True)
    assert Work([configured("a")]).records() == Work([configured("a")]).records()  # the same id after a restart


def test_without_the_time_work_for_a_date_does_not_begin() -> None:
    """A board that believes in 1970, or any other wrong time before this program, silences nothing."""
    early = Maintenance(("a",), datetime(1970, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC))
    assert Work([early]).is_on("a", NOW)
    late = Maintenance(("a",), datetime(2026, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC))
    assert not Work([late]).is_on("a", 1_000 * MINUTE)


def test_work_by_command_for_minutes_outlasts_a_clock_that_is_set() -> None:
    """Half an hour from now is half an hour, whatever the clock says meanwhile; a date is a date."""
    work = Work([])
    early = 5 * MINUTE  # in 1970
    work.begin(begin("a", minutes=30), early)
    work.begin(begin("b", start=NOW, end=NOW + 30 * MINUTE), early)
    assert work.is_on("a", early + 10 * MINUTE)
    moved = work.shift(NOW - (early + 10 * MINUTE))
    assert [record.machines for record in moved] == [("a",)]
    assert [work.is_on("a", NOW + minutes * MINUTE) for minutes in (0, 19, 20)] == [True, True, False]
    assert [work.is_on("b", NOW + minutes * MINUTE) for minutes in (0, 29, 30)] == [True, True, False]


def test_work_by_command_is_known_after_a_restart() -> None:
    """From the rows that were given to the store; the configuration's own are taken from the configuration."""
    before = Work([configured("c")])
    before.begin(begin("a", minutes=30), NOW)
    after = Work([], before.records())
    assert (after.is_on("a", NOW), after.is_on("c", NOW)) == (True, False)


def test_work_is_ended_for_some_of_its_machines() -> None:
    """The others go on, and both are rows for the store, under the same id or one that replaces it."""
    work = Work([configured("d")])
    first = work.begin(begin("a", "b", "c", minutes=30), NOW)
    later = work.begin(begin("a", start=NOW + 60 * MINUTE, end=NOW + 90 * MINUTE), NOW)
    rows = work.end(End(("a", "d", "x")), NOW + MINUTE)
    assert {row.id for row in rows} >= {first.id, later.id}
    over = {row.id: row for row in rows}
    assert (over[first.id].machines, over[first.id].end) == (("a",), NOW + MINUTE)
    assert over[later.id].end == NOW + MINUTE
    on = {machine: work.is_on(machine, NOW + 2 * MINUTE) for machine in "abcd"}
    assert on == {"a": False, "b": True, "c": True, "d": True}
    assert not work.is_on("a", NOW + 70 * MINUTE)
    again = Work([], [row for row in rows if row.id not in (first.id, later.id)])
    assert [again.is_on(machine, NOW + 2 * MINUTE) for machine in "abc"] == [False, True, True]
    assert work.end(End(("a",)), NOW + 3 * MINUTE) == []


def test_machines_whose_work_is_over_are_told_once() -> None:
    """Because its time is over, a command or another configuration ended it; not while other work goes on."""
    work = Work([configured("a", "b"), configured("b", end=90), configured("e")])
    work.begin(begin("c", minutes=120), NOW)
    assert work.ended(NOW + MINUTE) == []
    assert work.ended(NOW + 60 * MINUTE) == ["a", "e"]
    assert work.ended(NOW + 61 * MINUTE) == []
    work.end(End(("c",)), NOW + 62 * MINUTE)
    assert work.ended(NOW + 62 * MINUTE) == ["c"]
    work.configure([])
    assert work.ended(NOW + 63 * MINUTE) == ["b"]


def test_work_is_bounded() -> None:
    """In number, and in length from now on; what is over makes room."""
    work = Work([])
    with pytest.raises(PayloadError, match="31 days"):
        work.begin(begin("a", end=NOW + 32 * 24 * 60 * MINUTE), NOW)
    with pytest.raises(PayloadError, match="after the start and now"):
        work.begin(begin("a", end=NOW), NOW)
    for n in range(1_000):
        work.begin(begin(f"m{n}", minutes=5), NOW)
    with pytest.raises(PayloadError, match="1000 times"):
        work.begin(begin("a", minutes=5), NOW)
    work.begin(begin("a", minutes=5), NOW + 6 * MINUTE)
    assert len(work.records()) == 1


def test_topics_hold_any_name() -> None:
    """Levels, wildcards and control characters in a machine's name stay in its own level; no two names have one topic."""
    assert topic_of("plant/anomalite", "hall 1", "alerts", "pump-3") == "plant/anomalite/hall 1/alerts/pump-3"
    names = ["a/b", "a+", "#", "a%2Fb", "a\x00\n", "\ud800", "Ä$"]
    topics = [topic_of("p", "g", "machines", name) for name in names]
    assert topics[0] == "p/g/machines/a%2Fb"
    assert topics[3] == "p/g/machines/a%252Fb"
    assert topics[6] == "p/g/machines/Ä$"
    assert len(set(topics)) == len(names)
    for topic in topics:
        assert topic.count("/") == 3
        assert not set("+#\x00\n") & set(topic)
        topic.encode()


def test_messages_of_events() -> None:
    """Alerts and silences on the machine's topic, lost alerts on one above; not retained, with the event's id."""
    event = AlertEvent("raised", "0123456789abcdef", "a/b", "pump", "ff" * 32, NOW, 2.0, 1.0, {"x": 1.5, "y": 0.5})
    message = to_outgoing(event, "anomalite", "hall", NOW + 1)
    assert (message.topic, message.retain, message.kind) == ("anomalite/hall/alerts/a%2Fb", False, "raised")
    assert (message.id, message.alert, message.created) == (event.id, event.alert, NOW + 1)
    assert json.loads(message.payload)["severity"] == 2.0
    silence = Silence("silent", "a", "pump", "ff" * 32, NOW, NOW + MINUTE)
    message = to_outgoing(silence, "anomalite", "hall", NOW + MINUTE)
    assert json.loads(message.payload) == {
        "id": silence.id, "kind": "silent", "machine": "a", "bundle": "pump", "digest": "ff" * 32,
        "since": "2027-01-15T08:00:00+00:00", "time": "2027-01-15T08:01:00+00:00",
    }  # fmt: skip
    heard = Silence("heard", "a", "pump", "ff" * 32, NOW, NOW + 2 * MINUTE)
    assert heard.id.rsplit("-", 1) == [silence.id.rsplit("-", 1)[0], "heard"]
    assert json.loads(to_outgoing(silence._replace(since=None), "p", "g", 0).payload)["since"] is None
    assert to_outgoing(LostAlerts(1, 2, NOW, NOW), "anomalite", "hall", NOW).topic == "anomalite/hall/alerts"


def test_the_message_of_a_machines_state() -> None:
    """Retained; said again at another time it is another message."""
    machine = MachineStatus(
        "a", "pump", "alarm", NOW / 1e6, NOW / 1e6, 2.0, 1.0, "0123456789abcdef", False, True, ("x",), 9
    )
    message = state_message(machine, "anomalite", "hall", NOW)
    assert (message.topic, message.retain, message.kind) == ("anomalite/hall/machines/a", True, "state")
    assert json.loads(message.payload) == {
        "machine": "a", "state": "alarm", "since": "2027-01-15T08:00:00+00:00", "score": 2.0, "threshold": 1.0,
        "alert": "0123456789abcdef", "acknowledged": False, "maintenance": True, "bundle": "pump", "fault_channels": ["x"],
    }  # fmt: skip
    assert state_message(machine, "anomalite", "hall", NOW) == message
    assert state_message(machine, "anomalite", "hall", NOW + 1).id != message.id
    empty = machine._replace(score=float("nan"), name="\ud800")
    assert json.loads(state_message(empty, "p", "g", NOW).payload)["score"] is None
