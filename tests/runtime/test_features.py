"""Features of a snapshot against plain loops, and signals whose features are known."""

from __future__ import annotations

import cmath
import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any, get_args, get_type_hints

import numpy as np
import pytest
from effort import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import moment

from edge_runtime.errors import ReadingError
from edge_runtime.features import Features
from edge_runtime.manifest import Waveform

FEATURES = get_args(get_args(get_type_hints(Waveform)["features"])[0])
RATE = 1000.0


def waveform(length: int = 16, **changes: Any) -> Waveform:
    return Waveform(**{"sample_rate_hz": RATE, "length": length, "channels": {"b1": "g", "b2": "m/s^2"}, **changes})


def features_of(signal: Any, **changes: Any) -> dict[str, float]:
    """Every feature of one raw channel, b1, by its name."""
    signal = np.asarray(signal, np.float64)
    described = waveform(len(signal), channels={"b1": "g"}, features=FEATURES, **changes)
    row = Features(described).step(signal[:, None])
    return {
        channel.name.removesuffix("_b1"): value for channel, value in zip(described.columns, row.tolist(), strict=True)
    }


def spectrum(signal: list[float], window: str) -> list[float]:
    """The one-sided power spectrum of the deviations from the mean, by the definition of the Fourier transform."""
    N = len(signal)
    mean = sum(signal) / N
    weights = [0.5 - 0.5 * math.cos(2 * math.pi * n / N) if window == "hann" else 1.0 for n in range(N)]
    norm = math.sqrt(sum(weight**2 for weight in weights) / N)
    power = []
    for k in range(N // 2 + 1):
        parts = (
            (x - mean) * weight / norm * cmath.exp(-2j * math.pi * k * n / N)
            for n, (x, weight) in enumerate(zip(signal, weights, strict=True))
        )
        both = 1 if k == 0 or 2 * k == N else 2
        power.append(both * abs(sum(parts) / N) ** 2)
    return power


def _centroid(signal: list[float], window: str) -> float:
    power = spectrum(signal, window)
    return sum(k * RATE / len(signal) * each for k, each in enumerate(power)) / sum(power)


def _rms(signal: list[float]) -> float:
    return math.sqrt(sum(x * x for x in signal) / len(signal))


EXPECTED: dict[str, Callable[[list[float], str], float]] = {
    "mean_abs": lambda signal, window: sum(abs(x) for x in signal) / len(signal),
    "rms": lambda signal, window: _rms(signal),
    "peak": lambda signal, window: max(abs(x) for x in signal),
    "crest_factor": lambda signal, window: max(abs(x) for x in signal) / _rms(signal),
    "kurtosis": lambda signal, window: moment("kurtosis", signal),
    "skewness": lambda signal, window: moment("skewness", signal),
    "spectral_centroid": _centroid,
}


@pytest.mark.parametrize("feature", FEATURES)
@settings(max_examples=examples(50))
@given(
    signal=st.lists(st.integers(-1000, 1000).map(lambda number: number / 8), min_size=8, max_size=21),
    window=st.sampled_from(["hann", "rectangular"]),
)
def test_every_feature_is_what_plain_loops_give(feature: str, signal: list[float], window: str) -> None:
    """The features are read from the schema, so that a new one is asked for here."""
    got = features_of(signal, window=window)[feature]
    if len(set(signal)) == 1:
        exists = feature in ("mean_abs", "rms", "peak") or (feature == "crest_factor" and signal[0] != 0)
        assert math.isfinite(got) == exists
        assert math.isnan(got) == (not exists)
        return
    assert got == pytest.approx(EXPECTED[feature](signal, window), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("length", [16, 17])
@given(data=st.data())
def test_bands_add_up_to_the_mean_square(length: int, data: st.DataObject) -> None:
    """Parseval: over all frequencies, whatever the borders; with the Hann window the mean square is weighted by its square."""
    numbers = st.floats(-100, 100, allow_subnormal=False)  # as in test_derive.py
    signal = np.array(data.draw(st.lists(numbers, min_size=length, max_size=length)))
    borders = [0.0, *sorted(data.draw(st.sets(st.sampled_from([130.0, 250.0, 375.0]), min_size=1))), RATE / 2]
    bands = tuple(pairwise(borders))
    plain = features_of(signal, window="rectangular", bands=bands)
    total = sum(value for name, value in plain.items() if name.startswith("band_"))
    assert total == pytest.approx(np.mean(signal**2), rel=1e-9, abs=1e-12)

    hann = features_of(signal, window="hann", bands=bands)
    total = sum(value for name, value in hann.items() if name.startswith("band_"))
    weights = np.sin(np.pi * np.arange(length) / length) ** 4
    expected = np.mean(signal) ** 2 + np.average((signal - np.mean(signal)) ** 2, weights=weights)
    assert total == pytest.approx(expected, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("window", ["hann", "rectangular"])
def test_a_sine_stands_in_its_band(window: str) -> None:
    """Amplitude 3 at 125 Hz on an offset of 100: its energy is 4.5 in its band, and the offset's is in the lowest alone."""
    time = np.arange(400) / RATE
    signal = 100 + 3 * np.sin(2 * np.pi * 125 * time)
    got = features_of(signal, window=window, bands=((0.0, 50.0), (50.0, 100.0), (100.0, 150.0), (150.0, 500.0)))
    assert got["spectral_centroid"] == pytest.approx(125)
    assert got["band_100_150"] == pytest.approx(4.5)
    assert got["band_0_50"] == pytest.approx(10_000)
    assert [got["band_50_100"], got["band_150_500"]] == pytest.approx([0, 0], abs=1e-9)
    assert got["kurtosis"] == pytest.approx(-1.5)
    assert got["peak"] == pytest.approx(103)


def test_a_band_holds_its_low_border_and_not_its_high_one() -> None:
    """But for half the sample rate, which belongs to the band that reaches it."""
    time = np.arange(16)
    at_border = features_of(np.cos(np.pi / 2 * time), window="rectangular", bands=((0.0, 250.0), (250.0, 500.0)))
    assert [at_border["band_0_250"], at_border["band_250_500"]] == pytest.approx([0, 0.5], abs=1e-12)
    highest = features_of(np.cos(np.pi * time), window="rectangular", bands=((250.0, 500.0),))
    assert highest["band_250_500"] == pytest.approx(1)


def test_columns_and_units() -> None:
    """Each feature of all raw channels, then each band; units follow from the raw channel's."""
    described = waveform(features=FEATURES, bands=((0.0, 62.5), (62.5, 500.0)))
    units = {channel.name: channel.unit for channel in described.columns}
    assert list(units)[:4] == ["mean_abs_b1", "mean_abs_b2", "rms_b1", "rms_b2"]
    assert list(units)[-4:] == ["band_0_62.5_b1", "band_0_62.5_b2", "band_62.5_500_b1", "band_62.5_500_b2"]
    assert (units["rms_b1"], units["peak_b2"], units["band_0_62.5_b1"]) == ("g", "m/s^2", "g^2")
    assert units["band_0_62.5_b2"] == "(m/s^2)^2"
    assert {units[f"{name}_b1"] for name in ("crest_factor", "kurtosis", "skewness")} == {"1"}
    assert units["spectral_centroid_b1"] == "Hz"


@pytest.mark.parametrize(("bad", "expected"), [(np.nan, np.isnan), (np.inf, np.isposinf), (-np.inf, np.isposinf)])
def test_a_sample_that_is_no_number_spoils_its_channel_only(bad: float, expected: Callable[[Any], Any]) -> None:
    """Missing samples make missing features, infinite ones infinite features, which are out of range."""
    described = waveform(features=FEATURES, bands=((0.0, 500.0),))
    samples = np.random.default_rng(1).normal(0, 1, (16, 2))
    healthy = Features(described).step(samples).reshape(-1, 2)
    samples[5, 0] = bad
    row = Features(described).step(samples).reshape(-1, 2)
    assert expected(row[:, 0]).all()
    assert row[:, 1].tolist() == healthy[:, 1].tolist()


def test_neither_huge_nor_tiny_samples_overflow() -> None:
    """Features are those of the same signal times a number."""
    signal = np.random.default_rng(1).normal(0, 1, 64)
    usual = features_of(signal)
    for factor in (1e150, 1e-150):
        for name, value in features_of(signal * factor).items():
            by = factor if name in ("mean_abs", "rms", "peak") else 1.0
            assert value == pytest.approx(usual[name] * by)
    assert features_of(signal * 1e200, bands=((0.0, 500.0),))["band_0_500"] == math.inf


@pytest.mark.parametrize(
    ("samples", "rate", "message"),
    [
        (np.zeros((15, 2)), None, r"expected samples \(16, 2\): 16 of each of b1, b2, got \(15, 2\)"),
        (np.zeros((16, 3)), None, r"expected samples \(16, 2\): 16 of each of b1, b2, got \(16, 3\)"),
        (np.zeros(16), None, r"got \(16,\)"),
        ([["x", "y"]] * 16, None, r"expected samples \(16, 2\): 16 of each of b1, b2: could not convert"),
        (np.zeros((16, 2)), 999.0, "expected samples at 1000 Hz, got 999 Hz"),
        (np.zeros((16, 2)), math.nan, "expected samples at 1000 Hz, got nan Hz"),
    ],
)
def test_samples_of_another_form_are_refused(samples: Any, rate: float | None, message: str) -> None:
    """With what was expected and what was given."""
    with pytest.raises(ReadingError, match=message):
        Features(waveform()).step(samples, rate)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sample_rate_hz": 0.0}, "expected a sample_rate_hz above 0, got 0"),
        ({"length": 7}, "expected a length from 8 to 10000000 samples, got 7"),
        ({"channels": {}}, r"expected one or more raw channels with names, got \[\]"),
        ({"features": ()}, r"expected features or bands, each once, got \[\] and \[\]"),
        ({"features": ("rms", "rms")}, "expected features or bands, each once"),
        ({"bands": ((0.0, 600.0),)}, r"0 <= low < high <= 500 Hz, got \[0\.0, 600\.0\]"),
        ({"bands": ((1.0,),)}, r"expected a band \[low, high\]"),
        ({"bands": ((70.0, 100.0),)}, r"expected a band that holds a multiple of 62\.5 Hz, .* got \[70\.0, 100\.0\]"),
        ({"bands": ((0.0, 100.0), (0.0, 100.0))}, "each once"),
    ],
)
def test_a_waveform_that_cannot_be_is_refused(changes: dict[str, Any], message: str) -> None:
    """With what was expected and what was given."""
    with pytest.raises(ValueError, match=message):
        waveform(**changes)


def test_the_lowest_band_may_hold_the_mean_alone() -> None:
    """A band below the resolution has one frequency, 0 Hz."""
    assert features_of(np.full(16, 3.0), bands=((0.0, 10.0),))["band_0_10"] == pytest.approx(9)
