"""What people say to the gateway: the messages on `PREFIX/NAME/commands`."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Any, NamedTuple, NoReturn

from edge_runtime.errors import PayloadError
from edge_runtime.readings import to_microseconds

MINUTE = 60_000_000
LARGEST_COMMAND = 65_536
"""Bytes; a thousand names of machines fit."""
MOST_MACHINES, MOST_TEXT = 1_000, 200
LONGEST_WORK = 31 * 24 * 60 * MINUTE
"""A month: a slip of the pen must not silence a machine for years. Longer work is for the configuration."""


class Acknowledge(NamedTuple):
    """Somebody has seen an alert."""

    alert: str
    by: str


class Begin(NamedTuple):
    """Work on machines begins, now or later."""

    machines: tuple[str, ...]
    start: int | None
    """Microseconds since 1970 UTC; None: now."""
    end: int | None
    """None: after so many `minutes`."""
    minutes: float | None
    note: str
    by: str


class End(NamedTuple):
    """Work on machines is over, also what was announced for later."""

    machines: tuple[str, ...]


Command = Acknowledge | Begin | End
_KEYS = {
    "acknowledge": {"alert", "by"},
    "maintenance": {"machines", "start", "end", "minutes", "note", "by"},
    "end_maintenance": {"machines", "by"},
}


def parse_command(payload: bytes, *, is_retained: bool = False) -> Command:
    """What a message on `PREFIX/NAME/commands` asks for. Raises `PayloadError`.

    One that the broker retained is refused: it would be handed out, and done, at every start.
    """
    if is_retained:
        raise PayloadError(
            "command", "expected a command as it is given, got a retained one: publish it without retain"
        )
    given = _object(payload)
    name = given.pop("command", None)
    if not isinstance(name, str) or name not in _KEYS:
        raise PayloadError("command", f"expected a command of {', '.join(_KEYS)}, got {_shown(name)}")
    unknown = sorted(given.keys() - _KEYS[name])
    if unknown:
        raise PayloadError(
            "command", f"{name}: expected {', '.join(sorted(_KEYS[name]))}, got the key {_shown(unknown[0])}"
        )
    by = _word(given, "by", "")
    if name == "acknowledge":
        alert = _word(given, "alert")
        if not re.fullmatch(r"[0-9a-f]{16}", alert):
            raise PayloadError("command", f"alert: expected an id of 16 hexadecimal digits, got {_shown(alert)}")
        return Acknowledge(alert, by)
    machines = _machines(given)
    if name == "end_maintenance":
        return End(machines)
    start, end, minutes = _moment(given, "start"), _moment(given, "end"), given.get("minutes")
    if (end is None) == (minutes is None):
        raise PayloadError("command", "expected the key end or the key minutes, got both or none")
    if minutes is not None:
        if type(minutes) not in (int, float) or not 0 < minutes <= LONGEST_WORK / MINUTE:
            raise PayloadError("time", f"minutes: expected up to {LONGEST_WORK // MINUTE}, got {_shown(minutes)}")
        minutes = float(minutes)
    if start is not None and end is not None and not start < end <= start + LONGEST_WORK:
        raise PayloadError("time", f"end: expected one after the start, by 31 days at most, got {_shown(given['end'])}")
    return Begin(machines, start, end, minutes, _word(given, "note", ""), by)


def _object(payload: bytes) -> dict[str, Any]:
    if len(payload) > LARGEST_COMMAND:
        raise PayloadError("size", f"expected a command of at most {LARGEST_COMMAND} bytes, got {len(payload)}")
    try:
        given = json.loads(payload.decode(), object_pairs_hook=_once, parse_constant=_refused)
    except (UnicodeDecodeError, ValueError, RecursionError):
        raise PayloadError("json", f"expected a command as a JSON object, got {_shown(payload)}") from None
    if not isinstance(given, dict):
        raise PayloadError("json", f"expected a command as a JSON object, got {_shown(payload)}")
    return given


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    given = dict(pairs)
    if len(given) < len(pairs):
        raise PayloadError("json", "expected each key once, got one twice")
    return given


def _refused(name: str) -> NoReturn:
    raise PayloadError("type", f"expected numbers, got {name}")


def _word(given: dict[str, Any], key: str, otherwise: str | None = None) -> str:
    text = given.get(key, otherwise)
    if not isinstance(text, str) or len(text) > MOST_TEXT or not text.isprintable():
        found = "nothing" if key not in given else _shown(text)
        raise PayloadError("type", f"{key}: expected text of at most {MOST_TEXT} characters on one line, got {found}")
    return text


def _machines(given: dict[str, Any]) -> tuple[str, ...]:
    machines = given.get("machines")
    if not isinstance(machines, list) or not 0 < len(machines) <= MOST_MACHINES:
        raise PayloadError(
            "machine", f"machines: expected a list of 1 to {MOST_MACHINES} names, got {_shown(machines)}"
        )
    for machine in machines:
        if not isinstance(machine, str) or not 0 < len(machine) <= MOST_TEXT or not machine.isprintable():
            raise PayloadError("machine", f"machines: expected names, got {_shown(machine)}")
    return tuple(dict.fromkeys(machines))


def _moment(given: dict[str, Any], key: str) -> int | None:
    text = given.get(key)
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        microseconds = to_microseconds(moment)
    except (TypeError, ValueError, OverflowError):
        raise PayloadError("time", f"{key}: expected a date and time (ISO 8601), got {_shown(text)}") from None
    return microseconds


def _shown(value: object) -> str:
    """Short, and on one line."""
    if isinstance(value, dict | list):
        return f"{'an object' if isinstance(value, dict) else 'a list'} of {len(value)}"
    text = ascii(value[:60] if isinstance(value, str | bytes) else value)
    return text if len(text) <= 80 else f"{text[:77]}..."
