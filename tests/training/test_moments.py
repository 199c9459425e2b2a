"""Skewness and kurtosis, of readings and of snapshots, against scipy; the spectrum against scipy's periodogram."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import signal, stats

from edge_runtime.derive import Derive
from edge_runtime.features import Features
from edge_runtime.manifest import Channel, Derived, Waveform

samples = st.lists(st.floats(-100, 100, width=16), min_size=8, max_size=40).filter(lambda each: np.std(each) > 0.1)


@given(values=samples, length=st.integers(3, 8))
def test_rolling_moments_are_scipys(values, length):
    """Of each window of the last readings; a window without spread has no such moments in scipy."""
    derived = tuple(Derived(kind, "a", length) for kind in ("rolling_std", "rolling_skewness", "rolling_kurtosis"))
    derive = Derive((Channel("a", is_input=False),), derived, 1)
    for row, value in enumerate(values):
        inputs, is_ready = derive.step(0, [value], row)
        window = np.array(values[max(0, row - length + 1) : row + 1])
        if is_ready and window.std() > 1e-2:
            assert inputs == pytest.approx(
                [np.std(window), stats.skew(window), stats.kurtosis(window)], rel=1e-6, abs=1e-8
            )


@given(values=samples)
def test_moments_of_a_snapshot_are_scipys(values):
    """The biased estimators, as for readings."""
    waveform = Waveform(1000.0, len(values), {"b1": "g"}, features=("skewness", "kurtosis"))
    row = Features(waveform).step(np.array(values)[:, None])
    assert row.tolist() == pytest.approx([stats.skew(values), stats.kurtosis(values)], rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("window", ["hann", "rectangular"])
@pytest.mark.parametrize("length", [64, 65])
def test_bands_are_the_periodogram_s(window, length):
    """With the mean taken off and scaled by density, times the resolution."""
    values = np.random.default_rng(2).normal(5, 1, length)
    name = {"hann": "hann", "rectangular": "boxcar"}[window]
    frequencies, density = signal.periodogram(values, 1000.0, window=name, detrend="constant", scaling="density")
    waveform = Waveform(1000.0, length, {"b1": "g"}, window, (), ((100.0, 250.0), (250.0, 500.0)))
    power = density * 1000 / length
    expected = [
        power[(frequencies >= low) & (frequencies < high + (high == 500))].sum() for low, high in waveform.bands
    ]
    assert Features(waveform).step(values[:, None]).tolist() == pytest.approx(expected)
