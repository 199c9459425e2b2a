"""Repeats and straight lines, against plain loops; test_data.py has how they are used."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from edge_runtime.manifest import Channel
from training.usable import interpolated, with_stuck_limits

columns = st.lists(st.sampled_from([math.nan, 1.0, 1.0, 2.0, 5.0]), max_size=25)


@given(stretches=st.lists(columns, min_size=1, max_size=3), least=st.integers(1, 6))
def test_the_longest_repeat(stretches, least):
    """A missing value stands between no two; no repeat reaches from one stretch into the next."""
    longest = 1
    for column in stretches:
        last, count = None, 0
        for value in column:
            if not math.isnan(value):
                count = count + 1 if value == last else 1
                last = value
            longest = max(longest, count)
    usable = [np.array(column).reshape(-1, 1) for column in stretches]
    (channel,) = with_stuck_limits([Channel("a")], usable, 2.0, least)
    assert channel.stuck_after == max(least, 2 * longest)


@given(column=columns, steps=st.lists(st.integers(1, 9), min_size=25, max_size=25), rows=st.integers(0, 4))
def test_interpolation(column, steps, rows):
    """Only holes of at most so many rows, between two values; in proportion to the time."""
    times = np.cumsum(steps)[: len(column)]
    values = np.array(column, np.float64).reshape(-1, 1)
    got = interpolated(values, times, rows)[:, 0]
    good = [row for row, value in enumerate(column) if not math.isnan(value)]
    for row, value in enumerate(column):
        before = max((each for each in good if each <= row), default=None)
        after = min((each for each in good if each >= row), default=None)
        if not math.isnan(value):
            assert got[row] == value
        elif before is None or after is None or after - before - 1 > rows:
            assert math.isnan(got[row])
        else:
            share = (times[row] - times[before]) / (times[after] - times[before])
            assert abs(got[row] - (column[before] + share * (column[after] - column[before]))) < 1e-9
    assert np.array_equal(values[:, 0], column, equal_nan=True)
