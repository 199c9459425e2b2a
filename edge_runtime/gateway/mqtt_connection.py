"""One connection to a broker, from its first packet to its end: paho's protocol, and a loop around it that does not end by surprise.

A new paho client is made for each connection, so nothing of an old one (packets half sent, ids of messages, publications that paho
would send again in an order of its own) reaches into the next. All of it runs in the network thread; other threads only `hand_over`.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import ssl
import time
from collections import deque
from collections.abc import Callable, Sequence
from threading import Event
from typing import TYPE_CHECKING, Any, Protocol

from edge_runtime.gateway.mqtt_login import Login
from edge_runtime.gateway.mqtt_publication import Publication, unfit_topic
from edge_runtime.gateway.mqtt_socket import Pieces, describe, new_client, open_socket

if TYPE_CHECKING:
    from paho.mqtt.client import Client, MQTTMessage

TICK_S = 1.0
"""How often an idle connection looks whether it is alive."""

AT_A_TIME = 100
"""Packets read before it is looked whether something is to be sent."""

IN_FLIGHT = 20
"""Publications sent and not acknowledged; fewer if the broker says so. What follows waits its turn."""

SUBSCRIPTIONS_AT_ONCE = 8
"""In one packet: as many as AWS IoT takes."""


LINGER_S = 0.002
"""Before the network is looked at again after it was read. At 2,000 messages a second to wake up for each of them costs as much as a
quarter of what is done for it."""


class Listener(Protocol):
    """Who is told, in the network thread."""

    @property
    def has_room(self) -> bool:
        """Whether messages may come. While they may not, the network is not read, and pushes back."""
        ...

    def connected(self, connection: Connection, *, is_session_present: bool) -> None:
        """The broker took the login."""
        ...

    def received(self, connection: Connection, message: MQTTMessage) -> None:
        """A message came."""
        ...

    def answered(self, connection: Connection, publication: Publication, refusal: str | None) -> None:
        """The broker took the publication; or not, and why."""
        ...

    def subscribed(self, refusals: dict[str, str]) -> None:
        """The broker sends what comes on the topics from now on, but for those that it refuses."""
        ...

    def passed(self, connection: Connection, now: float) -> None:
        """Time has passed: called once a second at least."""
        ...


class Connection:
    """Made, `run`, and done with."""

    def __init__(self, login: Login, listener: Listener) -> None:
        self._login = login
        self._listener = listener
        self._is_accepted = False
        self._end: str | None = None
        self._jobs: deque[Callable[[Connection], None]] = deque()
        self._packet_limit = 2**28
        self._unanswered: dict[int, Publication] = {}
        self._in_flight = IN_FLIGHT
        self._waiting: deque[Publication] = deque()
        self._answered_at = 0.0  # or since when there is something to answer
        self._subscribing: dict[int, Sequence[str]] = {}
        self._refusals: dict[str, str] = {}
        self._pieces = Pieces()
        self._client = self._new_client()
        self._wake_in, self._wake_out = socket.socketpair()
        self._wake_in.setblocking(False)
        self._wake_out.setblocking(False)

    def run(self, stopping: Event) -> str:
        """Connect, and serve the connection until it ends, or `stopping` is set. Why it ended.

        Raises what the system, TLS or paho raise when there is none.
        """
        login = self._login
        try:
            self._client.connect(
                login.host,
                login.port,
                login.keepalive_s,
                **({"clean_start": False, "properties": self._connect_properties()} if login.version == "5" else {}),
            )
            return self._serve(stopping)
        finally:
            self._close()

    def hand_over(self, job: Callable[[Connection], None]) -> None:
        """Have it done in the network thread, in order. From any thread; never waits."""
        self._jobs.append(job)
        self.wake()

    def wake(self) -> None:
        """Look at the jobs, and whether to stop."""
        with contextlib.suppress(OSError):  # so many are in it that it wakes anyway, or the connection has ended
            self._wake_out.send(b"x")

    def acknowledge(self, mid: int) -> None:
        """The message is safe here. In the network thread."""
        self._client.ack(mid, 1)

    def publish(self, publication: Publication) -> None:
        """Send it, and tell the listener of the answer. In the network thread."""
        refusal = unfit_topic(publication.topic)
        if (size := len(publication.payload) + 4 * len(publication.topic) + 16) > self._packet_limit:
            refusal = f"it has {size} bytes, and the broker takes {self._packet_limit}"
        if (
            refusal is not None
        ):  # sent all the same, the broker would end the connection, and the next one, and the next
            self._listener.answered(self, publication, refusal)
            return
        if len(self._unanswered) >= self._in_flight:
            self._waiting.append(publication)
            return
        info = self._client.publish(publication.topic, publication.payload, 1, publication.retain)
        if not self._unanswered:
            self._answered_at = time.monotonic()
        self._unanswered[info.mid] = publication

    # The loop

    def _serve(self, stopping: Event) -> str:
        sock = self._client.socket()
        accept_by = time.monotonic() + self._login.connect_timeout_s
        with selectors.DefaultSelector() as selector:
            selector.register(self._wake_in, selectors.EVENT_READ)
            if sock is not None:
                selector.register(sock, selectors.EVENT_READ)
            while self._end is None and sock is not None and self._client.socket() is sock:
                if stopping.is_set():
                    return self._say_goodbye(selector, sock)
                self._step(selector, sock, TICK_S)
                now = time.monotonic()
                if not self._is_accepted and now > accept_by:
                    return f"no answer to the login within {self._login.connect_timeout_s:g} s"
                self._listener.passed(self, now)
                if self._unanswered and now > self._answered_at + self._login.answer_timeout_s:
                    return f"no publication is acknowledged within {self._login.answer_timeout_s:g} s"
        return self._end or "the connection was lost"

    def _step(self, selector: selectors.BaseSelector, sock: Any, timeout_s: float) -> None:
        client = self._client
        reads = not self._is_accepted or self._listener.has_room
        events = (selectors.EVENT_READ if reads else 0) | (selectors.EVENT_WRITE if client.want_write() else 0)
        _watch(selector, sock, events)
        ready = selector.select(0 if reads and self._has_more(sock) else timeout_s)
        if any(key.fileobj is self._wake_in for key, _ in ready):
            self._wake_in.recv(65_536)
        if reads and (
            self._has_more(sock) or any(key.fileobj is sock and mask & selectors.EVENT_READ for key, mask in ready)
        ):
            client.loop_read()
            for _ in range(AT_A_TIME):
                if not self._pieces or client.socket() is not sock or not self._listener.has_room:
                    break
                client.loop_read()
        # What was received comes before what is sent: a broker may answer and hang up, and sending then ends the connection unread.
        if self._is_accepted:
            while self._jobs and client.socket() is sock:
                self._jobs.popleft()(self)
        if client.want_write():
            client.loop_write()
        client.loop_misc()
        if self._is_accepted and ready and not (self._jobs or client.want_write() or (reads and self._has_more(sock))):
            time.sleep(LINGER_S)

    def _has_more(self, sock: Any) -> bool:
        """Whether something was received that the selector does not see: it lies in the buffer here, or in that of TLS."""
        return bool(self._pieces) or (isinstance(sock, ssl.SSLSocket) and sock.fileno() >= 0 and sock.pending() > 0)

    def _say_goodbye(self, selector: selectors.BaseSelector, sock: Any) -> str:
        """What is to be sent is sent, the status says that the gateway is off, and the broker is told that this is meant."""
        if self._is_accepted:
            self.publish(Publication(self._login.status_topic, self._login.offline, True, None))
            by = time.monotonic() + 1.0
            while (self._unanswered or self._client.want_write()) and self._client.socket() is sock:
                if (left := by - time.monotonic()) <= 0:
                    break
                self._step(selector, sock, left)
        self._client.disconnect()
        return "stopped"

    def _close(self) -> None:
        for callback in ("on_connect", "on_message", "on_publish", "on_subscribe", "on_disconnect"):
            setattr(self._client, callback, None)  # they hold this object, which holds the client
        sock = self._client.socket()
        if sock is not None:
            sock.close()
        self._wake_in.close()
        self._wake_out.close()

    # paho

    def _new_client(self) -> Client:
        login = self._login
        client = new_client(
            login.client_id,
            login.version,
            self._pieces,
            lambda: open_socket(login.host, login.port, login.tls, login.connect_timeout_s),
        )
        client.on_connect = self._on_connect
        client.on_message = self._on_message
        client.on_publish = self._on_publish
        client.on_subscribe = self._on_subscribe
        client.on_disconnect = self._on_disconnect
        client.will_set(login.status_topic, login.offline, 1, retain=True)
        if login.user is not None:
            client.username_pw_set(login.user, login.password)
        return client

    def _connect_properties(self) -> Any:
        from paho.mqtt.packettypes import PacketTypes
        from paho.mqtt.properties import Properties

        properties: Any = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = self._login.session_expiry_s
        properties.ReceiveMaximum = self._login.receive_maximum
        properties.MaximumPacketSize = self._login.message_limit + 65_536 + 16  # with the longest topic
        return properties

    def _on_connect(self, client: Client, _data: Any, flags: Any, reason: Any, properties: Any) -> None:
        if reason.is_failure:
            self._end = f"the broker refuses the login: {reason}"
            return
        self._in_flight = min(IN_FLIGHT, getattr(properties, "ReceiveMaximum", IN_FLIGHT))
        self._packet_limit = min(self._packet_limit, getattr(properties, "MaximumPacketSize", self._packet_limit))
        self._is_accepted = True
        self._listener.connected(self, is_session_present=flags.session_present)
        if self._login.forgotten:
            client.unsubscribe(list(self._login.forgotten))
        subscriptions = list(self._login.subscriptions)
        for start in range(0, len(subscriptions), SUBSCRIPTIONS_AT_ONCE):
            some = subscriptions[start : start + SUBSCRIPTIONS_AT_ONCE]
            _, mid = client.subscribe(some)
            if mid is not None:
                self._subscribing[mid] = [topic for topic, _ in some]
        self.publish(Publication(self._login.status_topic, self._login.online, True, None))

    def _on_message(self, _client: Client, _data: Any, message: MQTTMessage) -> None:
        self._listener.received(self, message)

    def _on_publish(self, _client: Client, _data: Any, mid: int, reason: Any, _properties: Any) -> None:
        publication = self._unanswered.pop(mid, None)
        self._answered_at = time.monotonic()
        if publication is not None:
            self._listener.answered(self, publication, str(reason) if reason.is_failure else None)
        if self._waiting and len(self._unanswered) < self._in_flight:
            self.publish(self._waiting.popleft())

    def _on_subscribe(self, _client: Client, _data: Any, mid: int, reasons: Sequence[Any], _properties: Any) -> None:
        for topic, reason in zip(self._subscribing.pop(mid, ()), reasons, strict=False):
            if reason.is_failure:
                self._refusals[topic] = str(reason)
        if not self._subscribing:
            self._listener.subscribed(self._refusals)

    def _on_disconnect(self, _client: Client, _data: Any, flags: Any, reason: Any, _properties: Any) -> None:
        if flags.is_disconnect_packet_from_server:
            self._end = f"the broker ended the connection: {reason}"
        elif self._end is None:
            error = self._pieces.error
            why = reason if error is None else describe(error)
            if self._is_accepted:
                self._end = f"the connection was lost: {why}"
            else:
                tls = self._login.tls
                hint = "; it may want a certificate of the gateway" if tls is not None and tls.cert_file is None else ""
                self._end = f"the broker closed the connection before it answered the login{hint} ({why})"


def _watch(selector: selectors.BaseSelector, sock: Any, events: int) -> None:
    """Have the selector watch the socket for these events; none: not at all."""
    watched = selector.get_map().get(sock)
    if watched is None:
        if events:
            selector.register(sock, events)
    elif not events:
        selector.unregister(sock)
    elif watched.events != events:
        selector.modify(sock, events)
