"""Each machine's state as a retained message: whoever subscribes hears at once how every machine is.

A state matters only while it is the newest, so these messages are not stored: what the broker may not have is said again after every
connection, and at most once a second of a machine, however often it changes its mind. No card is worn by a flickering sensor.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from edge_runtime.gateway.alerts import state_message, topic_of
from edge_runtime.gateway.clock import Clock, SteadyTime
from edge_runtime.gateway.desk import Desk
from edge_runtime.gateway.fleet import Fleet
from edge_runtime.gateway.showing import machine_status

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

    def __init__(
        self, client: Speaker, names: tuple[str, str], clock: Clock, steady: SteadyTime, known: Sequence[str] = ()
    ) -> None:
        """`names`: the prefix of the topics and the gateway's name; `known`: machines that earlier processes watched."""
        self._known = known
        self._gone: list[str] = []
        self._client, self._names, self._clock, self._steady = client, names, clock, steady
        self._connection: tuple[bool, int] | None = None
        self._not_before = 0.0
        self._token = 0
        self._waiting: dict[tuple[int, int], None] = {}

    def pump(self, fleets: Sequence[Fleet], desk: Desk) -> None:
        """Hand on what has changed; after a new connection, everything."""
        for number, fleet in enumerate(fleets):
            if fleet.changed:
                self._waiting.update(dict.fromkeys((number, machine) for machine in sorted(fleet.changed)))
                fleet.changed.clear()
        connection = (self._client.is_connected, self._client.reconnects)
        if connection != self._connection:
            self._connection = connection
            self._waiting = {
                (number, machine): None for number, fleet in enumerate(fleets) for machine in range(len(fleet.names))
            }
            self._gone = [name for name in self._known if not any(name in fleet.index for fleet in fleets)]
        now = self._clock.monotonic()
        if not (self._waiting or self._gone) or not self._client.is_connected or now < self._not_before:
            return
        self._not_before = now + LEAST_BETWEEN_S
        while self._gone:  # nothing retained: else the broker would say for ever how they were
            self._token -= 1
            topic = topic_of(*self._names, "machines", self._gone[-1])
            if not self._client.publish(topic, b"", retain=True, token=self._token):
                return
            self._gone.pop()
        for number, machine in list(self._waiting)[:MOST_AT_ONCE]:
            fleet = fleets[number]
            self._token -= 1  # below zero: the publisher's are above
            time = self._steady.now()
            status = machine_status(fleet, machine, desk, time / 1e6, now)
            message = state_message(status, *self._names, time)
            if not self._client.publish(message.topic, message.payload, retain=True, token=self._token):
                return
            del self._waiting[number, machine]
