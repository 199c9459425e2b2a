"""The score above which a reading is anomalous. Scoring is not deciding: this is the decision."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from edge_runtime.errors import TrainingError
from edge_runtime.manifest import Threshold

FEWEST_SCORES = 20
"""Fewer held-out normal scores than this say nothing about the tail."""


def fit_percentile(scores: npt.NDArray[np.float64], percentile: float, factor: float) -> Threshold:
    """The percentile of held-out normal scores (N,), times a factor.

    The next higher score is taken between two, so that the threshold is never below what was seen. Raises `TrainingError`
    for fewer than `FEWEST_SCORES` scores, or if all are zero.
    """
    if len(scores) < FEWEST_SCORES:
        raise TrainingError(
            f"expected at least {FEWEST_SCORES} held-out normal windows for the threshold, got {len(scores)}; "
            "train on more readings, or give the calibration part a larger share"
        )
    value = factor * float(np.percentile(scores, percentile, method="higher"))
    if not value > 0:
        raise TrainingError(
            f"expected a threshold above zero, got {value:g}: the model reconstructs everything exactly"
        )
    return Threshold("percentile", percentile, factor, value)


def normal_quantiles(scores: npt.NDArray[np.float64]) -> dict[str, float]:
    """The distribution of held-out normal scores (N,), by percentile, for the manifest."""
    levels = (1, 5, 25, 50, 75, 90, 95, 99, 100)
    return {str(level): float(np.percentile(scores, level)) for level in levels}
