"""Logs: one line an event on standard error, as text or JSON, rate-limited by the event's name, never with a secret.

    2026-03-01T10:00:00.000+00:00 info broker_connected host=localhost port=8883
    {"time": "2026-03-01T10:00:00.000+00:00", "level": "info", "event": "broker_connected", "host": "localhost", "port": 8883}

A log that cannot be written stops nothing: lines are counted and left out until it takes some again.
"""

from __future__ import annotations

import contextlib
import hmac
import json
import os
import re
import select
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal, NoReturn

from edge_runtime.gateway.clock import CLOCK_SET, Clock, SystemClock

Level = Literal["debug", "info", "warning", "error"]
LEVELS: tuple[Level, ...] = ("debug", "info", "warning", "error")
PRIORITIES: dict[Level, int] = {"debug": 7, "info": 6, "warning": 4, "error": 3}
"""Of syslog, by which systemd's journal sorts."""
MOST, PER_S = 5, 60.0
"""So many lines of one event in so many seconds; then one that counts those left out."""
UNLIMITED = frozenset({"alert_raised", "alert_cleared", "alert_acknowledged", "started", "stopped"})
"""Events of which no line is left out."""
LONGEST_VALUE, LONGEST_LINE = 500, 4_000
"""Characters of a value, and bytes of a line: a pipe takes 4,096 whole or not at all."""
STDERR = 2
_WRONG = re.compile(r"(?:_lost|_refused|_failed|_full|_dropped|_large|_late|_missing|_stepped|_not_[a-z]+)$")
_PLAIN = re.compile(r"[A-Za-z0-9_.:/@+%-]+")


class Secret:
    """A password, which no message, log or traceback shows."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The password itself, for where it is used."""
        return self._value

    def __repr__(self) -> str:
        return "***"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(
            self._value.encode(errors="surrogatepass"), other._value.encode(errors="surrogatepass")
        )

    def __hash__(self) -> int:
        return hash(self._value)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not written anywhere")


class Log:
    """Writes lines to a file descriptor; any thread may."""

    def __init__(
        self,
        form: Literal["text", "json"] = "text",
        level: Level = "info",
        *,
        descriptor: int = STDERR,
        clock: Clock | None = None,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        self._form = form
        self._least = LEVELS.index(level)
        self._descriptor = descriptor
        self._clock = clock or SystemClock()
        self._in_journal = _is_journal(descriptor, environ)
        self._lock = threading.Lock()
        self._counts: dict[
            str, list[Any]
        ] = {}  # by event: since when, how many lines, how many left out, the worst level
        self._hidden: list[str] = []
        self._is_stuck = self._is_torn = False
        self._unreported = 0
        self.lost = 0
        """Lines that could not be written."""

    def hide(self, secret: Secret) -> None:
        """Write `***` wherever this would be written, in whatever it is contained."""
        if secret.reveal():
            with self._lock:
                self._hidden.append(secret.reveal())
                self._hidden.sort(key=len, reverse=True)

    def __call__(self, name: str, /, level: Level | None = None, **fields: Any) -> None:
        """Something happened: its name in lower case with underscores, and what there is to know of it. One line.

        None is written if there were too many of this name within the minute. Without a level, an event whose name says that
        something went wrong is a warning. Never raises, and does not wait.
        """
        if level is None:
            level = "warning" if _WRONG.search(name) else "info"
        if LEVELS.index(level) < self._least:
            return
        now = self._clock.monotonic()
        with self._lock:
            self._summarise(now)
            if name not in UNLIMITED:
                count = self._counts.setdefault(name, [now, 0, 0, level])
                if count[1] >= MOST:
                    count[2] += 1
                    count[3] = max(level, count[3], key=LEVELS.index)
                    return
                count[1] += 1
            self._write(name, level, fields, now)

    def tick(self) -> None:
        """Say how many lines were left out, where the minute is over; once a second or so."""
        with self._lock:
            self._summarise(self._clock.monotonic())

    def close(self) -> None:
        """Say now how many lines were left out."""
        with self._lock:
            self._summarise(float("inf"))

    def _summarise(self, now: float) -> None:
        """Lines that count what was left out of minutes that are over."""
        for name in [name for name, count in self._counts.items() if now - count[0] >= PER_S]:
            _, _, left_out, level = self._counts.pop(name)
            if left_out:
                self._write(name, level, {"left_out": left_out}, self._clock.monotonic())

    def _write(self, name: str, level: Level, fields: dict[str, Any], now: float) -> None:
        if self._unreported and self._put("log_lines_lost", "warning", {"lines": self._unreported}, now):
            self._unreported = 0
        if not self._put(name, level, fields, now):
            self.lost += 1
            self._unreported += 1

    def _put(self, name: str, level: Level, fields: dict[str, Any], now: float) -> bool:
        """Whether the line was written."""
        is_writable = self._is_writable()
        self._is_stuck = not is_writable
        if not is_writable:
            return False
        line = self._line(name, level, {key: self._shown(value) for key, value in fields.items()}, now)
        data = line.encode("utf-8", "backslashreplace")
        if len(data) > LONGEST_LINE:  # its fields are the most of it
            data = self._line(name, level, {"fields_left_out": len(fields)}, now).encode("utf-8", "backslashreplace")
        prefix = b"\n" * self._is_torn + (f"<{PRIORITIES[level]}>".encode() if self._in_journal else b"")
        data = prefix + data + b"\n"
        try:
            written = os.write(self._descriptor, data)
        except OSError:  # a pipe nobody reads any more, a full disk, a closed descriptor
            return False
        self._is_torn = written < len(data)  # the last byte that fitted on a disk
        return not self._is_torn

    def _line(self, name: str, level: Level, fields: dict[str, Any], now: float) -> str:
        wall = self._clock.wall()
        moment = datetime.fromtimestamp(max(0.0, min(wall, 2.5e11)), UTC).isoformat(timespec="milliseconds")
        if wall < CLOCK_SET:
            fields = {**fields, "up_s": round(now, 3)}
        if self._form == "json":
            return json.dumps({"time": moment, "level": level, "event": name, **fields}, ensure_ascii=True)
        return " ".join((moment, level, name, *(f"{key}={_text(value)}" for key, value in fields.items())))

    def _shown(self, value: Any) -> Any:
        """The value as JSON can hold it, short and without what is hidden."""
        if value is None or isinstance(value, bool | int):
            return value
        if isinstance(value, float):
            return value if abs(value) < float("inf") else str(value)
        if isinstance(value, Mapping):
            return {str(self._shown(str(key))): self._shown(each) for key, each in list(value.items())[:50]}
        if isinstance(value, list | tuple | set | frozenset):
            return [self._shown(each) for each in list(value)[:50]]
        text = str(value)
        for hidden in self._hidden:
            text = text.replace(hidden, "***")
        return text if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]}..."

    def _is_writable(self) -> bool:
        """Whether a line can be written without waiting; a reader that is slow is given a moment, one that is stuck is not."""
        try:
            poll = select.poll()
            poll.register(self._descriptor, select.POLLOUT)
            return bool(poll.poll(0 if self._is_stuck else 20))
        except AttributeError:  # no poll on this system
            return True
        except (OSError, ValueError):
            return False


def _text(value: Any) -> str:
    """A value of a text line: bare where it is plain, else quoted; no control character, no line break."""
    if isinstance(value, str) and _PLAIN.fullmatch(value):
        return value
    text = json.dumps(value, ensure_ascii=False)
    return "".join(each if each.isprintable() else json.dumps(each)[1:-1] for each in text)


def _is_journal(descriptor: int, environ: Mapping[str, str]) -> bool:
    """Whether systemd's journal reads the descriptor: it says in `JOURNAL_STREAM` which device and inode that is."""
    with contextlib.suppress(OSError, ValueError):
        device, inode = environ.get("JOURNAL_STREAM", "").split(":")
        status = os.fstat(descriptor)
        return (int(device), int(inode)) == (status.st_dev, status.st_ino)
    return False
