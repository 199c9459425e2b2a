"""Between the gateway's thread, which publishes, and the threads that answer HTTP requests, which only look."""

from __future__ import annotations

import time
from collections.abc import Callable

from edge_runtime.gateway.recent import RecentScores
from edge_runtime.gateway.status import Recent, Status

STALLED_AFTER_S = 10.0
"""The status is published once a second; after so long without one the gateway's loop stands still."""
AWAY_AFTER_S = 300.0
"""So long may the broker be away before the gateway calls itself unhealthy: nobody gets its alerts."""


class Seen:
    """The newest status and the recent scores. Whatever is read here was put in place by one assignment, so nothing waits."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic, wall: Callable[[], float] = time.time) -> None:
        self._monotonic, self._wall = monotonic, wall
        self._newest: tuple[Status, float] | None = None
        self._started = monotonic()
        self._away_since: float | None = None
        self._places: dict[str, tuple[RecentScores, int]] = {}

    def publish(self, status: Status) -> None:
        """Show this from now on. The gateway's thread, once a second."""
        now = self._monotonic()
        if status.broker is None or status.is_connected:
            self._away_since = None
        elif self._away_since is None:
            self._away_since = now
        self._newest = (status, now)

    def place(self, machine: str, scores: RecentScores, row: int) -> None:
        """Say once where the recent scores of a machine are. The gateway's thread."""
        self._places[machine] = (scores, row)

    def status(self) -> Status | None:
        """The newest, None before the first."""
        return self._newest[0] if self._newest else None

    def age_s(self) -> float:
        """How long ago the newest status was published; before the first, how long the gateway has been starting."""
        return self._monotonic() - (self._newest[1] if self._newest else self._started)

    def recent(self, machine: str) -> Recent | None:
        """The last hour of a machine, None if nobody heard of it."""
        found = self._places.get(machine)
        return None if found is None else found[0].copy(found[1], self._monotonic(), self._wall())

    def troubles(self) -> list[str]:
        """Why the gateway does not do its work; empty: it is healthy."""
        newest, away_since = self._newest, self._away_since
        if newest is None:
            return ["the gateway is still starting"]
        found = []
        now = self._monotonic()
        if now - newest[1] > STALLED_AFTER_S:
            found.append(f"the gateway's loop has stood still for {now - newest[1]:.0f} s")
        if not newest[0].can_store:
            found.append("alerts and states cannot be written to the database")
        if not newest[0].can_journal:
            found.append("readings cannot be written to the journal: a crash would lose them")
        if away_since is not None and now - away_since > AWAY_AFTER_S:
            found.append(f"the broker {newest[0].broker} has been away for {now - away_since:.0f} s")
        return found
