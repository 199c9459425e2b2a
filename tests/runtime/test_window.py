"""The windows against a list of the last T readings."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_runtime.window import Windows


@given(length=st.integers(2, 6), C=st.integers(1, 3), actions=st.lists(st.integers(-1, 2), max_size=60))
def test_a_window_is_the_last_readings_in_order(length: int, C: int, actions: list[int]) -> None:
    """For each of three machines, pushed in any order and restarted at times (-1 restarts machine 0)."""
    windows = Windows(3, length, C)
    expected: list[list[np.ndarray]] = [[], [], []]
    for number, machine in enumerate(actions):
        if machine < 0:
            windows.restart(0)
            expected[0].clear()
            continue
        reading = np.arange(C) + 10.0 * number
        window, is_full = windows.push(machine, reading.tolist())
        expected[machine].append(reading)
        assert bool(is_full) == (len(expected[machine]) >= length)
        last = expected[machine][-length:]
        assert np.array_equal(window[0, length - len(last) :], last)
        assert (window.shape, window.dtype) == ((1, length, C), np.float32)


def test_one_machines_window_is_a_view_that_cannot_be_written() -> None:
    """No copy, contiguous for the engine, and safe from it."""
    windows = Windows(2, 4, 3)
    for number in range(9):
        window, _ = windows.push(1, [float(number)] * 3)
        assert not window.flags.owndata
        assert window.flags.c_contiguous
        with pytest.raises(ValueError, match="read-only"):
            window[0, 0, 0] = 1.0


@given(
    rounds=st.lists(
        st.permutations(range(4)).flatmap(lambda order: st.integers(0, 4).map(lambda n: order[:n])), max_size=20
    )
)
def test_several_machines_at_once(rounds: list[list[int]]) -> None:
    """The same windows as one machine at a time."""
    together, alone = Windows(4, 3, 2), Windows(4, 3, 2)
    for number, machines in enumerate(rounds):
        readings = np.arange(2 * len(machines)).reshape(-1, 2) + 100.0 * number
        is_full = together.add(np.array(machines, np.int64), list(readings.T))
        got = together.of(np.array(machines, np.int64))
        assert (got.shape, np.shape(is_full)) == ((len(machines), 3, 2), (len(machines),))
        for row, machine in enumerate(machines):
            window, full = alone.push(machine, readings[row].tolist())
            assert np.array_equal(got[row], window[0])
            assert bool(is_full[row]) == bool(full)
