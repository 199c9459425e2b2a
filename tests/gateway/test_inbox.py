"""The inbox: bounded, in order, fair, and idle while nothing comes."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_runtime.gateway.inbox import Inbox
from edge_runtime.gateway.message import Message


class Ledger:
    """A source that remembers what was acknowledged."""

    def __init__(self) -> None:
        self.acknowledged: list[Message] = []

    def start(self) -> None: ...

    def acknowledge(self, messages: Sequence[Message]) -> None:
        self.acknowledged += messages

    def pause(self) -> None: ...

    def stop(self) -> None: ...


def message(topic: str, number: int, source: Ledger | None = None, size: int = 0) -> Message:
    """One that is told apart by its number."""
    return Message(source or Ledger(), topic, b"%06d" % number + b"x" * size, 0.0, token=number)


def taken(inbox: Inbox) -> list[tuple[str, int]]:
    """Topics and numbers of all that waits."""
    return [(each.topic, each.token) for each in inbox.take(0, 0)]


def test_messages_come_out_in_the_order_they_went_in() -> None:
    """Of all topics and sources, whatever waits."""
    inbox = Inbox()
    for number in range(10):
        assert inbox.put(message(f"t{number % 3}", number))
    assert len(inbox) == 10
    assert taken(inbox) == [(f"t{number % 3}", number) for number in range(10)]
    assert len(inbox) == 0
    assert taken(inbox) == []


def test_a_flooding_topic_costs_itself_messages_and_no_other() -> None:
    """The flood is cut, what comes from others before and after it is there, and the loss is counted by group."""
    inbox = Inbox(limit=100, group_of=lambda topic: topic.split("/")[0])
    inbox.put(message("quiet/a", 0))
    for number in range(1000):
        inbox.put(message("loud/x", number))
    for number in range(40):
        assert inbox.put(message(f"quiet/{number}", number))
    out = taken(inbox)
    assert len(out) == 100
    assert [topic for topic, _ in out if topic != "loud/x"] == ["quiet/a"] + [f"quiet/{number}" for number in range(40)]
    # The loud one's newest went: what is left of it has no hole.
    assert [number for topic, number in out if topic == "loud/x"] == list(range(59))
    assert inbox.dropped == 941
    assert inbox.dropped_by == {"loud": 941}


def test_what_is_dropped_is_acknowledged() -> None:
    """A broker that waits for it would otherwise hold back others."""
    source = Ledger()
    inbox = Inbox(limit=3)
    for number in range(5):
        inbox.put(message("loud", number, source))
    assert inbox.put(message("quiet", 9, source))
    assert [each.token for each in source.acknowledged] == [3, 4, 2]


def test_bytes_are_bounded() -> None:
    """Large messages fill it before there are many, and one that is larger than all is refused without costing others a message."""
    inbox = Inbox(limit=1000, limit_bytes=100_000)
    assert [inbox.put(message("large", number, size=30_000)) for number in range(4)] == [True, True, True, False]
    assert inbox.put(message("small", 9))
    assert not inbox.put(message("huge", 0, size=200_000))
    assert taken(inbox) == [("large", 0), ("large", 1), ("large", 2), ("small", 9)]


def test_kept_messages_are_not_dropped_for_others() -> None:
    """Those of a source that waits for room itself: they would not be given again."""
    inbox = Inbox(limit=10)
    for number in range(8):
        inbox.put(message("file", number), is_kept=True)
    for number in range(30):
        inbox.put(message("loud", number))
    assert taken(inbox) == [("file", number) for number in range(8)] + [("loud", 0), ("loud", 1)]


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3000)), max_size=200))
def test_limits_hold_and_order_stays_whatever_comes(arrivals: list[tuple[int, int]]) -> None:
    """Each topic's messages come out as a part of what went in, in order; all that is not there is counted and acknowledged."""
    source = Ledger()
    inbox = Inbox(limit=20, limit_bytes=40_000)
    for number, (topic, size) in enumerate(arrivals):
        inbox.put(message(f"t{topic}", number, source, size))
        assert len(inbox) <= 20
    out = [number for _, number in taken(inbox)]
    assert out == sorted(out)
    assert len(out) + inbox.dropped == len(arrivals)
    assert sorted(out + [each.token for each in source.acknowledged]) == list(range(len(arrivals)))


@given(st.lists(st.integers(0, 6), min_size=60, max_size=300))
def test_no_topic_loses_while_another_holds_two_more(topics: list[int]) -> None:
    """Equal messages: whoever lost one has no fewer than the largest less one, unless it sent no more."""
    inbox = Inbox(limit=50)
    sent: dict[str, int] = {}
    for number, topic in enumerate(topics):
        sent[f"t{topic}"] = sent.get(f"t{topic}", 0) + 1
        inbox.put(message(f"t{topic}", number))
    left: dict[str, int] = dict.fromkeys(sent, 0)
    for topic_name, _ in taken(inbox):
        left[topic_name] += 1
    for topic_name, count in left.items():
        assert count == sent[topic_name] or count >= max(left.values()) - 1


def test_a_long_stall_under_a_flood_does_not_grow() -> None:
    """What is remembered of messages that were dropped for others is forgotten too."""
    inbox = Inbox(limit=50)
    for number in range(20_000):
        inbox.put(message(f"t{number % 400}" if number % 2 else f"u{number // 100}", number))
    assert len(inbox) == 50
    assert len(inbox._messages) < 2000


def test_waiting_for_the_first_costs_no_time_of_the_processor() -> None:
    """It sleeps until something comes or the time is over."""
    inbox = Inbox()
    before = time.thread_time()
    assert inbox.take(0.3, 0.01) == []
    assert time.thread_time() - before < 0.05


def test_take_gathers_what_follows_and_ends_early_where_nothing_does() -> None:
    """One message is not held back for the whole time; a stream is taken together."""
    inbox = Inbox()
    inbox.put(message("t", 0))
    started = time.monotonic()
    assert len(inbox.take(60, 20)) == 1  # a quarter of the time to gather
    assert time.monotonic() - started < 15

    sender = threading.Timer(0.1, lambda: [inbox.put(message("t", number)) for number in range(3)])
    inbox.put(message("t", 9))
    sender.start()
    assert len(inbox.take(60, 4.0)) == 4
    sender.join()


@pytest.mark.parametrize("waiting", [0, 1])
def test_wake_ends_waiting_and_gathering(waiting: int) -> None:
    """From another thread, and also when it came before `take`."""
    inbox = Inbox()
    for number in range(waiting):
        inbox.put(message("t", number))
    inbox.wake()
    assert len(inbox.take(60, 60)) == waiting
    for number in range(waiting):
        inbox.put(message("t", number))
    waker = threading.Timer(0.1, inbox.wake)
    waker.start()
    assert len(inbox.take(60, 60)) == waiting
    waker.join()


def test_a_source_that_waits_for_room_goes_on_when_it_is_taken() -> None:
    """Half of the room is for those that cannot wait."""
    inbox = Inbox(limit=10)
    assert inbox.wait_for_room(0)
    for number in range(5):
        inbox.put(message("file", number), is_kept=True)
    assert not inbox.wait_for_room(0.01)
    waited: list[bool] = []
    source = threading.Thread(target=lambda: waited.append(inbox.wait_for_room(60)))
    source.start()
    inbox.take(0, 0)
    source.join()
    assert waited == [True]


@pytest.mark.parametrize("has_flooded", [False, True])
def test_at_most_so_many_are_taken_and_the_rest_stays(has_flooded: bool) -> None:
    """In order, whatever was dropped before, and the room that was taken is free again."""
    inbox = Inbox(limit=10 if has_flooded else 100)
    for number in range(12):
        inbox.put(message(f"t{number % 3}", number))
    whole = [each.token for each in inbox.take(0, 0, 4)]
    inbox.put(message("t0", 12))
    while waiting := inbox.take(0, 0, 4):
        assert len(waiting) <= 4
        whole += [each.token for each in waiting]
    assert whole == sorted(whole)
    assert len(whole) == 13 - inbox.dropped
    assert all(inbox.put(message("t", number)) for number in range(10))  # as much as at first
