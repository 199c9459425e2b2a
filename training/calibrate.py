"""From held-out normal windows to the score and its threshold, with the device's own scoring.

What a score has to fit (the whitening of `mahalanobis`) comes from the early-stopping part: it did not move the weights, and it
does not give the threshold. It did choose the epoch whose weights are kept, one number out of so many that its residuals stay
those of readings the model has not seen. The threshold comes from the calibration part, which neither has seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_runtime.errors import TrainingError
from edge_runtime.manifest import AlarmPolicy, Score, Threshold
from edge_runtime.score import Scorer, fit_whitening
from edge_runtime.smooth import smooth_table
from edge_runtime.threshold import fit_threshold, normal_quantiles
from edge_runtime.threshold_rules import ThresholdRule
from training.config import ScoreRule
from training.data import Part


@dataclass(frozen=True, slots=True)
class Calibration:
    """What the held-out normal scores say."""

    score: Score
    threshold: Threshold
    quantiles: dict[str, float]
    """Of the scores, by percentile."""
    scores: npt.NDArray[np.float64]
    """(B,), smoothed, in the order of the windows."""


def fit_score(model: Any, windows: npt.NDArray[np.float32], rule: ScoreRule) -> Score:
    """The score that the device will calculate; `windows` (B, T, F), scaled, held out from fitting, are what it is fitted to.

    Raises `TrainingError` for residuals that are not finite.
    """
    if rule.kind != "mahalanobis":
        return Score(rule.kind, rule.last, rule.smoothing)
    outputs = reconstruct(model, windows)
    steps = rule.last or outputs.shape[1]
    residuals = (outputs[:, -steps:] - windows[:, -steps:]).reshape(-1, windows.shape[2]).astype(np.float64)
    if not np.isfinite(residuals).all():
        raise TrainingError(f"expected finite residuals of held-out normal windows, got {_first_odd(residuals)}")
    return Score(rule.kind, rule.last, rule.smoothing, fit_whitening(residuals, rule.shrinkage))


def calibrate(
    model: Any, part: Part, score: Score, rule: ThresholdRule, alarm: AlarmPolicy, period_s: float
) -> Calibration:
    """Score the calibration part's windows with a Keras model as the device does and fit the threshold to the scores.

    `period_s`: seconds between readings, which say how many days the scores are. Raises `TrainingError` for scores that the
    rule cannot be fitted to, and for scores that are not finite or all zero.
    """
    outputs = reconstruct(model, part.windows)
    scores, contributions = Scorer(score, outputs.shape[1:]).step_many(outputs, part.windows)
    if not np.isfinite(scores).all():
        raise TrainingError(f"expected finite scores of held-out normal windows, got {_first_odd(scores)}")
    if score.smoothing != 1:
        scores, _ = smooth_table(score.smoothing, contributions, part.begins)
    stretches = np.split(scores, np.flatnonzero(part.begins)[1:])
    threshold = fit_threshold(rule, stretches, len(scores) * period_s / 86_400, alarm)
    return Calibration(score, threshold, normal_quantiles(scores), scores)


def reconstruct(model: Any, windows: npt.NDArray[np.float32], batch: int = 256) -> npt.NDArray[np.float32]:
    """A Keras model's output (B, K, F) for `windows` (B, T, F), both scaled."""
    parts = [model.predict_on_batch(windows[i : i + batch]) for i in range(0, len(windows), batch)]
    return np.concatenate(parts) if parts else np.empty_like(windows)


def _first_odd(numbers: npt.NDArray[np.float64]) -> float:
    return float(numbers[~np.isfinite(numbers)][0])
