"""From held-out normal windows to the score and its threshold, with the device's own scoring.

What a score has to fit (the whitening of `mahalanobis`) comes from the early-stopping part: it did not move the weights, and it
does not give the threshold. It did choose the epoch whose weights are kept, one number out of so many that its residuals stay
those of readings the model has not seen. The threshold comes from the calibration part, which neither has seen. A model in closed form
gives held-out answers to all windows (`crossfit.py`), and both come from those.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_runtime.errors import TrainingError
from edge_runtime.manifest import AlarmPolicy, Score, Threshold
from edge_runtime.score import LEAST_SPREAD, Scorer, fit_whitening
from edge_runtime.smooth import smooth_table
from edge_runtime.threshold import fit_threshold, normal_quantiles
from edge_runtime.threshold_rules import ThresholdRule
from training.config import ScoreRule
from training.data import Part


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Normal windows and what a model that has not seen them answers."""

    windows: npt.NDArray[np.float32]
    """(B, T, F), scaled, in order of time."""
    outputs: npt.NDArray[np.float32]
    """(B, K, F)."""
    begins: npt.NDArray[np.bool_]
    """(B,): nothing unbroken leads from the window before to this one."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """What the held-out normal scores say."""

    score: Score
    threshold: Threshold
    quantiles: dict[str, float]
    """Of the scores, by percentile."""
    stretches: tuple[npt.NDArray[np.float64], ...]
    """The scores, smoothed, in the order of the windows; one array (B,) for each unbroken run."""
    days: float
    """How long they are together."""

    @property
    def scores(self) -> npt.NDArray[np.float64]:
        """(B,), all of them."""
        return np.concatenate(self.stretches)


def answers(model: Any, part: Part) -> HeldOut:
    """A Keras model's answers to a part that it was not fitted to."""
    return HeldOut(part.windows, reconstruct(model, part.windows), part.begins)


def fit_score(held_out: HeldOut, rule: ScoreRule, least: npt.ArrayLike = LEAST_SPREAD) -> Score:
    """The score that the device will calculate, as far as it is fitted to held-out answers.

    `least`: the smallest normal size of an input's residual, scaled, one number or F (`inputs.least_residuals`). Raises `TrainingError` for residuals that are not finite.
    """
    if rule.kind != "mahalanobis":
        return Score(rule.kind, rule.last, rule.smoothing)
    windows, outputs = held_out.windows, held_out.outputs
    steps = rule.last or outputs.shape[1]
    residuals = (outputs[:, -steps:] - windows[:, -steps:]).reshape(-1, windows.shape[2]).astype(np.float64)
    if not np.isfinite(residuals).all():
        raise TrainingError(f"expected finite residuals of held-out normal windows, got {_first_odd(residuals)}")
    return Score(rule.kind, rule.last, rule.smoothing, fit_whitening(residuals, rule.shrinkage, least))


def calibrate(held_out: HeldOut, score: Score, rule: ThresholdRule, alarm: AlarmPolicy, period_s: float) -> Calibration:
    """Score held-out answers as the device does and fit the threshold to the scores.

    `period_s`: seconds between readings, which say how many days the scores are. Raises `TrainingError` for scores that the
    rule cannot be fitted to, and for scores that are not finite or all zero.
    """
    outputs = held_out.outputs
    scores, contributions = Scorer(score, outputs.shape[1:]).step_many(outputs, held_out.windows)
    if not np.isfinite(scores).all():
        raise TrainingError(f"expected finite scores of held-out normal windows, got {_first_odd(scores)}")
    if score.smoothing != 1:
        scores, _ = smooth_table(score.smoothing, contributions, held_out.begins)
    stretches = np.split(scores, np.flatnonzero(held_out.begins)[1:])
    days = len(scores) * period_s / 86_400
    threshold = fit_threshold(rule, stretches, days, alarm)
    return Calibration(score, threshold, normal_quantiles(scores), tuple(stretches), days)


def reconstruct(model: Any, windows: npt.NDArray[np.float32], batch: int = 256) -> npt.NDArray[np.float32]:
    """A Keras model's output (B, K, F) for `windows` (B, T, F), both scaled."""
    parts = [model.predict_on_batch(windows[i : i + batch]) for i in range(0, len(windows), batch)]
    return np.concatenate(parts) if parts else np.empty_like(windows)


def _first_odd(numbers: npt.NDArray[np.float64]) -> float:
    return float(numbers[~np.isfinite(numbers)][0])
