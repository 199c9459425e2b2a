"""Lines from standard input, or from a file that grows, is rotated, truncated, or not there yet: as `tail -F` reads it, and resumable."""

from __future__ import annotations

import os
import select
import stat
import threading
import time
import zlib
from collections.abc import Callable, Sequence
from typing import NamedTuple

from edge_runtime.gateway.clock import monotonic
from edge_runtime.gateway.inbox import Inbox
from edge_runtime.gateway.message import Message

STANDARD_INPUT = "-"
LINE_LIMIT = 2**20
"""Bytes of a line; a longer one is refused, and never held."""
PIECE_BYTES = 65_536
HEAD_BYTES = 256
"""So much of a file's beginning tells it from another that was given its inode or its name."""
LINGER_S = 1.0
"""A file that was renamed is read for so long after its last byte: who writes it may not know yet."""
_unread: dict[int, bytes] = {}
"""By descriptor: what was read of standard input and not handed on when its reader was stopped. Nobody gives it again, so that the
next reader in this process, with another configuration, begins with it."""


class Position(NamedTuple):
    """Where to go on in a file."""

    inode: int
    offset: int
    """After the last line that is safe."""
    head: int
    """Checksum of the file's beginning, up to `offset` and `HEAD_BYTES`."""

    def to_text(self) -> str:
        """For the journal."""
        return f"{self.inode}:{self.offset}:{self.head}"

    @classmethod
    def from_text(cls, text: str) -> Position:
        """Raises ValueError."""
        inode, offset, head = (int(part) for part in text.split(":"))
        return cls(inode, offset, head)


class Lines:
    """A `Source`: each line that has its end is a message, whose topic is `path` (`-`: standard input) and whose token is the `Position`
    after it.

    A file is read from its beginning, or from the position given to `start`; if it was renamed meanwhile, it is looked for beside its old
    name. `log(name, **fields)` is called in the thread that reads.
    """

    def __init__(
        self,
        path: str,
        inbox: Inbox,
        log: Callable[..., None],
        *,
        line_limit: int = LINE_LIMIT,
        poll_s: float = 0.2,
        linger_s: float = LINGER_S,
        standard_input: int = 0,
    ) -> None:
        self.position: Position | None = None
        """Of the last line that was acknowledged; None for standard input, and before the first."""
        self.is_finished = False
        """Standard input has ended, and all its lines are in the inbox."""
        self.refused = 0
        """Lines longer than the limit."""
        self.problem: str | None = None
        """Why there is nothing to read, in one line."""
        self.path = path
        self._inbox = inbox
        self._log = log
        self._line_limit = line_limit
        self._poll_s = poll_s
        self._linger_s = linger_s
        self._standard_input = standard_input
        self._last: Position | None = None  # after the last line that is in the inbox
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"lines {path}", daemon=True)

    def start(self, position: Position | None = None) -> None:
        """Begin to read, after `position`."""
        self.position = position
        self._thread.start()

    def pause(self) -> None:
        """Read no more; what was read is in the inbox after this, or is read again by the next one."""
        self.stop()

    def stop(self) -> None:
        """Read no more, and end."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(5 * self._poll_s + 1.0)

    def acknowledge(self, messages: Sequence[Message]) -> None:
        """The last of these is where to go on from."""
        if messages and messages[-1].token is not None:
            self.position = messages[-1].token

    # The thread that reads

    def _run(self) -> None:
        if self.path == STANDARD_INPUT:
            self._follow_standard_input()
            return
        self._last = self.position
        while not self._stopping.is_set():
            try:
                self._follow_file(self._last)
                self._last = None
            except OSError as error:
                self._complain(f"{self.path}: {error.strerror or error}")
                self._stopping.wait(self._poll_s)

    def _complain(self, problem: str | None) -> None:
        if problem != self.problem:
            self.problem = problem
            if problem is not None:
                self._log("lines_waiting", level="warning", problem=problem)

    def _follow_standard_input(self) -> None:
        lines = _Splitter(self._line_limit)
        held = self._put(lines.split(_unread.pop(self._standard_input, b"")), lines)
        try:
            while not self._stopping.is_set():
                if not select.select([self._standard_input], [], [], self._poll_s)[0]:
                    continue
                piece = os.read(self._standard_input, PIECE_BYTES)
                if not piece:
                    break
                held = self._put(lines.split(piece), lines)
        except OSError as error:
            self._complain(f"standard input: {error.strerror}")
        if self._stopping.is_set():
            _unread[self._standard_input] = b"".join(line + b"\n" for line, _ in held) + lines.rest
        else:
            self._put(lines.end(), lines)
            self.is_finished = True
            self._log("lines_finished", source="standard input")
            self._inbox.wake()

    def _follow_file(self, start: Position | None) -> None:
        """Read one file until it has been replaced. Raises OSError."""
        path = self.path if start is None else self._find(start)
        file = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        try:
            status = os.fstat(file)
            if not stat.S_ISREG(status.st_mode):
                raise OSError(0, "expected a file")
            offset = 0
            if start is not None:
                if self._is_at(file, start):
                    offset = start.offset
                else:
                    self._log(
                        "lines_restarted", level="warning", file=self.path, reason="not the file that was read before"
                    )
            self._complain(None)
            self._read(file, status.st_ino, offset)
        finally:
            os.close(file)

    def _find(self, position: Position) -> str:
        """The file that was read up to the position: under the name, or beside it under one that begins with it."""
        folder, name = os.path.split(self.path)
        with os.scandir(folder or ".") as entries:
            others = [
                entry.path for entry in entries if entry.inode() == position.inode and entry.name.startswith(name)
            ]
        for path in sorted(others, key=len):
            file = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
            try:
                if self._is_at(file, position):
                    return path
            finally:
                os.close(file)
        return self.path

    def _is_at(self, file: int, position: Position) -> bool:
        status = os.fstat(file)
        return status.st_ino == position.inode and position.head == _head(file, position.offset, status.st_size)

    def _read(self, file: int, inode: int, offset: int) -> None:
        lines = _Splitter(self._line_limit, offset)
        head = _head(file, offset, offset)
        quiet_since: float | None = None
        while not self._stopping.is_set():
            piece = os.pread(file, PIECE_BYTES, lines.read)
            size = os.fstat(file).st_size
            if size < lines.read or (piece and _head(file, min(lines.read, size), size) != head):
                self._log("lines_truncated", level="warning", file=self.path, offset=lines.read, bytes=size)
                lines = _Splitter(self._line_limit)
                head = _head(file, 0, 0)
                continue
            if piece:
                quiet_since = None
                found = lines.split(piece)
                if lines.read - len(piece) < HEAD_BYTES:
                    head = _head(file, lines.read, lines.read)
                self._put(found, lines, file, inode)
                continue
            if self._is_replaced(inode):
                quiet_since = quiet_since or time.monotonic()
                if time.monotonic() - quiet_since >= self._linger_s:
                    self._put(lines.end(), lines, file, inode)
                    self._log("lines_rotated", file=self.path)
                    return
            self._stopping.wait(self._poll_s)

    def _is_replaced(self, inode: int) -> bool:
        """Whether another file has the name. While none has, this one is read on."""
        try:
            return os.stat(self.path).st_ino != inode
        except OSError:
            return False

    def _put(
        self, found: Sequence[tuple[bytes, int]], lines: _Splitter, file: int | None = None, inode: int = 0
    ) -> Sequence[tuple[bytes, int]]:
        """Wait for room for each line; returns those that did not find any before the end."""
        if lines.refused:
            self.refused += lines.refused
            self._log("line_too_long", level="warning", source=self.path, lines=lines.refused, limit=self._line_limit)
            lines.refused = 0
        arrived = monotonic()
        head = None
        for place, (line, end) in enumerate(found):
            while not self._inbox.wait_for_room(self._poll_s):
                if self._stopping.is_set():
                    return found[place:]
                arrived = monotonic()
            token = None
            if file is not None:
                if head is None:
                    head = _head(file, end, end)
                token = self._last = Position(inode, end, head)
                if end < HEAD_BYTES:
                    head = None  # the next line's has more of it
            self._inbox.put(Message(self, self.path, line, arrived, token), is_kept=True)
        return ()


class _Splitter:
    """Cuts what is read into lines, each with the offset after its end."""

    def __init__(self, limit: int, offset: int = 0) -> None:
        self.read = offset
        """Offset of what comes next."""
        self.refused = 0
        """Lines too long since it was last set to 0."""
        self._limit = limit
        self._rest = bytearray()
        self._is_skipping = False

    @property
    def rest(self) -> bytes:
        """The beginning of a line that has no end yet."""
        return bytes(self._rest)

    def split(self, piece: bytes) -> list[tuple[bytes, int]]:
        """The lines that end in the piece; empty ones are left out."""
        found: list[tuple[bytes, int]] = []
        parts = piece.split(b"\n")
        for part in parts[:-1]:
            self.read += len(part) + 1
            self._add(part)
            self._finish(found)
        self.read += len(parts[-1])
        self._add(parts[-1])
        return found

    def end(self) -> list[tuple[bytes, int]]:
        """The last line, where it has no end and none will come."""
        found: list[tuple[bytes, int]] = []
        self._finish(found)
        return found

    def _add(self, part: bytes) -> None:
        if not self._is_skipping:
            self._rest += part
            if len(self._rest) > self._limit + 1:  # one more: a carriage return does not count
                self._is_skipping = True
                self._rest.clear()

    def _finish(self, found: list[tuple[bytes, int]]) -> None:
        line = bytes(self._rest).removesuffix(b"\r")
        self._rest.clear()
        if self._is_skipping or len(line) > self._limit:
            self.refused += 1
        elif line:
            found.append((line, self.read))
        self._is_skipping = False


def _head(file: int, offset: int, size: int) -> int:
    """Checksum of the beginning of what was read; -1 where the file is shorter than that by now."""
    return zlib.crc32(os.pread(file, min(offset, HEAD_BYTES), 0)) if size >= offset else -1
