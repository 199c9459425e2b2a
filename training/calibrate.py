"""From held-out normal windows to the threshold, with the device's own scoring."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_runtime.errors import TrainingError
from edge_runtime.manifest import Score, Threshold
from edge_runtime.score import Scorer
from edge_runtime.threshold import fit_percentile, normal_quantiles
from training.config import ThresholdRule


@dataclass(frozen=True, slots=True)
class Calibration:
    """What the held-out normal scores say."""

    threshold: Threshold
    quantiles: dict[str, float]
    """Of the scores, by percentile."""
    scores: npt.NDArray[np.float64]
    """(B,), in the order of the windows."""


def calibrate(model: Any, windows: npt.NDArray[np.float32], score: Score, rule: ThresholdRule) -> Calibration:
    """Score held-out normal windows (B, T, F), scaled, with a Keras model and fit the threshold to the scores.

    Raises `TrainingError` for too few windows, and for scores that are not finite or all zero.
    """
    outputs = reconstruct(model, windows)
    scores, _ = Scorer(score, outputs.shape[1:]).step_many(outputs, windows)
    if not np.isfinite(scores).all():
        raise TrainingError(f"expected finite scores of held-out normal windows, got {scores[~np.isfinite(scores)][0]}")
    return Calibration(fit_percentile(scores, rule.percentile, rule.factor), normal_quantiles(scores), scores)


def reconstruct(model: Any, windows: npt.NDArray[np.float32], batch: int = 256) -> npt.NDArray[np.float32]:
    """A Keras model's output (B, K, F) for `windows` (B, T, F), both scaled."""
    parts = [model.predict_on_batch(windows[i : i + batch]) for i in range(0, len(windows), batch)]
    return np.concatenate(parts) if parts else np.empty_like(windows)
