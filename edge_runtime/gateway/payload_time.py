"""The time of a reading, as a payload says it.

Text is ISO 8601, a date and a time; without an offset it is UTC. A number is the time since 1970 UTC, and its size tells the unit:

    below 1e11 seconds, below 1e14 milliseconds, below 1e17 microseconds, below 1e20 nanoseconds

so that in each unit the years from 1973 to 5138 mean what they say. Negative numbers are before 1970, by the same rule.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn

from edge_runtime.errors import PayloadError
from edge_runtime.gateway.excerpt import excerpt
from edge_runtime.readings import EARLIEST, EPOCH, LATEST

_MICROSECOND = timedelta(microseconds=1)
_EXPECTED = "expected a time, ISO 8601 with date and time or a number since 1970"


def microseconds_of(value: Any) -> int:
    """Microseconds since 1970 UTC of text, or of a number, as parsed from JSON. Raises `PayloadError` with the reason `time`."""
    if type(value) is str:
        time = _of_text(value)
    elif type(value) is int:
        time = _of_whole(value)
    elif type(value) is float:
        time = _of_float(value)
    else:
        _refuse(value)
    if not EARLIEST <= time <= LATEST:  # before the year 1, or by its offset out of what a datetime can hold
        raise PayloadError("time", f"expected a time in the years 1 to 9999, got {excerpt(value)}")
    return time


def _of_whole(number: int) -> int:
    size = abs(number)
    if size < 10**11:
        return number * 1_000_000
    if size < 10**14:
        return number * 1000
    if size < 10**17:
        return number
    return number // 1000 if size < 10**20 else _refuse(number)


def _of_float(number: float) -> int:
    size = abs(number)
    if size < 1e11:
        return round(number * 1e6)
    if size < 1e14:
        return round(number * 1e3)
    if size < 1e17:
        return round(number)
    return round(number / 1e3) if size < 1e20 else _refuse(number)  # NaN is below nothing


def _of_text(text: str) -> int:
    # Python takes more for ISO 8601 than anyone means: dates alone, and weeks; digits alone may have been a number.
    if len(text) < 16 or text[4] != "-" or text[7] != "-" or text[10] not in "T t":
        _refuse(text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        _refuse(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - EPOCH) // _MICROSECOND


def _refuse(value: Any) -> NoReturn:
    raise PayloadError("time", f"{_EXPECTED}, got {excerpt(value)}")
