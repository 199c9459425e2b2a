"""The bytes of a message become readings, or a `PayloadError`: nothing else comes out, whatever is put in.

A message is taken whole or not at all. What its numbers may be is the same for every kind of text: JSON numbers that a double can hold,
null or an empty cell where a value is missing; no booleans, no numbers in quotes, no NaN and no Infinity. Of a key that is in an object
twice the last one counts. Packed float32 has no other way to say that a value is missing than NaN, and there infinity is a value that
the detector finds out of range.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from typing import Any

from edge_runtime.errors import InputError, PayloadError
from edge_runtime.gateway.config import Payload
from edge_runtime.gateway.excerpt import excerpt
from edge_runtime.gateway.message import Decoded
from edge_runtime.gateway.payload_json import (
    LIMIT_READINGS,
    Objects,
    check_many,
    each_of,
    numbers_of,
    parse_json,
    text_of,
)
from edge_runtime.gateway.payload_samples import Samples
from edge_runtime.gateway.payload_time import microseconds_of
from edge_runtime.manifest import Manifest

DEFAULT_KB = 256
"""The largest message, unless the bundle's waveform needs more."""
_TEXT_BYTES, _PACKED_BYTES = 32, 4
"""Of one sample, at most."""
_NUMBERS = re.compile(r"[0-9eE+\-. \t,]*")
"""Of a CSV line. What Python takes for numbers beside these (`1_000`, `nan`, digits of other scripts) is not meant."""

Decode = Callable[[bytes, str], list[Decoded]]


class Decoder:
    """Decodes the messages of one group."""

    def __init__(self, payload: Payload, manifest: Manifest) -> None:
        """Raises `InputError` where payload and bundle do not fit together."""
        self.max_bytes = int((_needed_kb(payload, manifest) if payload.max_kb is None else payload.max_kb) * 1024)
        self._decode = _decode_of(payload, manifest)
        self._says_machine = payload.machine is not None

    def decode(self, payload: bytes, machine: str | None) -> list[Decoded]:
        """All readings of a message, in its order, one at least; `machine` is what the topic says of whom it is about.

        Raises `PayloadError`; its message is one line with at most 80 characters of the payload.
        """
        if not 0 < len(payload) <= self.max_bytes:
            raise PayloadError("size", f"expected a message of 1 to {self.max_bytes} bytes, got {len(payload)}")
        if machine is None and not self._says_machine:
            raise PayloadError("machine", "expected a topic that says which machine the message is about")
        return self._decode(payload, machine or "")


def _decode_of(payload: Payload, manifest: Manifest) -> Decode:
    names = manifest.channel_names
    if payload.kind == "json":
        return Objects(payload, names).decode
    if payload.kind == "array":
        return Arrays(payload, len(names)).decode
    if payload.kind == "csv":
        return Lines(payload, len(names)).decode
    if payload.kind == "float32":
        return Packed(len(names)).decode
    if manifest.waveform is None:
        raise InputError(f"payload: expected a bundle with a waveform for samples, {manifest.name} has none")
    return Samples(payload, manifest.waveform).decode


def _needed_kb(payload: Payload, manifest: Manifest) -> float:
    if payload.kind != "samples" or manifest.waveform is None:
        return DEFAULT_KB
    size = _PACKED_BYTES if payload.is_binary else _TEXT_BYTES
    return max(DEFAULT_KB, 1 + manifest.waveform.length * len(manifest.waveform.channels) * size / 1024)


class Arrays:
    """JSON arrays of one number a channel."""

    def __init__(self, payload: Payload, channels: int) -> None:
        self._many = payload.many is not None
        self._has_time = payload.time is not None
        self._length = channels + self._has_time

    def decode(self, payload: bytes, machine: str) -> list[Decoded]:
        """As `Decoder.decode`."""
        message = parse_json(payload)
        if not self._many:
            return [self._reading(message, machine)]
        return each_of(check_many(message), lambda reading: self._reading(reading, machine))

    def _reading(self, reading: Any, machine: str) -> Decoded:
        if type(reading) is not list or len(reading) != self._length:
            raise PayloadError(
                "shape", f"expected a list of {self._length} {_what(self._has_time)}, got {excerpt(reading)}"
            )
        if self._has_time:
            return Decoded(machine, microseconds_of(reading[0]), numbers_of(reading[1:]))
        return Decoded(machine, None, numbers_of(reading))


class Lines:
    """CSV lines, a reading each."""

    def __init__(self, payload: Payload, channels: int) -> None:
        self._has_time = payload.time is not None
        self._length = channels + self._has_time

    def decode(self, payload: bytes, machine: str) -> list[Decoded]:
        """As `Decoder.decode`."""
        lines = text_of(payload).removesuffix("\n").split("\n")
        if len(lines) == 1:
            return [self._reading(lines[0], machine)]
        if len(lines) > LIMIT_READINGS:
            raise PayloadError("size", f"expected at most {LIMIT_READINGS} readings in a message, got {len(lines)}")
        return each_of(lines, lambda line: self._reading(line, machine))

    def _reading(self, line: str, machine: str) -> Decoded:
        cells = line.removesuffix("\r").split(",")
        if len(cells) != self._length:
            raise PayloadError(
                "shape",
                f"expected {self._length} {_what(self._has_time)}, with commas between, got {len(cells)} in {excerpt(line)}",
            )
        time = _moment(cells.pop(0).strip()) if self._has_time else None
        return Decoded(machine, time, tuple([_cell(cell) for cell in cells]))


def _moment(cell: str) -> int:
    if len(cell) < 32 and "-" not in cell[1:] and _NUMBERS.fullmatch(cell):
        try:
            return microseconds_of(int(cell) if cell.isdigit() else float(cell))
        except ValueError:
            pass
    return microseconds_of(cell)


def _cell(cell: str) -> float:
    if not cell or cell.isspace():
        return float("nan")
    if _NUMBERS.fullmatch(cell):
        try:
            value = float(cell)
        except ValueError:
            pass
        else:
            if abs(value) != float("inf"):
                return value
    raise PayloadError("type", f"expected a number that a double can hold, got {excerpt(cell)}")


class Packed:
    """Little-endian float32, one a channel, for one or several readings."""

    def __init__(self, channels: int) -> None:
        self._row = struct.Struct(f"<{channels}f")

    def decode(self, payload: bytes, machine: str) -> list[Decoded]:
        """As `Decoder.decode`."""
        count, rest = divmod(len(payload), self._row.size)
        if rest:
            raise PayloadError("shape", f"expected a multiple of {self._row.size} bytes, got {len(payload)}")
        if count > LIMIT_READINGS:
            raise PayloadError("size", f"expected at most {LIMIT_READINGS} readings in a message, got {count}")
        return [Decoded(machine, None, values) for values in self._row.iter_unpack(payload)]


def _what(has_time: bool) -> str:
    return "values, the time first" if has_time else "numbers"
