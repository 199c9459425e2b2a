"""Made-up faults disturb one channel of each window, from the onset on."""

from __future__ import annotations

import numpy as np
import pytest

from training.faults import FAULTS, disturb

SPREAD = (0.5, 20.0, 3.0)


def make_windows(count=200):
    return np.random.default_rng(1).normal(size=(count, 8, 3)) * SPREAD


@pytest.mark.parametrize("name", FAULTS)
def test_fault_disturbs_one_channel(name):
    """Exactly one channel of each window changes, by an amount that fits its spread, and the input stays as it is."""
    windows = make_windows()
    before = windows.copy()
    change = disturb(windows, SPREAD, np.random.default_rng(2), name) - windows
    assert (windows == before).all()
    assert ((change != 0).any(axis=1).sum(axis=1) == 1).all()
    sizes = np.abs(change).max(axis=1) / SPREAD
    assert sizes.max() < 50
    assert np.median(sizes.max(axis=1)) > 1


SHAPES = {  # of a window of zeros: what comes from the onset, at step 2, on
    "spike": [6, 0, 0, 0],
    "level_shift": [6, 6, 6, 6],
    "drift": [1.5, 3, 4.5, 6],
    "stuck": [7, 7, 7, 7],
}


@pytest.mark.parametrize(("name", "expected"), SHAPES.items())
def test_shape_of_a_fault(name, expected):
    """Before the onset nothing changes; after it each fault has its own shape."""
    series = np.ones(6) * [1, 1, 1, 0, 0, 0] if name == "stuck" else np.zeros(6)
    disturbed = FAULTS[name](series, 2, 6.0, np.random.default_rng(0))
    assert disturbed[:2].tolist() == series[:2].tolist()
    assert disturbed[2:] == pytest.approx(expected)


def test_noise_scatters_from_the_onset_on():
    """Noise leaves the readings before the onset alone and scatters the others around theirs."""
    change = FAULTS["noise"](np.zeros(4_000), 1_000, -2.0, np.random.default_rng(0))
    assert not change[:1_000].any()
    assert change[1_000:].std() == pytest.approx(2, rel=0.05)
    assert change[1_000:].mean() == pytest.approx(0, abs=0.2)


def test_faults_take_turns_and_repeat_with_the_seed():
    """Without a name the faults take turns; the same seed gives the same windows, another one others."""
    windows = make_windows(10)
    first, again, other = (disturb(windows, SPREAD, np.random.default_rng(seed)) for seed in (3, 3, 4))
    assert first.tobytes() == again.tobytes() != other.tobytes()
    touched = ((first - windows) != 0).any(axis=2).sum(axis=1)
    assert touched[0] == touched[5] == 1  # the spikes
