"""What the store keeps, one type a row, and `Changes`: what one transaction writes."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import NamedTuple

from edge_runtime.gateway.event import AlertEvent, LostAlerts, Silence

EVIDENCE_HELD = 50
"""While nothing can be written: of so many alerts the readings are kept in memory, of older ones only the alert."""
HISTORY_HELD = 20_000
"""And so many rows of history, the newest."""


class Outgoing(NamedTuple):
    """A message to the broker (QoS 1)."""

    id: str
    """Of this message; no two have the same. One that replaces another for a retained topic has an id of its own."""
    topic: str
    payload: bytes
    retain: bool = False
    """Retained by the broker: only the newest of a topic matters, and it takes the place of one that was not sent yet."""
    kind: str = "state"
    """`raised`, `cleared`, `acknowledged`, `lost`, `silent`, `heard` or `state`."""
    alert: str | None = None
    """The id of the alert it is about."""
    created: int = 0
    """Wall clock, microseconds since 1970 UTC."""
    row: int = 0
    """Its place in the outbox; 0: it is not in it."""


class StoredEvent(NamedTuple):
    """An alert event and what is kept with it."""

    event: AlertEvent
    file: str = ""
    """The bundle's file, for the replay. This and the following: of `raised` only."""
    engine: str = ""
    variant: str = ""
    evidence: bytes | None = None
    """The state and the readings that the score is recomputed from."""
    in_maintenance: bool = False


class StoredAlert(NamedTuple):
    """An alert, open or past."""

    id: str
    machine: str
    bundle: str
    digest: str
    file: str
    engine: str
    variant: str
    raised: int
    """Of the reading, microseconds since 1970 UTC."""
    score: float
    threshold: float
    contributions: dict[str, float]
    in_maintenance: bool
    cleared: int | None
    """Microseconds; None: it is open."""
    clear_reason: str
    acknowledged: int | None
    acknowledged_by: str
    is_queued: bool
    """It was told, or waits in the outbox: not held back during work."""
    is_sent: bool
    """It was queued, and the broker acknowledged every message about it."""
    has_evidence: bool


class MachineState(NamedTuple):
    """A machine's detector state, and when that was by every clock there is."""

    machine: str
    digest: str
    """Of the bundle: another one's state is of no use."""
    state: bytes
    saved_wall: float
    """Seconds since 1970."""
    saved_boottime: float
    """CLOCK_BOOTTIME, seconds."""
    boot: str
    """The boot that `saved_boottime` counts from."""
    saved_steady: int = 0
    """The steady time, microseconds."""
    last_reading: int | None = None
    """Of its last reading, microseconds; as the detector was given it."""


class HistoryRow(NamedTuple):
    """The verdicts of one machine in one interval."""

    machine: str
    start: int
    """Of the interval, microseconds since 1970 UTC; kept to the millisecond."""
    lowest: float
    """Of the scores; NaN where none was scored."""
    mean: float
    highest: float
    threshold: float
    """At the end of the interval."""
    counts: tuple[int, ...]
    """Verdicts by status, in the order of `STATUSES`."""


class MaintenanceRecord(NamedTuple):
    """Known work on machines, as it was announced. The same id again replaces it: work that ends earlier, for one."""

    id: str
    machines: tuple[str, ...]
    start: int
    """Microseconds since 1970 UTC."""
    end: int
    note: str = ""
    by: str = ""
    """`configuration`, or who commanded it."""


class Changes:
    """What one transaction writes: all of it or nothing."""

    __slots__ = ("delivered", "events", "history", "maintenance", "meta", "outbox", "states")

    def __init__(self) -> None:
        self.events: list[StoredEvent] = []
        """In the order they happened."""
        self.outbox: list[Outgoing] = []
        """Queued in this order. One with the id of an event of the same `Changes` is queued only if that event is news."""
        self.delivered: list[str] = []
        """Ids of messages that the broker acknowledged."""
        self.states: list[MachineState] = []
        self.history: list[HistoryRow] = []
        self.meta: dict[str, str] = {}
        self.maintenance: list[MaintenanceRecord] = []

    def __bool__(self) -> bool:
        """Whether there is anything to write."""
        return any(getattr(self, name) for name in self.__slots__)

    @property
    def is_durable(self) -> bool:
        """Whether a power cut right after the commit must not undo it: not so for a delivery, which is repeated, and for history."""
        return bool(self.events or self.outbox or self.states or self.meta or self.maintenance)

    def add(self, later: Changes) -> None:
        """Add what happened since, while these could not be written; what takes much room is kept only in part.

        Of a machine's states the last, of the history the newest rows, of alerts long past no evidence.
        """
        self.events += later.events
        for place in range(max(0, len(self.events) - EVIDENCE_HELD)):
            if self.events[place].evidence is not None:
                self.events[place] = self.events[place]._replace(evidence=None)
        self.delivered += later.delivered
        self.outbox = _newest(self.outbox + later.outbox, set(self.delivered))
        self.states = list({state.machine: state for state in self.states + later.states}.values())
        self.history = (self.history + later.history)[-HISTORY_HELD:]
        self.meta.update(later.meta)
        self.maintenance += later.maintenance


def _newest(outbox: Iterable[Outgoing], delivered: set[str]) -> list[Outgoing]:
    """Without what the broker has already, and of a retained topic the last only; in order."""
    last = {message.topic: message.id for message in outbox if message.retain}
    return [
        message
        for message in outbox
        if message.id not in delivered and (not message.retain or last[message.topic] == message.id)
    ]


def event_message(event: AlertEvent | LostAlerts | Silence, topic: str, created: int) -> Outgoing:
    """The message that carries an event, not retained: every one of them matters."""
    payload = json.dumps(event.to_json(), ensure_ascii=False).encode()
    alert = event.alert if isinstance(event, AlertEvent) else None
    return Outgoing(event.id, topic, payload, kind=event.kind, alert=alert, created=created)
