"""MQTT in and out: what the broker has for the gateway goes into the inbox, and what the gateway says goes to the broker.

One network thread connects, again and again for as long as it takes, and serves one connection after the other
(`mqtt_connection.Connection`). The gateway's thread only looks at queues: no call here waits for a network.

- **In.** A QoS 1 message is acknowledged to the broker when the gateway says that it is safe. What was not acknowledged when a connection
  ended comes again on the next; what still waits in the gateway, or was acknowledged too late, is recognised and not given out twice.
- **Out.** A publication becomes one of `acknowledged` or `lost`, and as long as one that was lost was not asked for, none is taken: so
  whoever publishes sends what comes again before what comes after it. One that the broker refuses is tried again from here, later and
  later, and what follows on its topic waits for it; other topics go on.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from edge_runtime.gateway.clock import monotonic
from edge_runtime.gateway.config import MQTT
from edge_runtime.gateway.inbox import Inbox
from edge_runtime.gateway.message import Message
from edge_runtime.gateway.mqtt_connection import Connection
from edge_runtime.gateway.mqtt_login import MESSAGE_LIMIT, Timing, login_of
from edge_runtime.gateway.mqtt_publication import Publication
from edge_runtime.gateway.mqtt_receipts import MOST_UNSAFE, Receipts
from edge_runtime.gateway.mqtt_refused import Refused
from edge_runtime.gateway.mqtt_socket import describe

if TYPE_CHECKING:
    from paho.mqtt.client import MQTTMessage

Log = Callable[..., None]
"""`log(name, **fields)`."""

UNDER_WAY = 100
"""Publications taken and not yet acknowledged."""


class MqttClient:
    """A `Source`, and what the publisher sends through.

    `log(name, **fields)` is called in the network thread, and `wake()` when something changed that the gateway's thread may want to
    know: a connection, an acknowledgement. `about` is what the status topic says beside `online`; `forgotten` are topic filters of an
    earlier configuration, to be removed from the session that the broker keeps.
    """

    def __init__(
        self,
        config: MQTT,
        name: str,
        subscriptions: Sequence[tuple[str, int]],
        inbox: Inbox,
        wake: Callable[[], None],
        log: Log,
        *,
        password: str | None = None,
        about: Mapping[str, Any] | None = None,
        forgotten: Sequence[str] = (),
        message_limit: int = MESSAGE_LIMIT,
        timing: Timing | None = None,
    ) -> None:
        self.is_connected = False
        self.is_subscribed = False
        """The broker has answered the subscriptions: what is sent from now on arrives here."""
        self.reconnects = 0
        """Connections after the first."""
        self.last_error: str | None = None
        """Why there is no connection, or why there was none last."""
        self.oversized = 0
        """Messages that were dropped because they are larger than the limit."""
        self._timing = timing or Timing()
        self._login = login_of(
            config,
            name,
            subscriptions,
            password=password,
            about=about,
            forgotten=forgotten,
            message_limit=message_limit,
            timing=self._timing,
        )
        self._message_limit = message_limit
        self._inbox = inbox
        self._wake = wake
        self._log = log
        self._receipts = Receipts()
        self._is_paused = False
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="mqtt", daemon=True)

        self._lock = threading.Lock()  # of all below
        self._connection: Connection | None = None
        self._connections = 0
        self._in_flight: dict[int, None] = {}  # tokens, in the order they were published
        self._acknowledged: list[int] = []
        self._refused = Refused(self._timing.first_wait, self._timing.longest_wait)
        self._lost: list[int] = []
        self._refusals: dict[str, str] = {}  # by topic or filter: why the broker does not take or give it

    # The gateway's thread

    @property
    def broker(self) -> str:
        """`host:port`."""
        return f"{self._login.host}:{self._login.port}"

    @property
    def problems(self) -> tuple[str, ...]:
        """What a person should know, a line each."""
        with self._lock:
            refusals = [f"the broker {self.broker} refuses {what}: {why}" for what, why in self._refusals.items()]
        if not self.is_connected and self.last_error is not None:
            refusals.insert(0, f"no connection to the broker {self.broker}: {self.last_error}")
        return tuple(refusals[:5])

    def start(self) -> None:
        """Begin to connect. Does not wait for it."""
        if self._login.tls is not None and not self._login.tls.verify:
            self._log("broker_not_verified", level="warning", broker=self.broker)
        self._thread.start()

    @property
    def repeated(self) -> int:
        """Messages that came again after a new connection, while the gateway still had them."""
        return self._receipts.repeated

    def pause(self) -> None:
        """Take no more messages: the broker keeps them. What was taken can still be acknowledged, and publications sent, until `stop`."""
        self._is_paused = True

    def stop(self) -> None:
        """Acknowledge and send what is under way, say goodbye, and end. Takes at most `timing.stop`."""
        self._stopping.set()
        with self._lock:
            connection = self._connection
        if connection is not None:
            connection.wake()
        if self._thread.is_alive():
            self._thread.join(self._timing.stop)

    def acknowledge(self, messages: Sequence[Message]) -> None:
        """These are safe. Each message has to come here sooner or later: the broker gives only so many that are not acknowledged."""
        receipts = [message.token for message in messages if message.token is not None]
        if not receipts:
            return
        self._receipts.safe(receipts)
        with self._lock:
            connection = self._connection
        if connection is not None:
            connection.hand_over(lambda on: self._receipts.acknowledge(on, receipts))

    def publish(self, topic: str, payload: bytes, *, retain: bool, token: int) -> bool:
        """Send it, QoS 1. False: there is no connection, too much is under way, or something lost was not asked for yet."""
        publication = Publication(topic, payload, retain, token)
        with self._lock:
            connection = self._connection
            if connection is None or self._lost or len(self._in_flight) - len(self._refused) >= UNDER_WAY:
                return False
            self._in_flight[token] = None
            if topic not in self._refused:
                connection.hand_over(lambda on: on.publish(publication))
            elif (replaced := self._refused.hold(publication)) is not None:
                self._done(replaced)
        return True

    def acknowledged(self) -> list[int]:
        """Tokens of the publications that the broker has acknowledged since the last call."""
        with self._lock:
            tokens, self._acknowledged = self._acknowledged, []
        return tokens

    def lost(self) -> list[int]:
        """Tokens, in order, of publications that were not acknowledged before their connection ended: they may have arrived, or not."""
        with self._lock:
            tokens, self._lost = self._lost, []
        return tokens

    # The network thread

    def _run(self) -> None:
        attempt = 0
        while not self._stopping.is_set():
            started = time.monotonic()
            error = self._serve_once()
            self._ended(error)
            if self._stopping.is_set():
                break
            wait = min(self._timing.first_wait * 2 ** min(attempt, 30), self._timing.longest_wait)
            # A connection that lasted was a good one; one that ends at once must not be tried at full speed.
            attempt = (
                0
                if time.monotonic() - started > max(wait, self._timing.first_wait) + self._timing.connect
                else attempt + 1
            )
            # Many gateways that lost one broker at the same moment come back at different ones.
            wait *= random.uniform(0.5, 1.0)
            self._log("broker_lost", level="warning", broker=self.broker, error=error, again_in_s=round(wait, 1))
            self._stopping.wait(wait)

    def _serve_once(self) -> str:
        try:
            return Connection(self._login, self).run(self._stopping)
        except Exception as error:  # noqa: BLE001 - sockets, TLS, DNS and a broker that talks nonsense raise what they like; the thread stays
            return describe(error)

    def _ended(self, error: str) -> None:
        with self._lock:
            self._connection = None
            self.is_connected = self.is_subscribed = False
            self.last_error = None if self._stopping.is_set() else error
            self._lost += self._in_flight
            self._in_flight.clear()
            self._refused.clear()
        self._wake()

    def connected(self, connection: Connection, *, is_session_present: bool) -> None:
        """The broker took the login."""
        self._receipts.begin(is_session_present=is_session_present)
        with self._lock:
            self._connection = connection
            self._connections += 1
            self.reconnects = self._connections - 1
            self._refusals.clear()
            self.is_connected = True
        self._log("broker_connected", broker=self.broker, session_kept=is_session_present)
        self._wake()

    @property
    def has_room(self) -> bool:
        """Whether more may be received before the gateway has acknowledged some."""
        return self._receipts.unsafe < MOST_UNSAFE

    def received(self, connection: Connection, message: MQTTMessage) -> None:
        """Put a message into the inbox, unless the gateway has it already."""
        arrived = monotonic()
        if self._is_paused:
            return
        if len(message.payload) > self._message_limit:
            self.oversized += 1
            self._log("message_too_large", level="warning", topic=message.topic, bytes=len(message.payload))
            if message.qos:
                connection.acknowledge(message.mid)
            return
        receipt = None
        if message.qos:
            receipt = self._receipts.take(connection, message)
            if receipt is None:
                return
        self._inbox.put(Message(self, message.topic, bytes(message.payload), arrived, receipt, message.retain))

    def answered(self, connection: Connection, publication: Publication, refusal: str | None) -> None:
        """The broker took the publication, or refused it."""
        following = None
        with self._lock:
            if refusal is None:
                self._refusals.pop(publication.topic, None)
                self._done(publication)
                following = self._refused.accept(publication)
            else:
                self._refusals[publication.topic] = refusal
                self._refused.refuse(publication, time.monotonic())
        if refusal is not None:
            self._log("publication_refused", level="warning", topic=publication.topic, error=refusal)
        if following is not None:
            connection.hand_over(lambda on: on.publish(following))
        self._wake()

    def _done(self, publication: Publication) -> None:
        if publication.token is not None:
            self._in_flight.pop(publication.token, None)
            self._acknowledged.append(publication.token)

    def passed(self, connection: Connection, now: float) -> None:
        """Try again what was refused, where it is time."""
        with self._lock:
            due = self._refused.due(now)
        for publication in due:
            connection.publish(publication)

    def subscribed(self, refusals: dict[str, str]) -> None:
        """The broker sends what comes on the topics from now on, but for those that it refuses."""
        with self._lock:
            self._refusals.update((f"the subscription to {topic}", refusal) for topic, refusal in refusals.items())
        for topic, refusal in refusals.items():
            self._log("subscription_refused", level="error", topic=topic, error=refusal)
        self.is_subscribed = True
        self._wake()
