"""What is needed to acknowledge a message, and to know one that the broker gives again."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING

from edge_runtime.gateway.mqtt_connection import Connection
from edge_runtime.gateway.mqtt_login import RECEIVE_MAXIMUM

if TYPE_CHECKING:
    from paho.mqtt.client import MQTTMessage

REMEMBERED = 2 * RECEIVE_MAXIMUM
"""Messages that are known again."""
MOST_UNSAFE = RECEIVE_MAXIMUM
"""With so many messages that are not safe the network is not read any more, until there are fewer. Some brokers do not keep to the
gateway's Receive Maximum (Mosquitto 2.0.11 once the first acknowledgements come): what gathered during hours would come all at once."""


class Receipt:
    """Of one message, QoS 1: the connection it came on, which changes when it comes again on another."""

    __slots__ = ("connection", "fingerprint", "is_safe", "mid")

    def __init__(self, connection: Connection, mid: int, fingerprint: int) -> None:
        self.connection: Connection | None = connection  # None: it was acknowledged there
        self.mid = mid
        self.fingerprint = fingerprint
        self.is_safe = False


class Receipts:
    """Those of the session that the broker keeps. Only `safe` may be called from any thread; the others from the network's."""

    def __init__(self) -> None:
        self.repeated = 0
        """Messages that came again."""
        self.unsafe = 0
        """Messages that came and are not safe yet."""
        self._lock = threading.Lock()  # of a receipt's `connection` and `is_safe`
        self._by_mid: OrderedDict[int, Receipt] = OrderedDict()
        self._is_resumed = False

    def begin(self, *, is_session_present: bool) -> None:
        """A new connection. Without the session that was, the numbers of its messages mean nothing any more."""
        self._is_resumed = is_session_present
        if not is_session_present:
            self._by_mid.clear()

    def take(self, connection: Connection, message: MQTTMessage) -> Receipt | None:
        """The receipt of a new message. None: it came on an earlier connection, and is known.

        Then it is acknowledged here if it is safe; if it still waits in the gateway, it will be.
        """
        mid, fingerprint = message.mid, hash((message.topic, message.payload))
        if message.dup and self._is_resumed:
            known = self._by_mid.get(mid)
            # A number is given again only after 65,534 others, so this says more than it needs to.
            if known is not None and known.fingerprint == fingerprint and known.connection is not connection:
                with self._lock:
                    known.connection = connection
                    is_safe = known.is_safe
                if is_safe:
                    self.acknowledge(connection, [known])
                self.repeated += 1
                return None
        receipt = self._by_mid[mid] = Receipt(connection, mid, fingerprint)
        self._by_mid.move_to_end(mid)
        if len(self._by_mid) > REMEMBERED:
            self._by_mid.popitem(last=False)
        with self._lock:
            self.unsafe += 1
        return receipt

    def safe(self, receipts: Sequence[Receipt]) -> None:
        """These messages need not be given again."""
        with self._lock:
            for receipt in receipts:
                self.unsafe -= not receipt.is_safe
                receipt.is_safe = True

    def acknowledge(self, connection: Connection, receipts: Sequence[Receipt]) -> None:
        """To the broker, those that came on this connection: on another, their numbers are other messages'."""
        for receipt in receipts:
            if receipt.connection is connection:
                receipt.connection = None
                connection.acknowledge(receipt.mid)
