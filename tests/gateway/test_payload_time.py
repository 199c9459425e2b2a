"""The time of a reading: ISO 8601, or a number whose size tells its unit."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta, timezone
from fractions import Fraction
from typing import Any

import pytest
from effort import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_runtime.errors import PayloadError
from edge_runtime.gateway.payload_time import microseconds_of
from edge_runtime.readings import EARLIEST, LATEST

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NOON = 1_714_564_800_000_000
FEW = settings(max_examples=examples(300), deadline=None, derandomize=True, database=None)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2024-05-01T12:00", NOON),
        ("2024-05-01 12:00:00", NOON),
        ("2024-05-01T12:00:00Z", NOON),
        ("2024-05-01T14:00:00.000001+02:00", NOON + 1),
        ("2024-05-01T12:00:00.123456789Z", NOON + 123_456),
        (1_714_564_800, NOON),
        (1_714_564_800.25, NOON + 250_000),
        (1_714_564_800_000, NOON),
        (1_714_564_800_000_000, NOON),
        (1_714_564_800_000_000_999, NOON),
        (1.7145648e18, NOON),
        (0, 0),
        (-1.5, -1_500_000),
    ],
)
def test_every_way_to_say_it(value: Any, expected: int) -> None:
    """Text with and without an offset, and four units."""
    assert microseconds_of(value) == expected


@pytest.mark.parametrize(
    "value",
    [
        "", "now", "2024-05-01", "20240501T120000", "2024-W18-3T12:00:00", "1714564800", "2024-13-01T12:00:00", "2024-05-01T25:00:00",
        "2024-05-01x12:00:00", "2024-05-01T12:00:00+99:00", "0001-01-01T00:00:00+00:01", "9999-12-31T23:59:59-00:01",
        "٢٠٢٤-05-01T12:00:00", "2024-05-01T12:00:00\ud800", True, None, [], {}, 10**20, -(10**20), 10**5000, 1e20, math.inf, math.nan,
    ],
    ids=lambda value: type(value).__name__,  # pytest would write the digits out
)  # fmt: skip
def test_what_is_no_time_is_refused(value: Any) -> None:
    """Dates alone, digits in quotes, what a datetime cannot hold."""
    with pytest.raises(PayloadError) as caught:
        microseconds_of(value)
    assert caught.value.reason == "time"
    assert str(caught.value).isascii()
    assert str(caught.value).isprintable()


OFFSETS = st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@given(st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.none() | OFFSETS))  # noqa: DTZ001 - naive too
@FEW
def test_iso_is_read_as_datetime_reads_it(moment: datetime) -> None:
    """A naive one is UTC."""
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    assert EPOCH + timedelta(microseconds=microseconds_of(moment.isoformat())) == aware


@pytest.mark.parametrize("unit", [1, 10**3, 10**6, 10**9])
@given(st.integers(631_152_000_000_000, 7_289_654_400_000_000))
@FEW
def test_from_1990_to_2200_no_unit_is_taken_for_another(unit: int, time: int) -> None:
    """Seconds, milli-, micro- and nanoseconds, whole or with a fraction; to the microsecond, as far as a double goes."""
    exact = Fraction(time * unit, 10**6)
    assert microseconds_of(int(exact)) == int(Fraction(int(exact) * 10**6, unit))
    as_double = float(exact)
    assert abs(microseconds_of(as_double) - Fraction(as_double) * 10**6 / unit) <= 1
    assert abs(microseconds_of(as_double) - time) <= 2


@given(st.integers() | st.floats() | st.text(max_size=40) | st.none() | st.booleans())
@FEW
def test_anything_else_is_refused(value: Any) -> None:
    """What comes out a datetime can hold."""
    try:
        time = microseconds_of(value)
    except PayloadError:
        return
    assert EARLIEST <= time <= LATEST
