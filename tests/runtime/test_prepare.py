"""Clean, scale and window as one object; the windows of a table."""

from __future__ import annotations

import handmade
import numpy as np

from edge_runtime.detector import Detector
from edge_runtime.engines import open_engine
from edge_runtime.manifest import Channel, Cleaning, Derived, Manifest, Scaling
from edge_runtime.prepare import Preparation
from edge_runtime.readings import GAP, OUT_OF_RANGE, SCORED, WARMING_UP


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


DERIVED = (Derived("rolling_std", "c0", 3), Derived("rate", "c1"), Derived("time_of_day"))


def derived_manifest() -> Manifest:
    channels = (Channel("c0", is_input=False), Channel("c1", "", -50.0, 50.0))
    return handmade.manifest(4, 2, channels=channels, derived=DERIVED, cleaning=Cleaning(1))


def test_a_reading_without_its_derived_values_is_warming_up() -> None:
    """And does not enter the window: the first is full after T and the warm-up; a restart begins both anew."""
    values, times = handmade.stream(40, 2)
    values[20:22, 1] = np.nan
    prepare = preparation(derived_manifest())
    statuses = [prepare.step(0, row, time)[0] for row, time in zip(values.tolist(), times.tolist(), strict=True)]
    assert derived_manifest().preparation.readings_needed == 6
    assert statuses == [WARMING_UP] * 5 + [SCORED] * 16 + [GAP] + [WARMING_UP] * 5 + [SCORED] * 13


def test_a_derived_window_by_hand() -> None:
    """The channel that is kept, then what is derived, in order; the other channel is not there."""
    values, times = handmade.stream(6, 2)
    windows, ends, _ = preparation(derived_manifest()).windows_of(values, times)
    assert (windows.shape, ends.tolist()) == ((1, 4, 5), [5])
    assert np.allclose(windows[0, :, 0], values[2:, 1])
    assert np.allclose(windows[0, :, 1], [values[row - 2 : row + 1, 0].std() for row in range(2, 6)])
    assert np.allclose(windows[0, :, 2], np.diff(values[:, 1])[1:])


def test_many_machines_derive_as_one_does() -> None:
    """Statuses and windows are equal to the last bit, with holes, gaps, late and impossible readings."""
    m, machines = derived_manifest(), 5
    together, alone = preparation(m, machines), preparation(m, machines)
    rng = np.random.default_rng(3)
    clocks = np.full(machines, handmade.START)
    seen = set()
    for _ in range(300):
        who = rng.permutation(machines)[: rng.integers(1, machines + 1)]
        clocks[who] += handmade.SECOND * rng.choice([1, 1, 1, 1, 1, 1, 1, 1, 0, 10], len(who))
        values = rng.normal(0, 1, (len(who), 2))
        values[rng.random(values.shape) < 0.04] = np.nan
        values[rng.random(values.shape) < 0.02] = 1e55
        statuses, restarts = together.take_many(who, values, clocks[who])
        windows = together.windows.of(who[statuses == SCORED])
        expected = []
        for row, machine in enumerate(who.tolist()):
            status, restarted, window = alone.step(machine, values[row].tolist(), int(clocks[machine]))
            assert (status, restarted) == (statuses[row], restarts[row])
            if window is not None:
                expected.append(window.copy())
        assert windows.tobytes() == b"".join(window.tobytes() for window in expected)
        seen.update(statuses.tolist())
    assert seen == {SCORED, WARMING_UP, GAP, OUT_OF_RANGE}


def test_a_derived_value_beyond_all_measure_is_limited() -> None:
    """A jump within a microsecond is no infinity in float32: it is as far from normal as anything can be."""
    m = handmade.manifest(2, 2, derived=(Derived("rate", "c0"),))
    prepare = preparation(m)
    for row, value in enumerate((0.0, 1e12, -1e12)):
        _, _, window = prepare.step(0, [value, 0.0], handmade.START + row)
    assert window is not None
    assert window[0, :, 2].tolist() == [np.float32(1e12), np.float32(-1e12)]


def test_nothing_is_derived_where_nothing_is_asked_for() -> None:
    """The step is not there at all: a reading pays for one comparison."""
    assert preparation(handmade.manifest(4, 2))._derive is None
