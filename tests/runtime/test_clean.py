"""Missing, impossible and late readings; test_oracle.py has the rest."""

from __future__ import annotations

import math

import handmade
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_runtime.clean import Clean
from edge_runtime.manifest import Channel, Cleaning, Sampling, Scaling, Sensors
from edge_runtime.readings import STATUSES

NAN = math.nan
SCALING = Scaling("standard", (0.0, 0.0), (1.0, 1.0))


def cleaner(hold_limit: int = 1, machines: int = 1, scaling: Scaling = SCALING) -> Clean:
    channels = (Channel("a", "", -10.0, 10.0), Channel("b"))
    return Clean(channels, Sampling(1.0, 3.0), Cleaning(hold_limit), scaling, machines)


def step(clean: Clean, values: list[float], seconds: float) -> tuple[list[float], str, bool, bool]:
    filled, status, restarts, complete = clean.step(0, values, round(seconds * handmade.SECOND))
    return list(filled), STATUSES[int(status)], bool(restarts), bool(complete)


def test_a_missing_value_is_held_up_to_the_limit() -> None:
    """Then the window restarts, again and again until the value is back."""
    clean = cleaner(hold_limit=2)
    assert step(clean, [1.0, 2.0], 0) == ([1.0, 2.0], "scored", False, True)
    assert step(clean, [NAN, 3.0], 1) == ([1.0, 3.0], "scored", False, True)
    assert step(clean, [NAN, 4.0], 2) == ([1.0, 4.0], "scored", False, True)
    for second in (3, 4):
        assert step(clean, [NAN, 5.0], second)[1:] == ("gap", True, False)
    assert step(clean, [6.0, NAN], 5) == ([6.0, 5.0], "scored", False, True)
    assert step(clean, [NAN, NAN], 6) == ([6.0, 5.0], "scored", False, True)


def test_with_a_limit_of_zero_nothing_is_held() -> None:
    """A missing value restarts at once."""
    clean = cleaner(hold_limit=0)
    step(clean, [1.0, 2.0], 0)
    assert step(clean, [1.0, NAN], 1)[1:] == ("gap", True, False)


def test_there_is_nothing_to_hold_before_the_first_value() -> None:
    """Or after a gap: what was before it is not carried across."""
    clean = cleaner(hold_limit=5)
    assert step(clean, [NAN, 2.0], 0)[1:] == ("gap", True, False)
    assert step(clean, [1.0, 2.0], 1)[1] == "scored"
    assert step(clean, [NAN, 2.0], 5)[1:] == ("gap", True, False)
    assert step(clean, [NAN, 2.0], 6)[1:] == ("gap", True, False)
    assert step(clean, [3.0, NAN], 7) == ([3.0, 2.0], "scored", False, True)


def test_a_value_outside_its_range_is_held_and_said() -> None:
    """The limits themselves are inside; infinity never is."""
    clean = cleaner(hold_limit=1)
    for second, value in enumerate((10.0, -10.0)):
        assert step(clean, [value, 0.0], second)[1] == "scored"
    assert step(clean, [10.001, 1.0], 2) == ([-10.0, 1.0], "out_of_range", False, True)
    assert step(clean, [10.001, 1.0], 3)[1:] == ("out_of_range", True, False)
    assert step(clean, [1.0, math.inf], 4)[:2] == ([1.0, 1.0], "out_of_range")
    assert step(clean, [1.0, -math.inf], 5)[1:] == ("out_of_range", True, False)


def test_values_too_large_to_calculate_with_are_outside() -> None:
    """A trillion scales from the center, whatever the channel's own range is."""
    clean = cleaner(scaling=Scaling("standard", (0.0, 5.0), (1.0, 1e-3)))
    assert step(clean, [0.0, 5.0 + 0.99e9], 0)[1] == "scored"
    assert step(clean, [0.0, 5.0 + 1.01e9], 1)[1] == "out_of_range"


@pytest.mark.parametrize("seconds", [10.0, 9.0, -1e6])
def test_a_late_reading_changes_nothing(seconds: float) -> None:
    """A repeated or earlier time is a gap for this reading only: not held, not counted, no restart."""
    clean = cleaner(hold_limit=1)
    step(clean, [1.0, 2.0], 10)
    assert step(clean, [7.0, 99.0], seconds)[1:] == ("gap", False, False)
    assert step(clean, [NAN, NAN], seconds)[1:] == ("gap", False, False)
    assert step(clean, [99.0, math.inf], seconds)[1:] == ("gap", False, False)
    assert step(clean, [NAN, NAN], 11) == ([1.0, 2.0], "scored", False, True)


def test_the_longest_gap_is_still_no_gap() -> None:
    """One microsecond more is; its reading is the first of the next window."""
    clean = cleaner()
    step(clean, [1.0, 2.0], 0)
    assert step(clean, [1.0, 2.0], 3.0)[1:] == ("scored", False, True)
    assert step(clean, [5.0, 6.0], 6.000001) == ([5.0, 6.0], "gap", True, True)
    assert step(clean, [11.0, 6.0], 66.0)[1:] == ("out_of_range", True, False)


def rated(hold_limit: int = 2) -> Clean:
    """Two channels, of which the first changes by at most 2 a second."""
    channels = (Channel("a", max_rate=2.0), Channel("b"))
    return Clean(channels, Sampling(1.0, 3.0), Cleaning(hold_limit), SCALING, 1)


def test_a_change_too_fast_is_impossible() -> None:
    """Treated as missing and said; the rate itself is allowed, over the time since the last good value."""
    clean = rated()
    step(clean, [0.0, 0.0], 0)
    assert step(clean, [2.0, 50.0], 1) == ([2.0, 50.0], "scored", False, True)
    assert step(clean, [4.001, 0.0], 2) == ([2.0, 0.0], "out_of_range", False, True)
    assert step(clean, [6.0, 0.0], 3) == ([6.0, 0.0], "scored", False, True)
    assert step(clean, [NAN, 0.0], 4)[1] == "scored"
    assert step(clean, [2.0, 0.0], 5) == ([2.0, 0.0], "scored", False, True)
    assert step(clean, [-2.0, 0.0], 6.5) == ([2.0, 0.0], "out_of_range", False, True)
    assert step(clean, [math.inf, 0.0], 7)[1] == "out_of_range"
    assert step(clean, [-1.0, 0.0], 7.5)[1] == "scored"


def test_a_new_level_is_believed_after_the_hold_limit() -> None:
    """With nothing left to hold there is nothing to compare with: the window starts again at the new level."""
    clean = rated(hold_limit=2)
    step(clean, [0.0, 0.0], 0)
    for second, (restarts, complete) in enumerate([(False, True), (False, True), (True, False)], 1):
        assert step(clean, [90.0, 0.0], second)[1:] == ("out_of_range", restarts, complete)
    assert step(clean, [90.0, 0.0], 4) == ([90.0, 0.0], "scored", False, True)


def test_nothing_limits_the_first_value_and_the_first_after_a_gap() -> None:
    """Nor the one after a reset; a late reading is no last good value."""
    clean = rated()
    assert step(clean, [1e6, 0.0], 10)[1] == "scored"
    assert step(clean, [0.0, 0.0], 13.1) == ([0.0, 0.0], "gap", True, True)
    assert step(clean, [50.0, 0.0], 13.0)[1] == "gap"
    assert step(clean, [50.0, 0.0], 14)[1] == "out_of_range"
    clean.reset(0)
    assert step(clean, [NAN, 0.0], 15)[1] == "gap"
    assert step(clean, [50.0, 0.0], 16)[1] == "scored"


def test_a_silent_sensor_is_a_fault() -> None:
    """One channel missing for too long while another speaks; all of them missing is a gap, so is one not missing for long."""
    channels = (Channel("a"), Channel("b"))
    clean = Clean(channels, Sampling(1.0, 3.0), Cleaning(1), SCALING, 1, Sensors())
    assert step(clean, [NAN, 1.0], 0)[1:] == ("gap", True, False)  # nothing to hold, but nobody has waited for long
    assert step(clean, [NAN, 1.0], 1)[1:] == ("sensor_fault", True, False)
    assert clean.silent(0).tolist() == [True, False]
    assert step(clean, [1.0, 1.0], 2) == ([1.0, 1.0], "scored", False, True)
    assert not clean.silent(0).any()
    assert step(clean, [1.0, NAN], 3)[1] == "scored"
    assert step(clean, [math.inf, NAN], 4)[1] == "sensor_fault"
    assert step(clean, [NAN, NAN], 5)[1] == "gap"
    assert step(clean, [NAN, NAN], 5)[1] == "gap"
    assert step(clean, [1.0, NAN], 6)[1] == "sensor_fault"
    assert step(clean, [1.0, NAN], 60)[1] == "gap"
    assert step(clean, [1.0, NAN], 61)[1] == "sensor_fault"
    for sensors in (None, Sensors(silent=False)):
        quiet = Clean(channels, Sampling(1.0, 3.0), Cleaning(0), SCALING, 1, sensors)
        assert [step(quiet, [NAN, 1.0], second)[1] for second in range(3)] == ["gap"] * 3


def test_a_missing_value_takes_the_median() -> None:
    """Also before the first value, for as long as others would be held; the last good value is kept for the other rules."""
    channels = (Channel("a"), Channel("b"))
    clean = Clean(channels, Sampling(1.0, 3.0), Cleaning(1, "median", (7.0, 8.0)), SCALING, 1)
    assert step(clean, [NAN, 1.0], 0) == ([7.0, 1.0], "scored", False, True)
    assert step(clean, [NAN, 1.0], 1)[1:] == ("gap", True, False)
    assert step(clean, [2.0, NAN], 2) == ([2.0, 8.0], "scored", False, True)
    assert [float(column[0]) for column in clean.held] == [2.0, 1.0]
    assert step(clean, [math.inf, 3.0], 3) == ([7.0, 3.0], "out_of_range", False, True)
    assert step(clean, [NAN, NAN], 9) == ([7.0, 8.0], "gap", True, True)


@given(
    rounds=st.lists(
        st.lists(
            st.tuples(
                st.sampled_from([0.0, 1.0, 1.0, 1.0, 2.0, 9.0, -1.0]),
                st.lists(st.sampled_from([0.5, 1.5, NAN, 11.0, math.inf]), min_size=2, max_size=2),
            ),
            min_size=3,
            max_size=3,
        ),
        max_size=15,
    ),
    hold_limit=st.integers(0, 2),
)
def test_machines_together_are_machines_alone(rounds: list[list[tuple[float, list[float]]]], hold_limit: int) -> None:
    """A step of several machines at once is the same as one by one, whatever each of them sends."""
    together, alone = cleaner(hold_limit, 4), cleaner(hold_limit, 4)
    machines, clock = np.array([3, 0, 2]), np.zeros(3, np.int64)
    for readings in rounds:
        clock = clock + np.array([round(seconds * handmade.SECOND) for seconds, _ in readings])
        columns = list(np.array([values for _, values in readings]).T)
        filled, status, restarts, complete = together.step(machines, columns, clock)
        for row, machine in enumerate(machines.tolist()):
            one = alone.step(machine, readings[row][1], int(clock[row]))
            flags = [int(np.broadcast_to(each, 3)[row]) for each in (status, restarts, complete)]
            assert flags == [int(each) for each in one[1:]]
            if one[3]:
                assert [float(column[row]) for column in filled] == list(one[0])


def test_reset_forgets_time_and_values() -> None:
    """An earlier time is fine, and there is nothing to hold."""
    clean = cleaner(machines=2)
    step(clean, [1.0, 2.0], 100)
    clean.reset(0)
    assert step(clean, [NAN, 2.0], 5)[1:] == ("gap", True, False)
    assert step(clean, [1.0, 2.0], 6)[1] == "scored"
