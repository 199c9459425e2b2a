"""How long alerts take: from the reading that caused one, and from the store, to the broker's acknowledgement."""

from __future__ import annotations

from collections.abc import Iterable

from edge_runtime.gateway.metrics import Metrics
from edge_runtime.gateway.store_rows import Outgoing

MOST = 10_000
"""Messages on their way that are timed; while a broker is away for weeks there may be more, of which nothing is to be learnt."""


class Deliveries:
    """Times messages by their ids."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._heard: dict[str, float] = {}
        self._stored: dict[str, float] = {}

    def caused(self, message: str, heard: float) -> None:
        """A message was caused by a reading that arrived at `heard` (monotonic, seconds)."""
        _bounded(self._heard)[message] = heard

    def stored(self, messages: Iterable[Outgoing], now: float) -> None:
        """Messages are in the outbox."""
        _bounded(self._stored).update((message.id, now) for message in messages)

    def delivered(self, messages: Iterable[str], now: float) -> None:
        """The broker has them."""
        for message in messages:
            heard, stored = self._heard.pop(message, None), self._stored.pop(message, None)
            if heard is not None:
                self._metrics.alert_latency.observe(now - heard)
            if stored is not None:
                self._metrics.stages["publish"].observe(now - stored)


def _bounded(times: dict[str, float]) -> dict[str, float]:
    if len(times) >= MOST:
        times.clear()
    return times
