"""Waveforms: one snapshot of raw samples becomes one row of features, which is then a reading like any other.

In time (Randall, "Vibration-based condition monitoring", 2011, section 5.2): mean absolute value, root mean square, peak, crest
factor, skewness and excess kurtosis (both divided by N: the biased estimators; 0 for a normal distribution). In frequency: the
energy in bands and the spectral centroid of the one-sided power spectrum of the real Fourier transform.

The spectrum is taken of the deviations from the mean, so that a sensor's offset does not leak into the lowest bands, and the mean's
square stands at 0 Hz. It is scaled so that it adds up (Parseval): over all frequencies, bands give the mean square, with the Hann
window the mean square weighted by the squared window (Heinzel, Ruediger & Schilling 2002, section 4).

A feature that does not exist is NaN, a missing value: the crest factor of silence; kurtosis, skewness and centroid of a constant; all
features of a channel with a missing sample. A channel with an infinite sample has infinite features, which are out of range.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from edge_runtime.errors import ReadingError
from edge_runtime.manifest_waveform import Waveform

Array = npt.NDArray[np.float64]


class Features:
    """Turns snapshots of raw samples into rows of features."""

    def __init__(self, waveform: Waveform) -> None:
        self._waveform = waveform
        self._shape = (waveform.length, len(waveform.channels))
        steps = np.arange(waveform.length)
        # Periodic, as for spectral analysis: a constant times this window leaks into one neighbour only.
        hann = 0.5 - 0.5 * np.cos(2 * np.pi * steps / waveform.length)
        window = hann if waveform.window == "hann" else np.ones(waveform.length)
        self._window = window / np.sqrt(np.mean(window**2))
        self._frequencies = np.arange(waveform.length // 2 + 1) * (waveform.sample_rate_hz / waveform.length)
        self._bins = [slice(bins.start, bins.stop) for bins in map(waveform.bins, waveform.bands)]
        self._has_spectrum = bool(waveform.bands) or "spectral_centroid" in waveform.features

    def step(self, samples: npt.ArrayLike, sample_rate_hz: float | None = None) -> Array:
        """The features of one snapshot: `samples` (N, C) in the raw channels' units, at the given rate (None: as expected).

        Returns one number for each of `Waveform.columns`, in order. Raises `ReadingError` for samples of another shape or rate.
        """
        rate = self._waveform.sample_rate_hz
        if sample_rate_hz is not None and not abs(sample_rate_hz - rate) <= 1e-6 * rate:
            raise ReadingError(f"expected samples at {rate:g} Hz, got {sample_rate_hz:g} Hz")
        try:
            raw = np.asarray(samples, np.float64)
        except (TypeError, ValueError, OverflowError) as fault:
            raise ReadingError(f"expected samples {self._expected}: {fault}") from None
        if raw.shape != self._shape:
            raise ReadingError(f"expected samples {self._expected}, got {raw.shape}")
        is_finite = np.isfinite(raw).all(axis=0)
        # A channel's samples side by side, however they came: sums are then taken in one order, and bits are the same.
        features = self._features(np.ascontiguousarray(np.where(is_finite, raw, 0.0).T))
        features[:, ~is_finite] = np.where(np.isnan(raw).any(axis=0), np.nan, np.inf)[~is_finite]
        return features.ravel()

    @property
    def _expected(self) -> str:
        length, channels = self._shape
        return f"({length}, {channels}): {length} of each of {', '.join(self._waveform.channels)}"

    def _features(self, raw: Array) -> Array:
        """(features and bands, C) of finite samples (C, N)."""
        peak = np.abs(raw).max(axis=-1)
        unit = raw / np.where(peak > 0, peak, 1.0)[:, None]  # within 1, so that no power overflows
        mean = unit.mean(axis=-1)
        # The mean of a constant is rounded, and must not make its deviations anything but nothing.
        is_constant = raw.max(axis=-1) == raw.min(axis=-1)
        deviation = np.where(is_constant[:, None], 0.0, unit - mean[:, None])
        rms = np.sqrt(np.mean(unit**2, axis=-1))
        square = deviation**2
        variance = square.mean(axis=-1)
        features = {
            "mean_abs": peak * np.abs(unit).mean(axis=-1),
            "rms": peak * rms,
            "peak": peak,
            "crest_factor": _ratio(np.sign(peak), rms),
            "skewness": _ratio((square * deviation).mean(axis=-1), variance * np.sqrt(variance)),
            "kurtosis": _ratio((square**2).mean(axis=-1), variance**2) - 3,
        }
        if self._has_spectrum:
            power = self._power(deviation)
            features["spectral_centroid"] = _ratio((power * self._frequencies).sum(axis=-1), power.sum(axis=-1))
        rows = [features[name] for name in self._waveform.features]
        for bins in self._bins:
            offset = mean**2 if bins.start == 0 else 0.0
            with np.errstate(over="ignore"):  # an energy beyond float64 is infinite, and so out of range
                rows.append(peak**2 * (power[:, bins].sum(axis=-1) + offset))
        return np.stack(rows)

    def _power(self, deviation: Array) -> Array:
        """The one-sided power spectrum (C, N // 2 + 1), which adds up to the mean square of the windowed deviations (C, N)."""
        length = deviation.shape[-1]
        power: Array = np.abs(np.fft.rfft(deviation * self._window, axis=-1) / length) ** 2
        # Each frequency stands for its negative too, but for 0 Hz and, where N is even, half the sample rate.
        power[:, 1 : (length + 1) // 2] *= 2
        return power


def _ratio(number: Array, by: Array) -> Array:
    """NaN where there is nothing to divide by."""
    return np.where(by > 0, number / np.where(by > 0, by, 1.0), np.nan)
