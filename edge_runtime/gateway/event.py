"""What goes out: alert events, each with an id by which a consumer drops repeats."""

from __future__ import annotations

import hashlib
from typing import Any, Literal, NamedTuple

from edge_runtime.readings import from_microseconds


class AlertEvent(NamedTuple):
    """An alarm was raised, cleared or acknowledged."""

    kind: Literal["raised", "cleared", "acknowledged"]
    alert: str
    """The alert's id, the same for raised, acknowledged and cleared: `alert_id` of the reading that raised it."""
    machine: str
    bundle: str
    """The bundle's name."""
    digest: str
    """The bundle's sha256."""
    time: int
    """Of the reading, microseconds since 1970 UTC."""
    score: float
    threshold: float
    contributions: dict[str, float]
    """Of the channels, the largest first; they add up to the score."""
    reason: str = ""
    """Of `cleared` and `acknowledged`: `normal`, `bundle replaced`, or who acknowledged."""

    @property
    def id(self) -> str:
        """Of this message; a consumer that has seen it drops it."""
        return f"{self.alert}-{self.kind}"

    @property
    def severity(self) -> float:
        """How many times the threshold the score is."""
        return self.score / self.threshold if self.threshold else float("inf")

    def to_json(self) -> dict[str, Any]:
        """What the MQTT message carries."""
        named = self._asdict()
        numbers = {"score": self.score, "threshold": self.threshold, "severity": self.severity}
        for name, number in numbers.items():
            named[name] = number if abs(number) < float("inf") else None  # JSON has no infinity, and no NaN
        shares = {name: share if abs(share) < float("inf") else None for name, share in self.contributions.items()}
        return {
            "id": self.id, **named, "time": from_microseconds(self.time).isoformat(), "contributions": shares,
        }  # fmt: skip


class LostAlerts(NamedTuple):
    """Alerts that were never sent had to be deleted, because the storage was full: what is sent in their place."""

    alerts: int
    """So many that no delivered message of this kind has told of."""
    total: int
    """So many since the store was made; the next message of this kind has a larger one."""
    first: int
    """When the oldest of these `alerts` was raised, microseconds since 1970 UTC."""
    last: int
    """And the newest."""
    kind: Literal["lost"] = "lost"

    @property
    def id(self) -> str:
        """Of this message; a consumer that has seen it drops it."""
        return f"lost-{self.total}-{self.first}"

    def to_json(self) -> dict[str, Any]:
        """What the MQTT message carries."""
        first, last = from_microseconds(self.first).isoformat(), from_microseconds(self.last).isoformat()
        return {"id": self.id, **self._asdict(), "first": first, "last": last}


class Silence(NamedTuple):
    """A machine went silent, or is heard again."""

    kind: Literal["silent", "heard"]
    machine: str
    bundle: str
    """The bundle's name."""
    digest: str
    """The bundle's sha256."""
    since: int | None
    """Of its last reading before the silence, microseconds since 1970 UTC; None: it was never heard."""
    time: int
    """When it was found out, or its new reading's; microseconds since 1970 UTC."""

    @property
    def id(self) -> str:
        """Of this message; a consumer that has seen it drops it. Both ends of a silence have the same but for the kind."""
        return f"{alert_id(self.machine, f'silence {self.digest}', self.since or 0)}-{self.kind}"

    def to_json(self) -> dict[str, Any]:
        """What the MQTT message carries."""
        since = None if self.since is None else from_microseconds(self.since).isoformat()
        return {"id": self.id, **self._asdict(), "since": since, "time": from_microseconds(self.time).isoformat()}


def alert_id(machine: str, digest: str, time: int) -> str:
    """The id of the alert that the machine's reading at `time` (microseconds) raised: the same however often it is calculated."""
    return hashlib.sha256(f"{digest}\n{time}\n{machine}".encode()).hexdigest()[:16]
