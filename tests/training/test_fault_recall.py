"""Injected faults are counted by kind and size."""

from __future__ import annotations

import numpy as np
import pytest

from training.fault_recall import MOST_WINDOWS, SIZES, fault_recall
from training.faults import FAULTS

LAST = 3


def largest(windows):
    """A score that is easy to foresee: the largest value among the last readings."""
    return np.abs(windows[:, -LAST:]).max(axis=(1, 2)).astype(np.float64)


def test_every_kind_and_size_is_there():
    """Of zeros, a spike, a level shift, a drift's end and a stuck value are exactly as large as said."""
    recall = fault_recall(largest, np.zeros((30, 8, 2), np.float32), LAST, 2.5, seed=1)
    assert recall.windows == 30
    assert recall.undisturbed == 0
    assert set(recall.found) == set(FAULTS)
    for kind in ("spike", "level_shift", "drift", "stuck"):
        assert recall.found[kind] == tuple(float(size > 2.5) for size in SIZES), kind
    assert 0 < recall.found["noise"][2] < 1


def test_the_windows_stay_as_they_are_and_the_seed_decides():
    """Nothing of the caller's is changed; the same seed gives the same shares, another one others."""
    windows = np.random.default_rng(1).normal(size=(50, 8, 2)).astype(np.float32)
    before = windows.copy()
    first, again, other = (fault_recall(largest, windows, LAST, 2.5, seed=seed) for seed in (1, 1, 2))
    assert (windows == before).all()
    assert first == again != other
    assert first.undisturbed == pytest.approx(np.mean(largest(windows) > 2.5))


def test_many_windows_are_thinned_and_one_is_enough():
    """Evenly, so that the time it takes is bounded."""
    seen = []

    def score(windows):
        seen.append(len(windows))
        return largest(windows)

    windows = np.zeros((5 * MOST_WINDOWS, 8, 2), np.float32)
    assert fault_recall(score, windows, LAST, 1.0, seed=1).windows == MOST_WINDOWS
    assert set(seen) == {MOST_WINDOWS}
    assert fault_recall(largest, windows[:1], LAST, 1.0, seed=1).windows == 1
