"""The journal's files: records one after the other, each with its length and a checksum, so that a torn end is seen and cut off.

A file is one generation, `journal-N`. It begins with a head (the groups, by what tells them from others), the names and states of all machines and the
notes, closed by `READY`; then come ticks, states and notes as they happen, in a `BATCH` what was written at once: all of it counts, or nothing. Numbers
are little-endian.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterator, Sequence
from struct import Struct
from typing import Any, NamedTuple
from zlib import crc32

import numpy as np
import numpy.typing as npt

from edge_runtime.errors import StoreError

FORMAT = 1
"""Of the files; another one is not read."""
MAGIC = b"anomalite journal\n"
HEAD, NAME, STATE, TICK, NOTE, READY, BATCH = range(1, 8)
LONGEST = 64 * 2**20
"""No record is longer (bytes)."""
_FRAME = Struct("<IIB")  # length and checksum of the content, kind
_OF_MACHINE = Struct("<HHI")  # group, whether the past does not lead here, machine
_OF_TICK = Struct("<HI")  # group, readings
_FILE = re.compile(r"journal-(\d{1,18})")


class Record(NamedTuple):
    """One of a file."""

    offset: int
    kind: int
    content: bytes


def frame(kind: int, *parts: bytes) -> bytes:
    """A record's bytes."""
    content = b"".join(parts)
    return _FRAME.pack(len(content), crc32(content, kind), kind) + content


def head(groups: Sequence[tuple[str, int]], *, continues: bool) -> bytes:
    """`groups`: each one's key and number of channels; `continues`: whether the file before leads to the states of this one."""
    text = json.dumps({"format": FORMAT, "groups": groups, "continues": continues})
    return MAGIC + frame(HEAD, text.encode())


def name(group: int, machine: int, text: str) -> bytes:
    """A machine has a name, and a number of its own until the next generation."""
    return frame(NAME, _OF_MACHINE.pack(group, 0, machine), text.encode())


def state(group: int, machine: int, content: bytes, *, restarts: bool) -> bytes:
    """A machine's state after all that was written so far."""
    return frame(STATE, _OF_MACHINE.pack(group, restarts, machine), content)


def tick(
    group: int, ids: npt.NDArray[np.int64], times: npt.NDArray[np.int64], values: npt.NDArray[np.float64]
) -> bytes:
    """Readings (B, C) of machines (B,) at times (B,)."""
    parts = ids.astype("<i4").tobytes(), times.astype("<i8").tobytes(), values.astype("<f8").tobytes()
    return frame(TICK, _OF_TICK.pack(group, len(ids)), *parts)


def note(key: str, text: str) -> bytes:
    """Something to be known after a restart; the newest of a key counts."""
    return frame(NOTE, json.dumps([key, text]).encode())


def parse_head(content: bytes) -> tuple[list[tuple[str, int]], bool]:
    """The groups, and whether the file before leads to the states. Raises `ValueError`, `KeyError` or `TypeError` for another form."""
    parsed = json.loads(content)
    if parsed["format"] != FORMAT:
        raise ValueError(f"expected format {FORMAT}, got {parsed['format']}")
    return [(str(key), int(channels)) for key, channels in parsed["groups"]], bool(parsed["continues"])


def parse_machine(content: bytes) -> tuple[int, bool, int, bytes]:
    """Of a name or a state: the group, whether the past does not lead here, the machine, and the rest."""
    group, restarts, machine = _OF_MACHINE.unpack_from(content)
    return group, bool(restarts), machine, content[_OF_MACHINE.size :]


def parse_tick(content: bytes, channels: Sequence[int]) -> tuple[int, Any, Any, Any]:
    """The group, ids (B,), times (B,) and values (B, C); `channels`: of each group."""
    group, count = _OF_TICK.unpack_from(content)
    start = _OF_TICK.size
    ids = np.frombuffer(content, "<i4", count, start).astype(np.int64)
    times = np.frombuffer(content, "<i8", count, start + 4 * count).astype(np.int64)
    values = np.frombuffer(content, "<f8", count * channels[group], start + 12 * count).astype(np.float64)
    return group, ids, times, values.reshape(count, channels[group])


def parse_note(content: bytes) -> tuple[str, str]:
    """Its key and text."""
    key, text = json.loads(content)
    return str(key), str(text)


def records(path: str) -> Iterator[Record]:
    """The records of a file, to its end or to the first that is not whole. One at a time in memory. Raises `StoreError`."""
    try:
        with open(path, "rb") as file:
            if file.read(len(MAGIC)) != MAGIC:
                return
            offset = len(MAGIC)
            while len(frame := file.read(_FRAME.size)) == _FRAME.size:
                length, checksum, kind = _FRAME.unpack(frame)
                content = file.read(length) if length <= LONGEST else b""
                if len(content) != length or crc32(content, kind) != checksum:
                    return
                if kind == BATCH:
                    yield from _in_batch(content, offset + _FRAME.size)
                else:
                    yield Record(offset, kind, content)
                offset += _FRAME.size + length
    except OSError as fault:
        raise StoreError(f"{path}: the journal cannot be read: {fault.strerror}") from None


def _in_batch(content: bytes, offset: int) -> Iterator[Record]:
    place = 0
    while place < len(content):
        length, _, kind = _FRAME.unpack_from(content, place)
        start = place + _FRAME.size
        yield Record(offset + place, kind, content[start : start + length])
        place = start + length


def record_at(path: str, offset: int) -> bytes:
    """The content of the record at an offset that `records` gave. Raises `StoreError`."""
    try:
        with open(path, "rb", buffering=0) as file:
            file.seek(offset)
            length, _, _ = _FRAME.unpack(file.read(_FRAME.size))
            return file.read(length)
    except OSError as fault:
        raise StoreError(f"{path}: the journal cannot be read: {fault.strerror}") from None


def generations(folder: str) -> list[tuple[int, str]]:
    """The number and path of each file in the folder, the oldest first. Raises `StoreError`."""
    try:
        found = [(int(match[1]), os.path.join(folder, match[0])) for each in os.listdir(folder) if (match := _FILE.fullmatch(each))]  # fmt: skip
    except OSError as fault:
        raise StoreError(f"{folder}: the journal's folder cannot be read: {fault.strerror}") from None
    return sorted(found)


class Appending:
    """A file that is written to; a record that could not be written whole leaves nothing behind."""

    def __init__(self, path: str) -> None:
        """Raises `OSError`."""
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o640)
        self.size = 0
        """Bytes, of whole records."""

    def write(self, content: bytes) -> None:
        """One call of the system, mostly. Raises `OSError`: then nothing of it is there, and nothing more may be written."""
        rest = memoryview(content)
        try:
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
        except OSError:
            with contextlib.suppress(OSError):  # else its checksum tells
                os.ftruncate(self._descriptor, self.size)
            raise
        self.size += len(content)

    def close(self) -> None:
        """No more is written."""
        os.close(self._descriptor)
