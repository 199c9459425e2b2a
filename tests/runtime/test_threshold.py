"""The threshold is never below the normal scores it is taken from."""

from __future__ import annotations

import numpy as np
import pytest

from edge_runtime.errors import TrainingError
from edge_runtime.manifest import Threshold
from edge_runtime.threshold import FEWEST_SCORES, fit_percentile, normal_quantiles

SCORES = np.arange(1.0, 101.0)


@pytest.mark.parametrize(
    ("percentile", "value"), [(100.0, 100.0), (99.0, 100.0), (98.98, 99.0), (50.0, 51.0), (0.0, 1.0)]
)
def test_the_percentile_is_one_of_the_scores(percentile: float, value: float) -> None:
    """The next higher one, times the factor."""
    shuffled = np.random.default_rng(1).permutation(SCORES)
    assert fit_percentile(shuffled, percentile, 1.0) == Threshold("percentile", percentile, 1.0, value)
    assert fit_percentile(shuffled, percentile, 1.5).value == pytest.approx(1.5 * value)


def test_too_few_scores_and_scores_of_zero() -> None:
    """Say nothing about the tail."""
    assert fit_percentile(SCORES[:FEWEST_SCORES], 99, 1).value == FEWEST_SCORES
    with pytest.raises(
        TrainingError, match=f"expected at least {FEWEST_SCORES} held-out normal windows .* got {FEWEST_SCORES - 1}"
    ):
        fit_percentile(SCORES[: FEWEST_SCORES - 1], 99, 1)
    with pytest.raises(TrainingError, match="expected a threshold above zero"):
        fit_percentile(np.zeros(50), 99, 1.5)
    with pytest.raises(TrainingError, match="expected a threshold above zero"):
        fit_percentile(np.full(50, np.nan), 99, 1.5)


def test_quantiles() -> None:
    """By percentile, as text, rising to the largest score."""
    quantiles = normal_quantiles(SCORES)
    assert list(quantiles) == ["1", "5", "25", "50", "75", "90", "95", "99", "100"]
    assert quantiles["50"] == 50.5
    assert list(quantiles.values()) == sorted(quantiles.values())
    assert quantiles["100"] == 100.0
