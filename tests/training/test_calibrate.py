"""The threshold comes from held-out normal scores."""

from __future__ import annotations

import numpy as np
import pytest

from edge_runtime.errors import TrainingError
from edge_runtime.manifest import Score
from training.calibrate import calibrate, reconstruct
from training.config import ThresholdRule


class Zero:
    """A model that reconstructs nothing: the score is the mean absolute value of the window."""

    def predict_on_batch(self, windows):
        self.largest = max(len(windows), getattr(self, "largest", 0))
        return np.zeros_like(windows)


def test_threshold_is_percentile_times_factor():
    """The threshold is the percentile of the scores (the next higher one) times the factor."""
    windows = np.random.default_rng(0).normal(size=(50, 4, 2)).astype(np.float32)
    result = calibrate(Zero(), windows, Score("mae", last=2), ThresholdRule(percentile=90, factor=1.5))
    scores = sorted(np.abs(window[-2:]).mean() for window in windows)
    assert result.threshold.value == pytest.approx(1.5 * scores[45], rel=1e-6)
    assert result.quantiles["100"] == pytest.approx(scores[-1], rel=1e-6)
    assert sum(result.scores > result.threshold.value / 1.5) == 4


def test_windows_go_through_the_model_in_batches():
    """All windows are reconstructed, in order, no more than a batch at once."""
    windows = np.random.default_rng(0).normal(size=(10, 4, 2)).astype(np.float32)
    model = Zero()
    assert reconstruct(model, windows, batch=4).shape == windows.shape
    assert model.largest == 4


def test_scores_that_are_not_finite_are_refused():
    """A damaged model yields an error, not a threshold."""
    windows = np.full((30, 4, 2), np.nan, np.float32)
    with pytest.raises(TrainingError, match="expected finite scores of held-out normal windows, got nan"):
        calibrate(Zero(), windows, Score(), ThresholdRule())
