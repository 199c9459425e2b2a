"""Getting messages out: in order, at least once, and whatever happens to the broker, the disk or this process."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Protocol

from edge_runtime.errors import StoreError
from edge_runtime.gateway.store_rows import Outgoing

_REMEMBERED = 1000
"""Ids of messages that were delivered: they may be met once more before their rows are deleted."""


class Outbox(Protocol):
    """The part of a `Store` that a publisher reads."""

    last_row: int

    def waiting(self, after: int = 0, limit: int = -1) -> list[Outgoing]:
        """Messages in order. Raises `StoreError`."""
        ...


class Client(Protocol):
    """What messages are handed to: `mqtt.MqttClient`."""

    def publish(self, topic: str, payload: bytes, *, retain: bool, token: int) -> bool:
        """Take a message (QoS 1). False: not taken, because there is no connection, too much is under way, or `lost` has something
        to tell: what was lost goes before anything new. Never blocks."""
        ...

    def acknowledged(self) -> list[int]:
        """Tokens of messages that the broker acknowledged since the last call."""
        ...

    def lost(self) -> list[int]:
        """Tokens of messages whose connection ended before they were acknowledged."""
        ...


class Publisher:
    """Sends what is in the outbox, and what could not be put there."""

    def __init__(self, outbox: Outbox, client: Client) -> None:
        self.problem: str | None = None
        """Why the outbox cannot be read, as long as it cannot; what is held in memory is sent nevertheless."""
        self._outbox, self._client = outbox, client
        self._after = 0
        """The row of the last message that was taken from the outbox."""
        self._held: deque[Outgoing] = deque()
        self._sent: dict[int, Outgoing] = {}
        """Not acknowledged yet, by token. Tokens rise: what was first taken by the client has a smaller one than what followed."""
        self._again: list[int] = []
        """Of these the ones to send again, in order."""
        self._newest: dict[str, int] = {}
        """The token of the last retained message of a topic."""
        self._token = 0
        self._delivered: dict[str, None] = {}

    @property
    def unacknowledged(self) -> int:
        """Messages that were sent and not acknowledged."""
        return len(self._sent)

    def hold(self, messages: Iterable[Outgoing]) -> None:
        """These, in this order, could not be stored: they are sent from memory, after what is stored. An empty one: all are stored.

        Called with everything that is not stored after each commit that fails, and with nothing after one that succeeds. Every message has
        an id of its own: one with the id of a delivered one is taken for that.
        """
        known = {message.id for message in self._sent.values()}
        self._held = deque(each for each in messages if each.id not in known and each.id not in self._delivered)

    def pump(self, most: int = 20) -> list[str]:
        """Send what can be sent, with at most `most` unacknowledged.

        Returns the ids of messages that the broker has, for `Changes.delivered`.
        """
        done = [self._sent.pop(token) for token in self._client.acknowledged() if token in self._sent]
        self._again = sorted({*self._again, *self._client.lost()} & self._sent.keys())
        while self._again:
            message = self._sent[self._again[0]]
            if self._newest.get(message.topic, 0) > self._again[0]:
                done.append(self._sent.pop(self._again[0]))  # a newer state was sent, which must stay the last
            elif not self._publish(self._again[0]):
                break
            del self._again[0]
        self._remember(done)
        if not self._again:
            self._send_waiting(most)
        return [message.id for message in done]

    def _send_waiting(self, most: int) -> None:
        """Send from the outbox, and then from memory."""
        try:
            while self._after < self._outbox.last_row and len(self._sent) < most:
                rows = self._outbox.waiting(self._after, most - len(self._sent))
                if not rows:
                    self._after = self._outbox.last_row
                for message in rows:
                    if not self._send(message):
                        return
                    self._after = message.row
            self.problem = None
        except StoreError as fault:
            self.problem = str(fault)
        while self._held and len(self._sent) < most and self._send(self._held[0]):
            self._held.popleft()

    def _send(self, message: Outgoing) -> bool:
        """Have the client take a message, unless it has it already."""
        if self._is_known(message):
            return True
        self._token += 1
        self._sent[self._token] = message
        if self._publish(self._token):
            if message.retain:
                self._newest[message.topic] = self._token
            return True
        del self._sent[self._token]
        return False

    def _publish(self, token: int) -> bool:
        message = self._sent[token]
        return self._client.publish(message.topic, message.payload, retain=message.retain, token=token)

    def _is_known(self, message: Outgoing) -> bool:
        """Whether it was sent or delivered."""
        return message.id in self._delivered or any(message.id == sent.id for sent in self._sent.values())

    def _remember(self, done: list[Outgoing]) -> None:
        self._delivered.update((message.id, None) for message in done)
        while len(self._delivered) > _REMEMBERED:
            del self._delivered[next(iter(self._delivered))]
