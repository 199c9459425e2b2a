"""A network between a client and a broker that is cut, stalls, and is slow."""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
import time
from types import TracebackType


class Network:
    """Forwards what comes to `port` to `target` (both on loopback), as well as a network does that day.

    `slow_down` limits both directions; `cut_after` is for the direction from the client to the broker: the connection is
    gone after so many bytes, wherever that is in a packet.
    """

    def __init__(self, target: int) -> None:
        self.connections = 0
        """Accepted so far."""
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._lock = threading.Lock()
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._is_down = False
        self._is_stalled = False
        self._bytes_per_s = 0.0
        self._cut_after: int | None = None
        self._wake_in, self._wake_out = socket.socketpair()
        self._is_closed = False
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Network:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_closed = True
        self._wake()
        self._thread.join()
        for each in (self._listener, self._wake_in, self._wake_out):
            each.close()

    def cut(self) -> None:
        """All connections are gone, and new ones are closed at once until `repair`."""
        self._is_down = True
        self._wake()

    def drop(self) -> None:
        """All connections are gone; the next one works."""
        self._cut_after = 0
        self._wake()

    def cut_after(self, count: int) -> None:
        """The connection that sends to the broker is gone once it has sent `count` more bytes; the next one works."""
        with self._lock:
            self._cut_after = count
        self._wake()

    def stall(self) -> None:
        """Nothing gets through, and nobody is told."""
        self._is_stalled = True
        self._wake()

    def slow_down(self, bytes_per_s: float) -> None:
        """About as many, in each direction."""
        self._bytes_per_s = bytes_per_s
        self._wake()

    def repair(self) -> None:
        """A good network again."""
        self._is_down = self._is_stalled = False
        self._bytes_per_s = 0.0
        self._wake()

    def _wake(self) -> None:
        self._wake_out.send(b"x")

    def _run(self) -> None:
        while not self._is_closed:
            with selectors.DefaultSelector() as selector:
                selector.register(self._wake_in, selectors.EVENT_READ)
                selector.register(self._listener, selectors.EVENT_READ)
                if not self._is_stalled:
                    for pair in self._pairs:
                        for side in pair:
                            selector.register(side, selectors.EVENT_READ)
                ready = {key.fileobj for key, _ in selector.select(1.0)}
            if self._wake_in in ready:
                self._wake_in.recv(1000)
            if self._listener in ready:
                self._accept()
            if self._is_down or self._cut_after == 0:
                self._cut_after = None
                self._close_all()
            for pair in list(self._pairs):
                for side in pair:
                    if side in ready and pair in self._pairs and not self._is_stalled:
                        self._forward(pair, side)
        self._close_all()

    def _accept(self) -> None:
        client, _ = self._listener.accept()
        self.connections += 1
        try:
            broker = socket.create_connection(("127.0.0.1", self._target), 5)
        except OSError:
            client.close()
            return
        for side in (client, broker):
            side.settimeout(5)
            side.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._pairs.append((client, broker))

    def _forward(self, pair: tuple[socket.socket, socket.socket], side: socket.socket) -> None:
        client, broker = pair
        size = 65_536 if not self._bytes_per_s else max(1, int(self._bytes_per_s / 50))
        try:
            data = side.recv(size)
            is_over = not data
            with self._lock:
                if side is client and self._cut_after is not None and data:
                    data = data[: self._cut_after]
                    self._cut_after -= len(data)
                    if self._cut_after == 0:
                        self._cut_after = None
                        is_over = True
            (broker if side is client else client).sendall(data)
        except OSError:
            is_over = True
        if is_over:
            self._close(pair)
        elif self._bytes_per_s:
            time.sleep(len(data) / self._bytes_per_s)  # what a slow line does

    def _close(self, pair: tuple[socket.socket, socket.socket]) -> None:
        self._pairs.remove(pair)
        for side in pair:
            with contextlib.suppress(OSError):
                side.close()

    def _close_all(self) -> None:
        for pair in list(self._pairs):
            self._close(pair)
