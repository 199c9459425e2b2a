"""The last hour of every machine: against plain dictionaries, and small."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from edge_runtime.gateway.recent import INTERVAL_S, INTERVALS, RecentScores


def update(recent, rows, scores, now, threshold=1.0):
    rows = np.asarray(rows)
    recent.update(rows, np.asarray(scores, float), np.full(len(rows), threshold), now)


@pytest.mark.parametrize("seed", range(5))
def test_it_is_the_largest_score_and_the_last_threshold_of_each_interval(seed):
    """However often a machine is in an update, in whatever order time passes it by, for each of 120 intervals."""
    rng = np.random.default_rng(seed)
    recent = RecentScores(4)
    largest: dict[tuple[int, int], float] = {}
    last: dict[tuple[int, int], float] = {}
    now = 1e5
    for _ in range(400):
        now += rng.choice([0.01, 5.0, 31.0, 400.0], p=[0.4, 0.4, 0.19, 0.01])
        rows = rng.integers(0, 4, 6)
        scores = np.where(rng.random(6) < 0.2, np.nan, rng.random(6))
        thresholds = rng.random(6)
        recent.update(rows, scores, thresholds, now)
        for row, score, threshold in zip(rows.tolist(), scores, thresholds, strict=True):
            key = (row, int(now // INTERVAL_S))
            largest[key] = np.fmax(largest.get(key, np.nan), np.float32(score))
            last[key] = np.float32(threshold)
    numbers = range(int(now // INTERVAL_S) - INTERVALS + 1, int(now // INTERVAL_S) + 1)
    for row in range(4):
        found = recent.copy(row, now, now)
        np.testing.assert_array_equal(found.times, [number * INTERVAL_S for number in numbers])
        np.testing.assert_array_equal(found.scores, [largest.get((row, number), np.nan) for number in numbers])
        np.testing.assert_array_equal(found.thresholds, [last.get((row, number), np.nan) for number in numbers])


def test_silence_is_empty_and_not_the_hour_before():
    """Where nothing was updated since, a copy ends with nothing; after an hour nothing is left, and what follows starts anew."""
    recent = RecentScores(1)
    for back in range(INTERVALS):
        update(recent, [0], [back], 7200.0 + back * INTERVAL_S)
    end = 7200.0 + (INTERVALS - 1) * INTERVAL_S
    later = recent.copy(0, end + 10 * INTERVAL_S, 0.0)
    assert later.scores[: INTERVALS - 10].tolist() == list(range(10, INTERVALS))
    assert np.isnan(later.scores[INTERVALS - 10 :]).all()
    assert np.isnan(recent.copy(0, end + 3600.0, 0.0).scores).all()
    update(recent, [0], [5.0], end + 1e6)
    assert np.flatnonzero(~np.isnan(recent.copy(0, end + 1e6, 0.0).scores)).tolist() == [INTERVALS - 1]


def test_a_wall_clock_that_is_set_moves_the_curve_as_a_whole():
    """Times are reckoned back from now: intervals stay 30 s apart, and the last one began less than 30 s ago."""
    recent = RecentScores(1)
    update(recent, [0], [1.0], 999.0)
    for wall in (0.0, 1_790_000_000.0):
        times = recent.copy(0, 999.0, wall).times
        assert np.diff(times).tolist() == [INTERVAL_S] * (INTERVALS - 1)
        assert 0 <= wall - times[-1] < INTERVAL_S


def test_machines_are_added_and_forgotten():
    """Growing keeps what is there; a forgotten machine is empty and the others are not."""
    recent = RecentScores(2)
    update(recent, [0, 1], [1.0, 2.0], 60.0)
    recent.grow(5)
    recent.grow(3)
    assert recent.machines == 5
    update(recent, [4], [3.0], 61.0)
    recent.forget(1)
    last = [recent.copy(row, 61.0, 0.0).scores[-1] for row in range(5)]
    np.testing.assert_array_equal(last, [1.0, np.nan, np.nan, np.nan, 3.0])


def test_a_machine_without_room_is_unknown_yet():
    """It is placed when it is first heard of, and gets room with its first score."""
    recent = RecentScores(0)
    assert np.isnan(recent.copy(0, 60.0, 0.0).scores).all()
    recent.grow(1)
    update(recent, [0], [1.0], 60.0)
    assert np.isnan(recent.copy(1, 60.0, 0.0).scores).all()
    assert recent.copy(0, 60.0, 0.0).scores[-1] == 1.0


def test_an_infinite_score_is_a_very_large_one():
    """It is the most anomalous there is, so it must not look like no score."""
    recent = RecentScores(1)
    update(recent, [0], [np.inf], 60.0)
    update(recent, [0], [1e300], 61.0, threshold=np.inf)
    found = recent.copy(0, 61.0, 0.0)
    assert np.isfinite(found.scores[-1])
    assert found.scores[-1] > 1e38
    assert np.isfinite(found.thresholds[-1])


def test_a_machine_takes_less_than_a_kilobyte():
    """Ten thousand of them are 10 MB."""
    recent = RecentScores(1000)
    assert sum(array.nbytes for array in (recent._scores, recent._thresholds)) <= 1000 * 1000


def test_a_copy_is_of_one_moment():
    """Scores and thresholds of one update are in a copy both or not at all, while the other thread adds and grows."""
    recent = RecentScores(3)
    torn = []
    is_over = threading.Event()

    def look():
        while not is_over.is_set():
            found = recent.copy(1, 1e6, 0.0)
            if not np.array_equal(found.scores, found.thresholds, equal_nan=True):
                torn.append(found)

    thread = threading.Thread(target=look)
    thread.start()
    for step in range(3000):
        now = 1e6 - (3000 - step) * 1.0
        recent.update(np.array([1]), np.array([float(step)]), np.array([float(step)]), now)
        if step % 500 == 0:
            recent.grow(recent.machines + 1)
    is_over.set()
    thread.join()
    assert torn == []
