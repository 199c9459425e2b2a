"""The publisher: every message at least once, first in order, and nothing deleted before the broker has it."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest
from effort import examples
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from stored import START, SetClock, raised

from edge_runtime.errors import StoreError
from edge_runtime.gateway.config import Storage
from edge_runtime.gateway.publisher import Publisher
from edge_runtime.gateway.store import Store
from edge_runtime.gateway.store_rows import Changes, Outgoing


class Broker:
    """What reached it, in order, and the retained messages it keeps."""

    def __init__(self) -> None:
        self.received: list[bytes] = []
        self.retained: dict[str, bytes] = {}


class ScriptedClient:
    """A client whose connection does what the test says. What is under way reaches the broker before its acknowledgement comes back."""

    def __init__(self, broker: Broker) -> None:
        self.broker = broker
        self.is_connected = True
        self.room = 1000
        self.wire: list[tuple[int, str, bytes, bool]] = []
        self.unanswered: list[int] = []
        self._acknowledged: list[int] = []
        self._lost: list[int] = []

    def publish(self, topic: str, payload: bytes, *, retain: bool, token: int) -> bool:
        if not self.is_connected or self._lost or len(self.wire) + len(self.unanswered) >= self.room:
            return False
        self.wire.append((token, topic, payload, retain))
        return True

    def acknowledged(self) -> list[int]:
        told, self._acknowledged = self._acknowledged, []
        return told

    def lost(self) -> list[int]:
        told, self._lost = self._lost, []
        return told

    def arrive(self, count: int = 1000) -> None:
        """The broker receives what is under way."""
        for token, topic, payload, retain in self.wire[:count]:
            self.broker.received.append(payload)
            if retain:
                self.broker.retained[topic] = payload
            self.unanswered.append(token)
        del self.wire[:count]

    def answer(self, count: int = 1000) -> None:
        """Its acknowledgements come back."""
        self._acknowledged += self.unanswered[:count]
        del self.unanswered[:count]

    def disconnect(self) -> None:
        """What is under way, either way, never arrives; it is told when there is a connection again."""
        self.is_connected = False
        self._lost += [token for token, *_ in self.wire] + self.unanswered
        self.wire, self.unanswered = [], []


class ListOutbox:
    """An outbox in memory."""

    def __init__(self, *messages: Outgoing) -> None:
        self.rows = [each._replace(row=number) for number, each in enumerate(messages, 1)]
        self.is_broken = False

    @property
    def last_row(self) -> int:
        return self.rows[-1].row if self.rows else 0

    def waiting(self, after: int = 0, limit: int = -1) -> list[Outgoing]:
        if self.is_broken:
            raise StoreError("store.db: cannot be read: disk I/O error")
        return [each for each in self.rows if each.row > after][:limit]


def named(*names: str) -> list[Outgoing]:
    """Messages whose payload is their id."""
    return [Outgoing(name, "alerts", name.encode()) for name in names]


@pytest.fixture
def broker() -> Broker:
    return Broker()


@pytest.fixture
def client(broker: Broker) -> ScriptedClient:
    return ScriptedClient(broker)


def test_twenty_at_a_time_in_order(client: ScriptedClient, broker: Broker) -> None:
    """The next go out as acknowledgements come in, which are returned once."""
    names = [f"{number:02}" for number in range(50)]
    publisher = Publisher(ListOutbox(*named(*names)), client)
    assert publisher.pump() == []
    assert publisher.pump() == []
    assert len(client.wire) == publisher.unacknowledged == 20
    client.arrive()
    client.answer(7)
    assert publisher.pump() == names[:7]
    assert len(client.wire) == 7
    assert publisher.pump(30) == []
    assert len(client.wire) == 17
    for _ in range(5):
        client.arrive()
        client.answer()
        publisher.pump()
    assert [payload.decode() for payload in broker.received] == names


def test_what_the_client_does_not_take_waits(client: ScriptedClient, broker: Broker) -> None:
    """Without a connection, or with too much under way: nothing is skipped."""
    client.is_connected = False
    publisher = Publisher(ListOutbox(*named(*"abcde")), client)
    assert publisher.pump() == []
    assert publisher.unacknowledged == 0
    client.is_connected, client.room = True, 2
    for _ in range(10):
        publisher.pump()
        client.arrive()
        client.answer()
    assert broker.received == [b"a", b"b", b"c", b"d", b"e"]


def test_what_was_lost_is_sent_again_before_anything_new(client: ScriptedClient, broker: Broker) -> None:
    """In order, whatever order it is told in; an acknowledgement that comes twice counts once."""
    publisher = Publisher(ListOutbox(*named(*"abcdef")), client)
    publisher.pump(4)
    client.arrive(2)
    client.answer(1)
    client.disconnect()
    client._lost.reverse()
    assert publisher.pump(4) == ["a"]
    assert client.wire == []
    client.is_connected = True
    publisher.pump(4)
    assert [payload for _, _, payload, _ in client.wire] == [b"b", b"c", b"d", b"e"]
    client.arrive()
    client._acknowledged += client.unanswered
    client.answer()
    assert publisher.pump() == ["b", "c", "d", "e"]
    assert broker.received == [b"a", b"b", b"b", b"c", b"d", b"e"]


def test_what_cannot_be_stored_is_sent_from_memory(client: ScriptedClient, broker: Broker) -> None:
    """After what is stored; once it is stored as well, it is not sent a second time."""
    outbox = ListOutbox(*named("a", "b"))
    publisher = Publisher(outbox, client)
    publisher.hold(named("c", "d"))
    publisher.pump(3)
    client.arrive()
    client.answer(1)
    publisher.hold(named("c", "d", "e"))  # the next commit failed as well
    assert publisher.pump(3) == ["a"]
    outbox.rows += [each._replace(row=number) for number, each in enumerate(named("c", "d", "e", "f"), 3)]
    publisher.hold([])
    for _ in range(5):
        client.arrive()
        client.answer()
        publisher.pump()
    assert broker.received == [b"a", b"b", b"c", b"d", b"e", b"f"]


def test_an_outbox_that_cannot_be_read(client: ScriptedClient, broker: Broker) -> None:
    """That is a problem as long as it lasts; what is in memory goes out meanwhile, and the rest once it can be read."""
    outbox = ListOutbox(*named("a", "b"))
    outbox.is_broken = True
    publisher = Publisher(outbox, client)
    publisher.hold(named("c"))
    publisher.pump()
    assert publisher.problem == "store.db: cannot be read: disk I/O error"
    client.arrive()
    assert broker.received == [b"c"]
    outbox.is_broken = False
    publisher.pump()
    client.arrive()
    assert publisher.problem is None
    assert broker.received == [b"c", b"a", b"b"]


def test_an_older_state_does_not_follow_a_newer(client: ScriptedClient, broker: Broker) -> None:
    """One that was lost is not sent again once a newer one of its topic was; it counts as delivered."""
    old, new, alert = (
        Outgoing("1", "pump", b"old", retain=True),
        Outgoing("2", "pump", b"new", retain=True),
        *named("a"),
    )
    publisher = Publisher(ListOutbox(old, alert, new), client)
    publisher.pump()
    client.disconnect()
    client.is_connected = True
    assert publisher.pump() == ["1"]
    client.arrive()
    assert broker.received == [b"a", b"new"]
    assert broker.retained == {"pump": b"new"}


class Delivery(RuleBasedStateMachine):
    """A gateway that raises alerts and states, whose connection, disk and process fail at any moment."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.broker = Broker()
        self.number = 0
        self.said: list[str] = []
        """Ids of alerts' messages that were committed or handed to the publisher, in order."""
        self.state = b""
        self.is_disk_full = False
        self.start()

    def start(self) -> None:
        """A process begins."""
        self.store = Store(str(self.folder), Storage(folder=str(self.folder)), SetClock())
        self.client = ScriptedClient(self.broker)
        self.publisher = Publisher(self.store, self.client)
        self.changes = Changes()

    def commit(self) -> None:
        """As the gateway does: what fails is held, and tried again with what follows."""
        if self.is_disk_full:
            self.publisher.hold(self.changes.outbox)
            return
        self.store.commit(self.changes)
        self.changes = Changes()
        self.publisher.hold([])

    def write(self, changes: Changes) -> None:
        self.changes.add(changes)
        self.commit()

    @rule(alerts=st.integers(0, 12), has_state=st.booleans(), most=st.integers(1, 20))
    def tick(self, alerts: int, has_state: bool, most: int) -> None:
        """Alerts and a state, which are committed, and then sent."""
        changes = Changes()
        for _ in range(alerts):
            self.number += 1
            changes.add(raised(f"{self.number:05}", START, None))
            self.said.append(f"{self.number:05}-raised")
        if has_state:
            self.number += 1
            self.state = b"state %05d" % self.number
            changes.outbox.append(Outgoing(f"state-{self.number}", "pump", self.state, retain=True))
        self.write(changes)
        self.pump(most)

    @rule(arrive=st.integers(0, 20), answer=st.integers(0, 20))
    def network(self, arrive: int, answer: int) -> None:
        """Some of what is under way arrives, some is answered, and the gateway hears of it."""
        self.client.arrive(arrive)
        self.client.answer(answer)
        self.pump(20)

    @rule(room=st.integers(0, 20))
    def disconnect(self, room: int) -> None:
        """And from the next connection on the client takes no more than `room` at once."""
        self.client.disconnect()
        self.client.room = room

    @rule()
    def connect(self) -> None:
        self.client.is_connected = True

    @rule()
    def fill_or_free_the_disk(self) -> None:
        self.is_disk_full = not self.is_disk_full
        self.commit()

    @precondition(lambda self: not self.is_disk_full)
    @rule()
    def crash(self) -> None:
        """With an empty memory: what was committed is what there is. The alerts of the journal are raised again."""
        self.store.close()
        self.start()
        again = Changes()
        for identity in self.said[-5:]:
            again.add(raised(identity.removesuffix("-raised"), START, None))
        self.write(again)

    def pump(self, most: int) -> None:
        changes = Changes()
        changes.delivered += self.publisher.pump(most)
        self.write(changes)

    @invariant()
    def nothing_is_deleted_before_the_broker_has_it(self) -> None:
        waiting = {each.id for each in self.store.waiting()} | {each.id for each in self.changes.outbox}
        received = {payload_id(payload) for payload in self.broker.received}
        assert set(self.said) <= waiting | received

    @invariant()
    def what_is_first_received_is_in_order(self) -> None:
        first = list(dict.fromkeys(payload_id(payload) for payload in self.broker.received if payload.startswith(b"{")))
        assert first == self.said[: len(first)]

    def teardown(self) -> None:
        """In the end everything is delivered, and the broker retains the newest state."""
        self.is_disk_full = False
        self.client.is_connected, self.client.room = True, 1000
        self.commit()
        for _ in range(2 * self.number + 10):
            self.pump(20)
            self.client.arrive()
            self.client.answer()
        assert self.store.waiting() == []
        assert {payload_id(payload) for payload in self.broker.received if payload.startswith(b"{")} == set(self.said)
        assert self.broker.retained.get("pump", b"") == self.state
        self.what_is_first_received_is_in_order()
        self.store.close()
        shutil.rmtree(self.folder)


def payload_id(payload: bytes) -> str:
    """Of an alert's message."""
    return payload.split(b'"')[3].decode() if payload.startswith(b"{") else payload.decode()


Delivery.TestCase.settings = settings(max_examples=examples(200), stateful_step_count=40, deadline=None)
TestDelivery = Delivery.TestCase
