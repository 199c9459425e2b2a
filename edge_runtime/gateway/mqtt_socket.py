"""A paho client whose socket is read in large pieces.

paho reads one packet with three calls to the system (its kind, its length, the rest) and is called once for each; at 2,000 messages a
second that is a good part of what the gateway costs.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from paho.mqtt.client import Client

PIECE_BYTES = 65_536


class Pieces:
    """What was received and not yet asked for."""

    def __init__(self) -> None:
        self.error: OSError | None = None
        """What ended the connection: paho only writes it to its log."""
        self._piece = b""
        self._read = 0

    def read(self, size: int, receive: Callable[[int], bytes]) -> bytes:
        """Up to `size` bytes, by `receive` where none are left. Empty: the other side has closed the connection."""
        if self._read == len(self._piece):
            try:
                self._piece = receive(max(size, PIECE_BYTES))
            except BlockingIOError:
                raise
            except OSError as error:
                self.error = error
                raise
            self._read = 0
        start = self._read
        self._read = min(start + size, len(self._piece))
        return self._piece[start : self._read]

    def __bool__(self) -> bool:
        """Whether there is something that the socket does not show any more."""
        return self._read < len(self._piece)


def new_client(client_id: str, version: str, pieces: Pieces, open_socket: Callable[[], socket.socket]) -> Client:
    """With a session that the broker keeps; it acknowledges only what it is told to, and leaves it to others to connect again."""
    from paho.mqtt.client import Client
    from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

    class BufferedClient(Client):
        # paho's own leaves the socket open where the other side's certificate is refused, and does not send small packets at once.
        def _create_socket(self) -> socket.socket:
            return open_socket()

        def _sock_recv(self, bufsize: int) -> bytes:
            return pieces.read(bufsize, super()._sock_recv)

    client = BufferedClient(
        CallbackAPIVersion.VERSION2,
        client_id,
        clean_session=None if version == "5" else False,
        protocol=MQTTProtocolVersion.MQTTv5 if version == "5" else MQTTProtocolVersion.MQTTv311,
        reconnect_on_failure=False,
        manual_ack=True,
    )
    client.max_inflight_messages_set(
        0
    )  # bounded by who publishes: paho's own queue would be sent in an order of its own
    return client
