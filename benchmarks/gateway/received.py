"""The consumer's file and the feeder's ledger, read back, and what must hold between them."""

from __future__ import annotations

import itertools
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.gateway.oracle import Event
from edge_runtime.gateway.event import alert_id
from edge_runtime.readings import to_microseconds

TOLERANCE = 1e-5
"""Of a score, relative: the oracle scores one window at a time, twice; the gateway as many as there are."""


class Fault(NamedTuple):
    """A machine's readings are faulty from one time to another, both included, microseconds since 1970."""

    machine: str
    first: int
    last: int


@dataclass
class Ledger:
    """What the feeder wrote down before it published."""

    events: list[Event] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    warming_up: Counter[str] = field(default_factory=Counter)
    """How often each machine's window began to fill."""
    end: dict[str, Any] = field(default_factory=dict)
    """Empty where the feeder did not come to its end."""

    @classmethod
    def read(cls, path: Path) -> Ledger:
        """The ledger as far as it was written."""
        ledger = cls()
        for line in _lines(path):
            match line.pop("is"):
                case "event":
                    ledger.events.append(Event(**line))
                case "fault":
                    ledger.faults.append(Fault(**line))
                case "warming_up":
                    ledger.warming_up[line["machine"]] += 1
                case "end":
                    ledger.end = line
        return ledger


class Arrival(NamedTuple):
    """An alert as it came to the consumer."""

    at: float
    """By the monotonic clock, seconds."""
    id: str
    alert: str
    event: Event
    text: str
    """The whole payload."""


@dataclass
class Received:
    """What came to the consumer, in order."""

    alerts: list[Arrival] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    """What was said on the alerts' topics that is no alert: of silent machines, of messages lost."""
    states: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: defaultdict(list))
    """By machine."""

    @classmethod
    def read(cls, path: Path) -> Received:
        """What is there of the consumer's file."""
        received = cls()
        for line in _lines(path):
            kind, _, machine = line["topic"].split("/", 2)[2].partition("/")
            if kind == "alerts":
                arrival = _arrival(line["at"], line["payload"])
                received.others += [line["payload"]] * (arrival is None)
                received.alerts += [] if arrival is None else [arrival]
            elif kind == "machines":
                received.states[machine].append(json.loads(line["payload"]))
        return received

    @property
    def firsts(self) -> dict[str, Arrival]:
        """Each message once, by its id, in the order of arrival."""
        firsts: dict[str, Arrival] = {}
        for arrival in self.alerts:
            firsts.setdefault(arrival.id, arrival)
        return firsts


def _lines(path: Path) -> Iterable[dict[str, Any]]:
    """The whole lines: the last one may be on its way."""
    for text in path.read_text().splitlines(keepends=True):
        if text.endswith("\n"):
            yield json.loads(text)


def _arrival(at: float, text: str) -> Arrival | None:
    data = json.loads(text)
    if data["kind"] not in ("raised", "cleared"):
        return None
    time = to_microseconds(datetime.fromisoformat(data["time"]))
    event = Event(data["machine"], time, data["kind"], data["score"], data["threshold"])
    return Arrival(at, data["id"], data["alert"], event, text)


def violations_of_messages(received: Received, digests: dict[str, str]) -> list[str]:
    """What no interruption excuses: altered repeats, ids that do not tell, raised and cleared out of turn.

    `digests`: of each machine's bundle.
    """
    found = [f"unexpected: {text}" for text in received.others]
    firsts = received.firsts
    found += [
        f"altered: {each.id}: {firsts[each.id].text} and {each.text}"
        for each in received.alerts
        if each.text != firsts[each.id].text
    ]
    counts = Counter(each.event.key for each in firsts.values())
    found += [f"under several ids: {key}" for key, count in counts.items() if count > 1]
    found += [
        f"id: {each.id} of the alert {each.alert}"
        for each in firsts.values()
        if each.id != f"{each.alert}-{each.event.kind}"
    ]
    open_alert: dict[str, str | None] = {}
    latest: dict[str, int] = {}
    for each in firsts.values():
        machine, time, kind = each.event.key
        if time < latest.get(machine, time):
            found.append(f"out of order: {each.event} after an event at {latest[machine]}")
        latest[machine] = time
        if kind == "raised":
            if each.alert != alert_id(machine, digests[machine], time):
                found.append(f"id: {each.alert} of {each.event}")
            if open_alert.get(machine) is not None:
                found.append(f"raised twice: {each.event} while {open_alert[machine]} is open")
            open_alert[machine] = each.alert
        elif kind == "cleared":
            if open_alert.get(machine) != each.alert:
                found.append(f"cleared, and not raised: {each.event}, open is {open_alert.get(machine)}")
            open_alert[machine] = None
    return found


def violations_of_ledger(received: Received, ledger: Ledger) -> list[str]:
    """None lost, none altered, none made up: the alerts are those of a detector that nothing interrupted."""
    arrived = {each.event.key: each.event for each in received.firsts.values()}
    expected = {event.key: event for event in ledger.events}
    found = [f"lost: {event}" for key, event in expected.items() if key not in arrived]
    found += [f"made up: {event}" for key, event in arrived.items() if key not in expected]
    for key, event in expected.items():
        got = arrived.get(key, event)
        if not (_is_close(got.score, event.score) and _is_close(got.threshold, event.threshold)):
            found.append(f"altered: expected {event}, got {got}")
    return found


def violations_of_states(received: Received, ledger: Ledger) -> list[str]:
    """State resumed: no machine's window begins to fill more often than that of a detector that nothing interrupted."""
    found = []
    for machine, states in received.states.items():
        names = [state["state"] for state in states]
        full = [
            name for name in names if name in ("normal", "alarm", "warming_up")
        ]  # what interrupts them says nothing
        begun = sum(name == "warming_up" != before for before, name in itertools.pairwise(["", *full]))
        seen = next((at for at, name in enumerate(names) if name != "never_seen"), len(names))
        if "never_seen" in names[seen:]:
            found.append(f"not resumed: {machine} was {names[seen]}, and then never seen")
        if begun > ledger.warming_up[machine]:
            found.append(f"not resumed: {machine} warmed up {begun} times, expected {ledger.warming_up[machine]}")
    return found


def violations_of_faults(received: Received, ledger: Ledger, cuts: Sequence[int], needed: dict[str, int]) -> list[str]:
    """After power cuts: every fault that lasted long enough between two `cuts` (microseconds since 1970) was reported, and nothing else.

    `needed`: how long each machine's faults must last (microseconds) to be seen by a window that begins anew. An alarm that was
    raised before a cut may still be open at the next fault.
    """
    found = []
    events = defaultdict(list)
    for each in received.firsts.values():
        events[each.event.machine].append(each.event)
    faults = defaultdict(list)
    for fault in ledger.faults:
        faults[fault.machine].append(fault)
    last = ledger.end["time"]
    for machine, theirs in faults.items():
        for fault in theirs:
            until = min(fault.last, last)
            edges = [fault.first, *(cut for cut in cuts if fault.first < cut < until), until]
            longest = max(end - begin for begin, end in itertools.pairwise(edges))
            if longest >= needed[machine] and not _is_open(events[machine], fault.first, until):
                found.append(f"not reported: {fault}")
        raised = [event for event in events[machine] if event.kind == "raised"]
        found += [
            f"made up: {event}"
            for event in raised
            if not any(_is_due(event, fault, needed[machine]) for fault in theirs)
        ]
    return found


def _is_open(events: Sequence[Event], first: int, last: int) -> bool:
    """Whether an alert was raised between two times, or was open then."""
    is_open = False
    for event in events:
        if event.time > last:
            break
        if event.time >= first and event.kind == "raised":
            return True
        is_open = event.kind == "raised"
    return is_open


def _is_due(event: Event, fault: Fault, needed: int) -> bool:
    """Whether the fault explains the event: its readings are in the windows until then."""
    return fault.first <= event.time <= fault.last + needed


def _is_close(got: float, expected: float) -> bool:
    return abs(got - expected) <= TOLERANCE * abs(expected)
