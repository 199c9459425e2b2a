"""The generalized Pareto distribution against scipy's."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import genpareto

from edge_runtime.tail import HIGHEST_SHAPE, LOWEST_SHAPE, Pareto, fit_pareto, survival


@pytest.mark.parametrize("shape", [-0.4, -0.1, 0.0, 0.2, 0.8])
def test_survival_and_quantile(shape):
    """Are scipy's, to ten digits."""
    excesses = np.linspace(0, 3, 31)
    expected = genpareto.sf(excesses, shape, scale=0.7)
    np.testing.assert_allclose(survival(excesses, shape, 0.7), expected, rtol=1e-6, atol=1e-12)
    for chance in (1.0, 0.3, 1e-3, 1e-7):
        expected = genpareto.isf(chance, shape, scale=0.7)
        assert Pareto(shape, 0.7).quantile(chance) == pytest.approx(expected, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("shape", [-0.3, 0.0, 0.2, 0.5])
@pytest.mark.parametrize("count", [10, 50, 300])
def test_the_fit(shape, count):
    """As likely as scipy's or more, and the same numbers where scipy's shape is one that is allowed."""
    for seed in range(10):
        excesses = genpareto.rvs(shape, scale=0.3, size=count, random_state=seed)
        ours, (other_shape, _, other_scale) = fit_pareto(excesses), genpareto.fit(excesses, floc=0)
        if not LOWEST_SHAPE < other_shape < HIGHEST_SHAPE:
            continue
        likelihood = genpareto.logpdf(excesses, ours.shape, scale=ours.scale).mean()
        assert likelihood >= genpareto.logpdf(excesses, other_shape, scale=other_scale).mean() - 1e-7
        assert ours == pytest.approx((other_shape, other_scale), abs=2e-3)
