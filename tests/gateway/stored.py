"""What the tests of the store and the publisher are made of."""

from __future__ import annotations

from edge_runtime.gateway.event import AlertEvent
from edge_runtime.gateway.store_rows import Changes, HistoryRow, MachineState, Outgoing, StoredEvent, event_message

DIGEST = "d" * 64
HOUR = 3_600_000_000
START = 1_700_000_000_000_000


class SetClock:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.now, self.real = 0.0, START / 1e6

    def monotonic(self) -> float:
        """Seconds."""
        return self.now

    def wall(self) -> float:
        """Seconds since 1970."""
        return self.real

    def boot(self) -> str:
        """One boot."""
        return "boot"

    def advance(self, seconds: float) -> None:
        """Let both clocks run."""
        self.now, self.real = self.now + seconds, self.real + seconds


def event(alert: str, kind: str = "raised", time: int = START, machine: str = "pump", reason: str = "") -> AlertEvent:
    """Something that happened to an alert."""
    return AlertEvent(kind, alert, machine, "pumps", DIGEST, time, 2.5, 1.0, {"c0": 2.0, "c1": 0.5}, reason)  # type: ignore[arg-type]


def message(alert: str, kind: str = "raised", time: int = START) -> Outgoing:
    """What is sent of it."""
    return event_message(event(alert, kind, time), "anomalite/plant/alerts/pump", time)


def raised(alert: str, time: int = START, evidence: bytes | None = b"evidence", **fields: bool) -> Changes:
    """An alert that is to be sent."""
    changes = Changes()
    changes.events.append(
        StoredEvent(event(alert, "raised", time), "pumps.anomalite", "numpy", "float32", evidence, **fields)
    )
    changes.outbox.append(message(alert, "raised", time))
    return changes


def cleared(alert: str, time: int = START + HOUR) -> Changes:
    """It is over, and that is to be sent."""
    changes = Changes()
    changes.events.append(StoredEvent(event(alert, "cleared", time, reason="normal")))
    changes.outbox.append(message(alert, "cleared", time))
    return changes


def delivered(*messages: str) -> Changes:
    """The broker has them."""
    changes = Changes()
    changes.delivered += messages
    return changes


def state(machine: str, content: bytes = bytes(1200)) -> MachineState:
    """Of a detector."""
    return MachineState(machine, DIGEST, content, 1.5, 2.5, "boot", 3, 4)


def history(machine: str, start: int, mean: float = 0.5) -> HistoryRow:
    """Of five minutes."""
    return HistoryRow(machine, start, 0.25, mean, 0.75, 1.0, (300, 0, 0, 0, 0, 0, 0))
