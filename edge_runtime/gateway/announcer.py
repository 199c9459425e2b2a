"""Each machine's state as a retained message: whoever subscribes hears at once how every machine is.

A state matters only while it is the newest, so these messages are not stored: what the broker may not have is said again after every
connection, and at most once a second of a machine, however often it changes its mind. No card is worn by a flickering sensor.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Protocol

from edge_runtime.gateway.clock import Clock
from edge_runtime.gateway.fleet import Fleet
from edge_runtime.readings import from_microseconds

LEAST_BETWEEN_S = 1.0
MOST_AT_ONCE = 200
"""Machines whose states are handed to the client in one tick."""


class Speaker(Protocol):
    """What the messages are handed to: `mqtt.MqttClient`."""

    @property
    def is_connected(self) -> bool:
        """Whether the broker can be spoken to."""
        ...

    @property
    def reconnects(self) -> int:
        """Counts connections after the first."""
        ...

    def publish(self, topic: str, payload: bytes, *, retain: bool, token: int) -> bool:
        """Take a message (QoS 1). False: not now. Never blocks."""
        ...


class Announcer:
    """Says how the machines are, where that has changed."""

    def __init__(self, client: Speaker, topic: str, clock: Clock) -> None:
        """States go to `TOPIC/MACHINE`."""
        self._client, self._topic, self._clock = client, topic, clock
        self._connection: tuple[bool, int] | None = None
        self._not_before = 0.0
        self._token = 0
        self._waiting: dict[tuple[int, int], None] = {}

    def pump(self, fleets: Sequence[Fleet], acknowledged: set[str], at_work: frozenset[str]) -> None:
        """Hand on what has changed; after a new connection, everything."""
        for number, fleet in enumerate(fleets):
            if fleet.changed:
                self._waiting.update(dict.fromkeys((number, machine) for machine in sorted(fleet.changed)))
                fleet.changed.clear()
        connection = (self._client.is_connected, self._client.reconnects)
        if connection != self._connection:
            self._connection = connection
            self._waiting = {(number, machine): None for number, fleet in enumerate(fleets) for machine in range(len(fleet.names))}
        now = self._clock.monotonic()
        if not self._waiting or not self._client.is_connected or now < self._not_before:
            return
        self._not_before = now + LEAST_BETWEEN_S
        for number, machine in list(self._waiting)[:MOST_AT_ONCE]:
            fleet = fleets[number]
            self._token -= 1  # below zero: the publisher's are above
            payload = json.dumps(state_of(fleet, machine, acknowledged, at_work)).encode()
            if not self._client.publish(f"{self._topic}/{fleet.names[machine]}", payload, retain=True, token=self._token):
                return
            del self._waiting[number, machine]


def state_of(fleet: Fleet, machine: int, acknowledged: set[str], at_work: frozenset[str]) -> dict[str, object]:
    """What the message says."""
    name, alert = fleet.names[machine], fleet.open.get(machine)
    score, state = float(fleet.scores[machine]), fleet.state_name(machine)
    since = int(fleet.since[machine] * 1e6)
    return {
        "machine": name,
        "state": state,
        "since": from_microseconds(since).isoformat() if since else None,
        "score": score if score == score else None,
        "threshold": float(fleet.thresholds[machine]),
        "alert": alert,
        "acknowledged": alert in acknowledged,
        "maintenance": name in at_work,
        "bundle": fleet.manifest.name,
        "fault_channels": list(fleet.faults.get(machine, ())) if state == "sensor_fault" else [],
    }
