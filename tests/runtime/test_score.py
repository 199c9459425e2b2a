"""Mean absolute and mean squared error and Mahalanobis distance, one window or many."""

from __future__ import annotations

from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_runtime.errors import TrainingError
from edge_runtime.manifest import Score
from edge_runtime.manifest_decision import ScoreKind
from edge_runtime.score import LEAST_SPREAD, Scorer, fit_whitening


def score_of(kind: Any, last: int | None, whitening: Any) -> Score:
    """A score of any kind; the whitening (C, C) is for the kind that takes one."""
    return Score(kind, last, whitening=tuple(map(tuple, whitening.tolist())) if kind == "mahalanobis" else None)


@given(
    T=st.integers(2, 300),
    C=st.sampled_from([1, 2, 3, 8, 19]),
    B=st.integers(1, 5),
    kind=st.sampled_from(get_args(ScoreKind)),
    last=st.integers(0, 300),
    seed=st.integers(0, 10**6),
)
def test_one_by_one_and_together_are_the_same_bits(T: int, C: int, B: int, kind: Any, last: int, seed: int) -> None:
    """Whatever the shape: scores and contributions are equal to the last bit, and are the mean errors."""
    rng = np.random.default_rng(seed)
    windows, reconstructions = rng.normal(0, 1, (2, B, T, C)).astype(np.float32)
    k = min(last, T) or None
    whitening = rng.normal(0, 1, (C, C)) if kind == "mahalanobis" else None
    scorer = Scorer(score_of(kind, k, whitening), (T, C))
    scores, contributions = scorer.step_many(reconstructions, windows)
    for row in range(B):
        score, shares = scorer.step(reconstructions[row : row + 1], windows[row : row + 1])
        assert (score, shares) == (scores[row], contributions[row].tolist())
        error = reconstructions[row].astype(np.float64) - windows[row]
        error = error if whitening is None else error @ whitening
        error = (np.abs(error) if kind == "mae" else error**2)[-(k or T) :]
        assert score == pytest.approx(error.mean(), rel=1e-4)
        assert shares == pytest.approx((error.mean(axis=0) / C).tolist(), rel=1e-4, abs=1e-6)


def test_what_is_handed_over_is_not_changed() -> None:
    """Neither the window, which is a view of the ring, nor the reconstruction."""
    windows, reconstructions = np.ones((2, 2, 4, 3), np.float32)
    reconstructions *= 3
    for kind in get_args(ScoreKind):
        for last in (None, 2):
            scorer = Scorer(score_of(kind, last, np.eye(3)), (4, 3))
            scorer.step(reconstructions[:1], windows[:1])
            scorer.step_many(reconstructions, windows)
    assert (windows == 1).all()
    assert (reconstructions == 3).all()


def test_only_the_last_steps_count() -> None:
    """Errors before them leave no trace."""
    window = np.zeros((5, 2), np.float32)
    reconstruction = np.array([[100, 100], [100, 100], [100, 100], [1, 0], [3, 4]], np.float32)
    assert Scorer(Score("mae", 2), (5, 2)).step(reconstruction[None], window[None]) == (2.0, [1.0, 1.0])
    assert Scorer(Score("mse", 1), (5, 2)).step(reconstruction[None], window[None]) == (12.5, [4.5, 8.0])


def test_whitened_residuals_have_unit_size_and_no_correlation() -> None:
    """Without shrinkage the residuals the whitening was fitted to get the second moments of white noise."""
    rng = np.random.default_rng(1)
    residuals = rng.normal(0.3, 1, (5000, 3)) @ np.array([[1.0, 0.8, 0.0], [0.0, 0.5, 0.1], [0.0, 0.0, 40.0]])
    white = residuals @ np.array(fit_whitening(residuals, 0.0))
    assert white.T @ white / len(white) == pytest.approx(np.eye(3), abs=1e-6)
    scorer = Scorer(Score("mahalanobis", whitening=fit_whitening(residuals, 0.0)), (5, 3))
    windows = residuals.reshape(-1, 5, 3).astype(np.float32)
    assert scorer.step_many(np.zeros_like(windows), windows)[0].mean() == pytest.approx(1, rel=1e-4)


def test_full_shrinkage_leaves_each_channel_in_units_of_its_own_spread() -> None:
    """Correlations are forgotten; the distance is the mean of the channels' squared residuals over their mean squares."""
    residuals = np.random.default_rng(2).normal(0, [1.0, 3.0], (1000, 2)) @ np.array([[1.0, 0.9], [0.0, 1.0]])
    whitening = np.array(fit_whitening(residuals, 1.0))
    assert whitening == pytest.approx(np.diag(1 / np.sqrt((residuals**2).mean(axis=0))))


def test_score_is_the_mean_squared_mahalanobis_distance_in_each_channel() -> None:
    """Against the textbook formula, with the shrunk covariance written out."""
    rng = np.random.default_rng(3)
    residuals = (rng.normal(0, 1, (2000, 3)) @ rng.normal(0, 1, (3, 3))).astype(np.float32).astype(np.float64)
    spread = np.sqrt((residuals**2).mean(axis=0))
    covariance = 0.7 * residuals.T @ residuals / len(residuals) + 0.3 * np.diag(spread**2)
    scorer = Scorer(Score("mahalanobis", 4, whitening=fit_whitening(residuals, 0.3)), (8, 3))
    windows = residuals.reshape(-1, 8, 3).astype(np.float32)
    scores, contributions = scorer.step_many(np.zeros_like(windows), windows)
    last = windows[:, 4:].astype(np.float64)
    expected = np.einsum("bti,ij,btj->bt", last, np.linalg.inv(covariance), last).mean(axis=1) / 3
    assert scores == pytest.approx(expected, rel=1e-4)
    assert (contributions >= 0).all()


def test_each_whitened_residual_belongs_to_its_channel() -> None:
    """A fault in one channel contributes most there, however correlated the channels are."""
    rng = np.random.default_rng(4)
    residuals = rng.normal(0, 1, (4000, 1)) + rng.normal(0, 0.3, (4000, 5))
    scorer = Scorer(Score("mahalanobis", 1, whitening=fit_whitening(residuals, 0.1)), (2, 5))
    for channel in range(5):
        window = np.zeros((2, 5), np.float32)
        window[:, channel] = 4
        _, contributions = scorer.step(np.zeros_like(window)[None], window[None])
        assert np.argmax(contributions) == channel
        assert contributions[channel] > 0.5 * sum(contributions)


def test_a_channel_that_is_always_exactly_right_divides_nothing_by_zero() -> None:
    """Its spread counts as `LEAST_SPREAD`."""
    residuals = np.random.default_rng(5).normal(0, 1, (100, 2)) * [1.0, 0.0]
    whitening = np.array(fit_whitening(residuals, 0.5))
    assert whitening[1, 1] == pytest.approx(1 / LEAST_SPREAD)
    assert np.isfinite(whitening).all()


def test_no_residuals_are_an_error() -> None:
    """Nothing can be fitted to nothing."""
    with pytest.raises(TrainingError, match="expected held-out residuals"):
        fit_whitening(np.empty((0, 3)), 0.5)
