"""The gateway's web server: a status page, metrics and health, to look at only.

It serves people and Prometheus on a local network, from the process that scores, so a client can take little of it: a few
threads, a few kilobytes of request, seconds of patience. It is not made to face the internet.
"""

from __future__ import annotations

import contextlib
import io
import ipaddress
import socket
import sys
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import Any

from edge_runtime.errors import InputError
from edge_runtime.gateway.answers import Answer, Answers, refusal

CONNECTIONS = 32
"""At the same time, each with a thread; a browser keeps a few."""
REQUESTS = 200
"""On one connection, then it is closed."""
LONGEST_REQUEST = 16_384
"""Bytes, headers and all."""
PATIENCE_S = 10.0
"""For a whole request, and for a client to take the answer."""
IDLE_S = 15.0
"""Between requests."""
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""Of every answer."""
_FULL = b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\nRetry-After: 5\r\n\r\n"


class TooLongError(Exception):
    """A request of more bytes than are read."""


class _Bounded(io.RawIOBase):
    """What a client sends, as long as neither its patience nor its bytes for this request are used up."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self.begin()

    def begin(self) -> None:
        """A new request, which may be long in coming."""
        self._left, self._until = LONGEST_REQUEST, time.monotonic() + IDLE_S
        self._has_begun = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self._left <= 0:
            raise TooLongError
        left_s = self._until - time.monotonic()
        if left_s <= 0:
            raise TimeoutError("timed out")
        self._connection.settimeout(left_s)
        count = self._connection.recv_into(buffer)
        if not self._has_begun:
            self._has_begun, self._until = True, time.monotonic() + PATIENCE_S
        self._left -= count
        return count


class _Handler(BaseHTTPRequestHandler):
    """One connection."""

    server: _Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # headers and body are two writes, and the second would wait for the first

    def setup(self) -> None:
        super().setup()
        self.rfile.close()
        self._incoming = _Bounded(self.connection)
        self.rfile = io.BufferedReader(self._incoming, 4096)
        self._requests = 0

    def handle_one_request(self) -> None:
        self._incoming.begin()
        self._requests += 1
        self.command, self.request_version, self.requestline = "", self.protocol_version, ""
        try:
            super().handle_one_request()
        except TooLongError:
            self._send(refusal(431, f"a request may have {LONGEST_REQUEST} bytes"), close=True)

    def do_GET(self) -> None:
        """The answer."""
        host = self.headers.get("Host", "")
        if not self.server.is_called(host):
            self._send(refusal(421, "this server is only reached under its own address"), close=True)
        elif self.headers.get("Content-Length", "0") != "0" or "Transfer-Encoding" in self.headers:
            self._send(refusal(400, "a request has no body"), close=True)
        else:
            self._send(self._answer(), close=self._requests >= REQUESTS)

    def do_HEAD(self) -> None:
        """The same without the body."""
        self.do_GET()

    def _answer(self) -> Answer:
        path = self.path.partition("?")[0]
        try:
            return self.server.answers.find(path)
        except Exception as fault:  # noqa: BLE001 - told, and the server of a gateway that scores goes on
            self.server.report(f"http: {path[:200]}: {type(fault).__name__}: {fault}")
            return refusal(500, "the gateway could not answer; its log says why")

    def version_string(self) -> str:
        """Of the program, and not of the interpreter."""
        return "anomalite"

    def parse_request(self) -> bool:
        """As usual, and refuse all methods but two."""
        if not super().parse_request():
            return False
        if self.command not in ("GET", "HEAD"):
            self._send(refusal(405, "nothing can be changed here"), {"Allow": "GET, HEAD"}, close=True)
            return False
        return True

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """For a request that cannot be read; nothing of it is repeated."""
        self._send(refusal(code, "the request cannot be understood"), close=True)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as in the base class
        """Nothing: a page that asks every two seconds would fill the log."""

    def _send(self, answer: Answer, headers: dict[str, str] | None = None, *, close: bool = False) -> None:
        body = answer.body
        more = dict(headers or {})
        if answer.packed is not None:
            more["Vary"] = "Accept-Encoding"
            if _takes_gzip(getattr(self, "headers", {}).get("Accept-Encoding", "")):
                body, more["Content-Encoding"] = answer.packed, "gzip"
        self.close_connection = self.close_connection or close
        if self.request_version == "HTTP/0.9":
            self.request_version = "HTTP/1.0"  # or the answer would have no headers, and so no protection
        if self.close_connection:
            more["Connection"] = "close"
        self.send_response(answer.status)
        for name, value in {"Content-Type": answer.content_type, **HEADERS, **more}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.connection.settimeout(PATIENCE_S)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


class _Server(ThreadingHTTPServer):
    """Few connections at a time, and all of them end with the server."""

    request_queue_size = 16

    def __init__(self, address: str, port: int, answers: Answers, report: Callable[[str], None]) -> None:
        self.answers, self.report = answers, report
        self._is_loopback = _is_loopback(address)
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        if ":" in address:
            self.address_family = socket.AF_INET6
        super().__init__((address, port), _Handler)

    def server_bind(self) -> None:
        """Without asking a name server for this host's full name, which may take as long as it likes."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def is_called(self, host: str) -> bool:
        """Whether the Host header may stand for this server. On loopback only loopback's own names: another one is that of a page
        on the internet whose name was made to lead here."""
        if not self._is_loopback:
            return bool(host)
        name = host.rpartition(":")[0] if host.rpartition(":")[2].isdecimal() and not host.endswith("]") else host
        return _is_loopback(name.lower().strip("[]"))

    def process_request(self, request: Any, client_address: Any) -> None:
        """In a thread of its own, if there is one left."""
        with self._lock:
            is_full = len(self._open) >= CONNECTIONS
            if not is_full:
                self._open.add(request)
        if is_full:
            request.setblocking(False)
            with contextlib.suppress(OSError):
                request.send(_FULL)
            self.shutdown_request(request)
        else:
            super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """The end of a connection."""
        with self._lock:
            self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that is gone is its own affair; a fault of ours is told in one line."""
        fault = sys.exc_info()[1]
        if not isinstance(fault, OSError):
            self.report(f"http: {type(fault).__name__}: {fault}")

    def close_all(self) -> None:
        """End what is still open: threads that wait for a client see it gone, and the one that waits for clients wakes up."""
        with self._lock:
            still = [self.socket, *self._open]
        for each in still:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)


class Web:
    """Starts and stops the server."""

    def __init__(self, answers: Answers, report: Callable[[str], None]) -> None:
        """`report` is told of faults in answering, one line each, from any thread."""
        self._answers, self._report = answers, report
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None
        self.port = 0
        """The port it listens on."""

    def start(self, address: str, port: int) -> None:
        """Listen and answer. Port 0: any that is free. Raises `InputError` if the address cannot be had."""
        try:
            self._server = _Server(address, port, self._answers, self._report)
        except OSError as fault:
            reason = fault.strerror or str(fault)
            raise InputError(f"http: cannot listen on {address} port {port}: {reason}") from None
        self.port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, name="http", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Answer no more."""
        if self._server is not None and self._thread is not None:
            self._server.close_all()
            self._server.shutdown()
            self._server.server_close()
            self._thread.join()
            self._server = self._thread = None


def _is_loopback(name: str) -> bool:
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _takes_gzip(accepted: str) -> bool:
    """Whether the client's Accept-Encoding names gzip, and not to forbid it."""
    for each in accepted.lower().split(","):
        name, _, quality = each.partition(";")
        if name.strip() == "gzip":
            return quality.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False
