"""Messages of JSON: strict parsing, numbers, and objects whose channels are found by paths."""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Sequence
from math import isfinite
from operator import itemgetter
from typing import Any, NoReturn

from edge_runtime.errors import InputError, PayloadError
from edge_runtime.gateway.config import Payload
from edge_runtime.gateway.excerpt import excerpt
from edge_runtime.gateway.message import Decoded
from edge_runtime.gateway.payload_path import Path
from edge_runtime.gateway.payload_time import microseconds_of
from edge_runtime.gateway.topics import name_fault

LIMIT_READINGS = 10_000
"""In one message: so many take a few MB for a moment."""
_PLAIN = frozenset((int, float))
_NAN = float("nan")


def _refuse_constant(name: str) -> NoReturn:
    raise PayloadError("type", f"expected JSON numbers, or null where one is missing, got {name}")


_parse = json.JSONDecoder(parse_constant=_refuse_constant).decode


def text_of(payload: bytes) -> str:
    """UTF-8 text, without the byte order mark some senders begin with. Raises `PayloadError`."""
    try:
        text = payload.decode()
    except UnicodeDecodeError as fault:
        byte = payload[fault.start]
        raise PayloadError("json", f"expected UTF-8 text, got the byte {byte:#04x} at position {fault.start}") from None
    return text[1:] if text[:1] == "\ufeff" else text


def parse_json(payload: bytes) -> Any:
    """The message as lists, dictionaries and plain values. Raises `PayloadError`, also for NaN and Infinity."""
    text = text_of(payload)
    try:
        return _parse(text)
    except json.JSONDecodeError as fault:
        raise PayloadError("json", f"expected JSON: {fault.msg} at character {fault.pos + 1}") from None
    except ValueError:  # more digits than Python turns into a number
        raise PayloadError("type", "expected numbers that a double can hold, got a very large number") from None
    except RecursionError:
        raise PayloadError("json", "expected JSON with less lists and objects within each other") from None


def numbers_of(found: Sequence[Any], names: Sequence[str] | None = None) -> tuple[float, ...]:
    """Values as parsed from JSON as numbers, NaN for null. Raises `PayloadError` with the reason `type`; `names`: what they are."""
    if _PLAIN.issuperset(map(type, found)):
        try:
            values = tuple(map(float, found))
        except OverflowError:
            pass
        else:
            if isfinite(sum(values)):  # as good as always; else the sum is too large, or one of them
                return values
    return tuple([_number(value, position, names) for position, value in enumerate(found)])


def _number(value: Any, position: int, names: Sequence[str] | None) -> float:
    if value is None:
        return _NAN
    if type(value) in _PLAIN:
        try:
            number = float(value)
        except OverflowError:
            pass
        else:
            if isfinite(number):
                return number
    where = f"of {excerpt(names[position])}" if names else f"in place {position + 1}"
    raise PayloadError("type", f"expected a number that a double can hold, or null, {where}, got {excerpt(value)}")


def check_many(readings: Any) -> list[Any]:
    """The readings of a message, one at least. Raises `PayloadError`."""
    if type(readings) is not list or not readings:
        got = "nothing there" if readings is Path.MISSING else "none" if readings == [] else excerpt(readings)
        raise PayloadError("shape", f"expected a list of readings, got {got}")
    if len(readings) > LIMIT_READINGS:
        raise PayloadError("size", f"expected at most {LIMIT_READINGS} readings in a message, got {len(readings)}")
    return readings


def each_of(readings: Sequence[Any], decode: Callable[[Any], Decoded]) -> list[Decoded]:
    """All readings of a message; the error of one that is wrong says which."""
    decoded = []
    for position, reading in enumerate(readings, 1):
        try:
            decoded.append(decode(reading))
        except PayloadError as fault:
            raise PayloadError(fault.reason, f"reading {position} of {len(readings)}: {fault}") from None
    return decoded


class Labels:
    """Time and machine, where a JSON message says them."""

    def __init__(self, payload: Payload) -> None:
        self._time = None if payload.time is None else Path(payload.time)
        self._machine = None if payload.machine is None else Path(payload.machine)

    def find(self, message: Any, reading: Any, machine: str) -> tuple[str, int | None]:
        """The machine's name, `machine` unless the message has to say it, and the time in microseconds. Raises `PayloadError`."""
        if self._machine is not None:
            machine = _name(self._machine.find(message, reading), self._machine)
        if self._time is None:
            return machine, None
        time = self._time.find(message, reading)
        if time is Path.MISSING:
            raise PayloadError("time", f"expected the time at {self._time.text}, found nothing there")
        return machine, microseconds_of(time)


def _name(found: Any, path: Path) -> str:
    if type(found) is int and abs(found) < 10**18:  # an id
        return str(found)
    if type(found) is not str:
        got = "found nothing there" if found is Path.MISSING else f"got {excerpt(found)}"
        raise PayloadError("machine", f"expected the machine's name at {path.text}, {got}")
    fault = name_fault(found)
    if fault:
        raise PayloadError("machine", fault)
    return found


class Objects:
    """JSON objects with a path for each channel."""

    def __init__(self, payload: Payload, names: Sequence[str]) -> None:
        """Raises `InputError` if a channel is named that the bundle, whose channels `names` are, does not have."""
        for name in payload.channels:
            if name not in names:
                near = difflib.get_close_matches(name, names, n=1)
                hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(names)}"
                raise InputError(f"payload.channels: unknown channel {name!r}, {hint}")
        self._names = tuple(names)
        self._paths = [
            Path(payload.channels[name]) if name in payload.channels else Path.to_key(name) for name in names
        ]
        self._many = None if payload.many is None else Path(payload.many)
        self._labels = Labels(payload) if payload.time is not None or payload.machine is not None else None
        self._may_miss = payload.ignore_missing
        is_flat = all(len(path.keys) == 1 and not path.from_message for path in self._paths)
        self._flat: Callable[[Any], Any] | None = None
        if is_flat and len(self._paths) > 1:  # of one key it gives the value itself
            self._flat = itemgetter(*[path.keys[0] for path in self._paths])

    def decode(self, payload: bytes, machine: str) -> list[Decoded]:
        """As `Decoder.decode`."""
        message = parse_json(payload)
        if self._many is None:
            return [self._reading(message, message, machine)]
        readings = check_many(self._many.find(message, message))
        return each_of(readings, lambda reading: self._reading(message, reading, machine))

    def _reading(self, message: Any, reading: Any, machine: str) -> Decoded:
        time = None
        if self._labels is not None:
            machine, time = self._labels.find(message, reading, machine)
        if self._flat is not None and type(reading) is dict:
            try:
                return Decoded(machine, time, numbers_of(self._flat(reading), self._names))
            except KeyError:
                pass
        return Decoded(machine, time, numbers_of(self._found(message, reading), self._names))

    def _found(self, message: Any, reading: Any) -> list[Any]:
        if type(reading) is not dict and type(reading) is not list:
            raise PayloadError("shape", f"expected an object, got {excerpt(reading)}")
        found = [path.find(message, reading) for path in self._paths]
        if Path.MISSING not in found:
            return found
        missing = next(index for index, value in enumerate(found) if value is Path.MISSING)
        if not self._may_miss or all(value is Path.MISSING for value in found):
            name, path = self._names[missing], self._paths[missing].text
            at = "" if path == name else f" at {excerpt(path)}"
            raise PayloadError("channel", f"expected the channel {excerpt(name)}{at}, found nothing there")
        return [None if value is Path.MISSING else value for value in found]
