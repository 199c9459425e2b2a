"""Mean absolute and mean squared error, one window or many."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_runtime.manifest import Score
from edge_runtime.score import Scorer


@given(
    T=st.integers(2, 300),
    C=st.sampled_from([1, 2, 3, 8, 19]),
    B=st.integers(1, 5),
    kind=st.sampled_from(["mae", "mse"]),
    last=st.integers(0, 300),
    seed=st.integers(0, 10**6),
)
def test_one_by_one_and_together_are_the_same_bits(T: int, C: int, B: int, kind: Any, last: int, seed: int) -> None:
    """Whatever the shape: scores and contributions are equal to the last bit, and are the mean errors."""
    rng = np.random.default_rng(seed)
    windows, reconstructions = rng.normal(0, 1, (2, B, T, C)).astype(np.float32)
    k = min(last, T) or None
    scorer = Scorer(Score(kind, k), T, C)
    scores, contributions = scorer.step_many(reconstructions, windows)
    for row in range(B):
        score, shares = scorer.step(reconstructions[row], windows[row])
        assert (score, shares) == (scores[row], contributions[row].tolist())
        error = reconstructions[row].astype(np.float64) - windows[row]
        error = (np.abs(error) if kind == "mae" else error**2)[-(k or T) :]
        assert score == pytest.approx(error.mean(), rel=1e-5)
        assert shares == pytest.approx((error.mean(axis=0) / C).tolist(), rel=1e-5)


def test_what_is_handed_over_is_not_changed() -> None:
    """Neither the window, which is a view of the ring, nor the reconstruction."""
    windows, reconstructions = np.ones((2, 2, 4, 3), np.float32)
    reconstructions *= 3
    for kind in ("mae", "mse"):
        for last in (None, 2):
            scorer = Scorer(Score(kind, last), 4, 3)
            scorer.step(reconstructions[0], windows[0])
            scorer.step_many(reconstructions, windows)
    assert (windows == 1).all()
    assert (reconstructions == 3).all()


def test_only_the_last_steps_count() -> None:
    """Errors before them leave no trace."""
    window = np.zeros((5, 2), np.float32)
    reconstruction = np.array([[100, 100], [100, 100], [100, 100], [1, 0], [3, 4]], np.float32)
    assert Scorer(Score("mae", 2), 5, 2).step(reconstruction, window) == (2.0, [1.0, 1.0])
    assert Scorer(Score("mse", 1), 5, 2).step(reconstruction, window) == (12.5, [4.5, 8.0])
