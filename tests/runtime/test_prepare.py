"""Clean, scale and window as one object; the windows of a table."""

from __future__ import annotations

import handmade
import numpy as np

from edge_runtime.detector import Detector
from edge_runtime.engines import open_engine
from edge_runtime.manifest import Cleaning, Manifest, Scaling
from edge_runtime.prepare import Preparation
from edge_runtime.readings import SCORED


def preparation(m: Manifest, machines: int = 1) -> Preparation:
    return Preparation(m.preparation, machines)


def test_windows_of_a_table_are_those_of_its_readings() -> None:
    """What training fits to is what the device scores: the same windows, at the same rows, to the last bit."""
    m = handmade.manifest(4, 2, scaling=Scaling("standard", (0.5, -0.2), (1.3, 0.7)), cleaning=Cleaning(1))
    values, times = handmade.stream(60, 2)
    values[7, 0] = values[20:23, 1] = np.nan
    values[30, 1] = np.inf
    times[40:] += 10 * handmade.SECOND
    windows, ends, begins = preparation(m).windows_of(values, times)
    single = preparation(m)
    expected = {}
    restarts = []
    for row, time in enumerate(times.tolist()):
        status, restarted, window = single.step(0, values[row], time)
        restarts += [row] if restarted else []
        if window is not None:
            assert status == SCORED
            expected[row] = window.copy()
    assert restarts == [21, 22, 40]
    assert ends[begins].tolist() == [3, 26, 43]  # the first four readings, and the first four after each restart
    assert ends.tolist() == list(expected)
    assert windows.tobytes() == np.stack(list(expected.values())).tobytes()
    assert windows.dtype == np.float32
    assert 30 not in ends  # answered out of range, though its held value is in the windows after it
    assert {31, 32} <= set(ends.tolist())
    verdicts = Detector(m, open_engine("numpy", handmade.lstm_model(4, 2), (4, 2))).score(
        values, handmade.moments(times)
    )
    assert np.nonzero(verdicts.scored)[0].tolist() == ends.tolist()


def test_windows_of_a_table_start_fresh() -> None:
    """Twice the same."""
    values, times = handmade.stream(20, 2)
    prepare = preparation(handmade.manifest(4, 2))
    first, second = prepare.windows_of(values, times), prepare.windows_of(values, times)
    assert first[0].tobytes() == second[0].tobytes()
    assert np.array_equal(first[1], second[1])
    assert first[2].tolist() == second[2].tolist() == [True] + [False] * 16


def test_a_table_without_a_full_window() -> None:
    """No windows, of the right shape."""
    values, times = handmade.stream(3, 2)
    windows, ends, begins = preparation(handmade.manifest(4, 2)).windows_of(values, times)
    assert (windows.shape, ends.shape, begins.shape) == ((0, 4, 2), (0,), (0,))


def test_a_window_is_scaled() -> None:
    """In units of each channel's spread, around its center."""
    m = handmade.manifest(2, 2, scaling=Scaling("standard", (10.0, -1.0), (2.0, 0.5)))
    windows, _, _ = preparation(m).windows_of(np.array([[12.0, -1.0], [8.0, 0.0]]), handmade.stream(2, 2)[1])
    assert windows.tolist() == [[[1.0, 0.0], [-1.0, 2.0]]]
