"""The socket under a connection to a broker: TLS, and a paho client that reads it in large pieces.

paho reads one packet with three calls to the system (its kind, its length, the rest) and is called once for each; at 2,000 messages a
second that is a good part of what the gateway costs.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from typing import TYPE_CHECKING

from edge_runtime.gateway.config import TLS

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


def open_socket(host: str, port: int, tls: TLS | None, timeout_s: float) -> socket.socket:
    """Connected to the broker, which has shown its certificate. Raises OSError."""
    sock = socket.create_connection((host, port), timeout_s)
    try:
        sock.setsockopt(
            socket.IPPROTO_TCP, socket.TCP_NODELAY, 1
        )  # or a small packet waits for the answer to the one before, 40 ms
        if tls is None:
            return sock
        sock.getpeername()  # raises if the broker hung up already, where the next line would leave its socket open
        return tls_context(tls).wrap_socket(sock, server_hostname=host)
    except BaseException:
        sock.close()
        raise


def tls_context(tls: TLS) -> ssl.SSLContext:
    """What the broker's certificate is held against, and the gateway's own. Read anew for each connection: certificates are renewed."""
    context = ssl.create_default_context(cafile=tls.ca_file)
    if not tls.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if tls.cert_file is not None:
        context.load_cert_chain(
            tls.cert_file, tls.key_file, password=""
        )  # none: a key with a password would ask the terminal
    return context


def describe(error: BaseException) -> str:
    """An error of a connection in one line that a person can act on."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the broker's certificate is not accepted: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"TLS: {(error.reason or str(error)).replace('_', ' ').lower()}"
    if isinstance(error, socket.gaierror):
        return f"the name of the broker is not known: {error.strerror}"
    if isinstance(error, TimeoutError):
        return "no answer"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}{f': {error.filename}' if error.filename else ''}"
    return f"{type(error).__name__}: {error}"
