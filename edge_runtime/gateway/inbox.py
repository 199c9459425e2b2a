"""Where the sources put messages and the gateway's thread takes them: bounded, and fair to the machines that do not flood it."""

from __future__ import annotations

import heapq
import threading
import time
from collections import Counter
from collections.abc import Callable, Hashable
from typing import Any

from edge_runtime.gateway.message import Message

OVERHEAD_BYTES = 400
"""What a waiting message takes beside its payload and topic, about."""

QUIET_PART = 0.25
"""Gathering ends when nothing came for this part of its time."""


class Inbox:
    """Messages in the order they came, at most `limit` of them and `limit_bytes` in all.

    Many threads put, one takes. When there is no room, the topic that takes most of it loses its newest message, or its new one is
    refused: a machine that sends a thousand times as often as it should costs itself readings, and no other. What is lost that way is
    counted by `group_of(topic)`, and acknowledged to its source, which would otherwise keep a place for it for ever.

    Room is counted in bytes, and a small message takes `limit_bytes / limit` of them: so one measure holds both limits.
    """

    def __init__(
        self, limit: int = 20_000, limit_bytes: int = 64 * 2**20, group_of: Callable[[str], Hashable] = lambda topic: ""
    ) -> None:
        self.dropped = 0
        self.dropped_by: Counter[Hashable] = Counter()
        """How many were dropped, by `group_of` their topic."""
        self._room = limit_bytes // limit * limit
        self._smallest = limit_bytes // limit
        self._group_of = group_of
        lock = threading.Lock()
        self._arrival = threading.Condition(lock)
        self._emptied = threading.Condition(lock)
        self._lock = lock
        self._is_awaited = False
        self._is_woken = False
        self._clear()

    def _clear(self) -> None:
        self._messages: list[Message | None] = []
        self._count = 0
        self._taken = 0
        self._kept: set[str] = set()
        self._shares: _Shares | None = None  # who takes how much is of interest only from when the inbox is full

    def __len__(self) -> int:
        """Messages waiting."""
        return self._count

    def put(self, message: Message, *, is_kept: bool = False) -> bool:
        """Add a message. False: there was no room, and it is dropped and counted.

        One that `is_kept` is always taken, and never dropped for another: of a source that waits for room itself.
        """
        size = self._size(message)
        dropped: list[Message] = []
        with self._lock:
            if is_kept:
                self._kept.add(message.topic)
            elif self._taken + size > self._room:
                dropped = self._make_room(message, size)
            is_taken = not any(lost is message for lost in dropped)
            if is_taken:
                self._add(message, size)
        for lost in dropped:  # outside the lock: the source takes its own
            if lost.token is not None:
                lost.source.acknowledge([lost])
        return is_taken

    def wait_for_room(self, timeout_s: float) -> bool:
        """Wait until less than half of the room is taken, at most `timeout_s`; whether it is. The other half is for those that cannot wait."""
        with self._lock:
            return self._emptied.wait_for(lambda: self._taken < self._room // 2, timeout_s)

    def take(self, wait_s: float, gather_s: float, most: int | None = None) -> list[Message]:
        """The messages waiting, in the order they came, at most so many; None: all.

        Waits up to `wait_s` for the first, then up to `gather_s` for more, less where none follows. `wake` ends both.
        """
        with self._lock:
            self._is_awaited = True
            self._arrival.wait_for(lambda: self._count or self._is_woken, wait_s)
            self._is_awaited = False  # from here on a message does not wake this thread: it looks four times
            end = time.monotonic() + gather_s
            seen = 0
            while (
                self._count > seen
                and self._count < (most or self._room)
                and not self._is_woken
                and self._taken < self._room // 2
            ):
                left = end - time.monotonic()
                if left <= 0:
                    break
                seen = self._count
                self._arrival.wait(min(left, gather_s * QUIET_PART))
            self._is_woken = False
            messages = self._messages
            if self._shares is not None:
                messages = [message for message in messages if message is not None]
            kept, taken = self._kept, self._taken
            self._clear()
            if most is not None and len(messages) > most:
                rest: list[Any] = messages[most:]
                self._messages, self._count, self._kept = rest, len(rest), kept
                self._taken = taken - sum(self._size(message) for message in messages[:most] if message is not None)
            self._emptied.notify_all()
        return messages[:most]  # type: ignore[return-value]

    def wake(self) -> None:
        """Let `take` return at once, this time or the next."""
        with self._lock:
            self._is_woken = True
            self._arrival.notify()

    def _size(self, message: Message) -> int:
        return max(self._smallest, len(message.payload) + len(message.topic) + OVERHEAD_BYTES)

    def _add(self, message: Message, size: int) -> None:
        if self._shares is not None and message.topic not in self._kept:
            self._shares.add(message.topic, len(self._messages), size)
        self._messages.append(message)
        self._count += 1
        self._taken += size
        if self._is_awaited:
            self._arrival.notify()

    def _make_room(self, message: Message, size: int) -> list[Message]:
        """Those that give way to the new one, or the new one itself."""
        if self._shares is None or len(self._messages) > 4 * self._count + 1000:
            self._share_out()
        shares = self._shares
        assert shares is not None
        dropped: list[Message] = []
        while self._taken + size > self._room:
            largest = shares.largest()
            if largest is None or shares.of(message.topic) + size > shares.of(largest):
                dropped.append(message)
                break
            place = shares.remove_newest(largest)
            given = self._messages[place]
            assert given is not None
            self._messages[place] = None
            self._count -= 1
            self._taken -= self._size(given)
            dropped.append(given)
        self.dropped += len(dropped)
        self.dropped_by.update(self._group_of(lost.topic) for lost in dropped)
        return dropped

    def _share_out(self) -> None:
        self._messages = [message for message in self._messages if message is not None]
        self._shares = _Shares()
        for place, message in enumerate(self._messages):
            assert message is not None
            if message.topic not in self._kept:
                self._shares.add(message.topic, place, self._size(message))


class _Shares:
    """How much of the room each topic takes, and which takes most."""

    def __init__(self) -> None:
        self._places: dict[str, list[tuple[int, int]]] = {}
        self._taken: dict[str, int] = {}
        self._order: list[tuple[int, str]] = []
        """A heap of what topics once took, negative; those that take something else now are passed over."""

    def of(self, topic: str) -> int:
        return self._taken.get(topic, 0)

    def add(self, topic: str, place: int, size: int) -> None:
        self._places.setdefault(topic, []).append((place, size))
        self._set(topic, self.of(topic) + size)

    def remove_newest(self, topic: str) -> int:
        place, size = self._places[topic].pop()
        self._set(topic, self.of(topic) - size)
        return place

    def largest(self) -> str | None:
        while self._order:
            taken, topic = self._order[0]
            if -taken == self.of(topic) and taken:
                return topic
            heapq.heappop(self._order)
        return None

    def _set(self, topic: str, taken: int) -> None:
        self._taken[topic] = taken
        heapq.heappush(self._order, (-taken, topic))
