"""What comes in: a `Message` from a source, and the `Decoded` readings that are in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol


class Message(NamedTuple):
    """What a source received, not yet looked into."""

    source: Source
    topic: str
    """MQTT: the topic. Lines: the group's own `lines`."""
    payload: bytes
    arrived: float
    """By the monotonic clock, seconds."""
    token: Any = None
    """What the source needs to acknowledge it."""
    is_retained: bool = False
    """Retained by the broker: an old reading, handed out again at every subscription."""


class Source(Protocol):
    """Puts messages into an inbox, from a thread of its own."""

    def start(self) -> None:
        """Begin to receive. Does not wait for a broker, and does not fail where there is none."""
        ...

    def acknowledge(self, messages: Sequence[Message]) -> None:
        """These messages of its own, in the order they came, are safe: the source need not give them again."""
        ...

    def pause(self) -> None:
        """Receive no more. What was received can still be acknowledged."""
        ...

    def stop(self) -> None:
        """Finish what is under way, and end."""
        ...


class Decoded(NamedTuple):
    """One reading of one machine."""

    machine: str
    time: int | None
    """Microseconds since 1970 UTC; None: the time of arrival."""
    values: tuple[float, ...]
    """One number a channel of the bundle, in its order and units; NaN where missing."""
