"""Reference detectors that any model has to beat, run through the same alarm and the same evaluation."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from edge_runtime.alarm import Alarm
from edge_runtime.detector import Detector
from edge_runtime.manifest import AlarmPolicy, Manifest
from edge_runtime.readings import GAP, Verdicts
from edge_runtime.score import Scorer
from edge_runtime.threshold import fit_threshold
from edge_runtime.threshold_rules import PercentileRule


class ZeroEngine:
    """A model that reconstructs zero: its score is the size of the scaled readings."""

    best_batch = 64

    def run(self, windows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Zeros for `windows` (B, T, C)."""
        return np.zeros_like(windows)

    def close(self) -> None:
        """Nothing to give back."""


def zero_detector(manifest: Manifest, normal_windows: npt.NDArray[np.float32]) -> Detector:
    """The manifest's detector with the model that reconstructs zero.

    Its threshold comes from the same held-out prepared windows (B, T, F) by the same rule.
    """
    scorer = Scorer(manifest.score, manifest.output_shape)
    scores, _ = scorer.step_many(np.zeros_like(normal_windows), normal_windows)
    rule = PercentileRule("percentile", manifest.threshold.percentile, manifest.threshold.factor)
    threshold = fit_threshold(rule, [scores], len(scores) * manifest.sampling.period_s / 86_400, manifest.alarm)
    return Detector(replace(manifest, threshold=threshold), ZeroEngine(), engine_name="zero")


class HotellingT2:
    """Hotelling's T-squared (1947): the squared Mahalanobis distance of one row from the normal mean.

    `fit`: (N, C) normal readings for mean and covariance; `held_out`: (M, C) normal readings for the limit, the 99th percentile
    of their distances. Rows with a missing value are left out of both.
    """

    def __init__(self, fit: npt.NDArray[np.float64], held_out: npt.NDArray[np.float64]) -> None:
        fit = fit[~np.isnan(fit).any(axis=1)]
        self._mean = fit.mean(axis=0)
        self._precision = np.linalg.inv(np.atleast_2d(np.cov(fit, rowvar=False)))
        distances = self.distances(held_out)
        self.limit = float(np.percentile(distances[~np.isnan(distances)], 99))

    def distances(self, values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """T-squared (N,) of `values` (N, C); NaN where a value is missing."""
        deviation = values - self._mean
        return np.asarray(np.einsum("ni,ij,nj->n", deviation, self._precision, deviation))

    def score(self, values: npt.NDArray[np.float64], times: npt.NDArray[np.int64]) -> Verdicts:
        """Verdicts on a table: `values` (N, C), `times` (N,) microseconds. Six rows in a row over twice the limit raise the alarm."""
        distances = self.distances(values)
        threshold = 2 * self.limit
        verdicts = Verdicts(len(values), tuple(f"c{i}" for i in range(values.shape[1])), one_machine=True)
        verdicts.times[:] = times.view("datetime64[us]")
        verdicts.thresholds[:] = threshold
        verdicts.status_codes[np.isnan(distances)] = GAP
        verdicts.scores[:] = distances
        verdicts.contributions[:] = distances[:, None] / values.shape[1]
        alarm = Alarm(AlarmPolicy(k=6, n=6), threshold, machines=1)
        for row, (distance, time) in enumerate(zip(distances.tolist(), times.tolist(), strict=True)):
            is_scored = distance == distance  # not NaN
            verdicts.alarm_codes[row] = alarm.step(0, distance, time) if is_scored else alarm.state(0)
        return verdicts
