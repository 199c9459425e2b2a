"""A clock and a broker that a gateway is given in place of the real ones, so that weeks pass in minutes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from edge_runtime.gateway.message import Message

START = 1_800_000_000.0
"""Wall clock at the beginning, seconds since 1970."""


class SimulatedClock:
    """Passes when it is told to."""

    def __init__(self) -> None:
        self._now, self._offset = 1000.0, START

    def monotonic(self) -> float:
        """As `Clock`."""
        return self._now

    def wall(self) -> float:
        """As `Clock`."""
        return self._now + self._offset

    def boot(self) -> str:
        """As `Clock`."""
        return "simulated"

    def pass_(self, seconds: float) -> None:
        """Let time go by."""
        self._now += seconds

    def set_wall(self, seconds: float) -> None:
        """Set the wall clock forward by so much, or back."""
        self._offset += seconds


class SimulatedBroker:
    """Stands in for `mqtt.MqttClient`: takes every publication and acknowledges it a tick later, unless it is away."""

    broker = "simulated:1883"

    def __init__(self, *given: Any) -> None:
        """As `assemble.Connect` is called; nothing of it is looked at."""
        self.is_connected, self.reconnects = True, 0
        self.last_error: str | None = None
        self.published: dict[str, int] = {}
        """How many messages by the kind of their topic: `alerts`, `machines`."""
        self.alerts: Callable[[bytes], None] = lambda payload: None
        """Given each alert's payload."""
        self.acknowledgements = 0
        self._in_flight: list[int] = []
        self._lost: list[int] = []

    @property
    def problems(self) -> tuple[str, ...]:
        """As `MqttClient`."""
        return ()

    def start(self) -> None:
        """As a `Source`."""

    def pause(self) -> None:
        """As a `Source`."""

    def stop(self) -> None:
        """As a `Source`."""

    def acknowledge(self, messages: Sequence[Message]) -> None:
        """As a `Source`."""
        self.acknowledgements += len(messages)

    def publish(self, topic: str, payload: bytes, *, retain: bool, token: int) -> bool:
        """As `MqttClient`."""
        if not self.is_connected or self._lost or len(self._in_flight) >= 20:
            return False
        self._in_flight.append(token)
        kind = topic.split("/")[2]
        self.published[kind] = self.published.get(kind, 0) + 1
        if kind == "alerts":
            self.alerts(payload)
        return True

    def acknowledged(self) -> list[int]:
        """As `MqttClient`."""
        tokens, self._in_flight = self._in_flight, []
        return tokens if self.is_connected else []

    def lost(self) -> list[int]:
        """As `MqttClient`."""
        tokens, self._lost = self._lost, []
        return tokens

    def go_away(self) -> None:
        """The connection ends; what is in flight is lost."""
        self.is_connected = False
        self._lost, self._in_flight = self._lost + self._in_flight, []

    def come_back(self) -> None:
        """There is a connection again."""
        self.is_connected = True
        self.reconnects += 1
