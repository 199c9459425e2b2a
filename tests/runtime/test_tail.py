"""The generalized Pareto distribution and its fit, against plain loops; scipy is asked in tests/training/test_tail.py."""

from __future__ import annotations

import numpy as np
import pytest
from effort import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle_threshold import most_likely_tail

from edge_runtime.tail import HIGHEST_SHAPE, LOWEST_SHAPE, Pareto, fit_pareto, survival

shapes = st.sampled_from([-0.5, -0.3, -1e-6, 0.0, 1e-10, 0.1, 0.4, 1.0])


def sample(shape: float, count: int, seed: int) -> np.ndarray:
    """Excesses (N,) of a tail with scale 1."""
    chance = np.random.default_rng(seed).random(count)
    return -np.log(chance) if shape == 0 else (chance**-shape - 1) / shape


@given(shape=shapes, scale=st.floats(1e-3, 1e3), probability=st.floats(1e-9, 1.0))
def test_quantile_and_survival_are_each_others_inverse(shape: float, scale: float, probability: float) -> None:
    """For every shape, near zero too."""
    tail = Pareto(shape, scale)
    assert tail.survival(tail.quantile(probability)) == pytest.approx(probability, rel=1e-5)


def test_an_exponential_tail_and_the_end_of_a_short_one() -> None:
    """By the textbook."""
    assert Pareto(0.0, 2.0).quantile(np.exp(-3)) == pytest.approx(6.0)
    assert Pareto(0.0, 2.0).survival(6.0) == pytest.approx(np.exp(-3))
    assert Pareto(-0.5, 1.0).survival(1.0) == pytest.approx(0.25)
    assert Pareto(-0.5, 1.0).survival(2.0) == Pareto(-0.5, 1.0).survival(5.0) == 0.0
    assert survival(1.0, np.array([0.0, 1.0]), np.array([1.0, 1.0])) == pytest.approx([np.exp(-1), 0.5])


@settings(max_examples=examples(40))
@given(shape=shapes, count=st.sampled_from([2, 5, 12, 60]), seed=st.integers(0, 10**6), scale=st.floats(1e-6, 1e6))
def test_the_fit_is_the_most_likely_one(shape: float, count: int, seed: int, scale: float) -> None:
    """As likely as what plain loops find, whatever the unit, and within the shapes that are allowed."""
    excesses = sample(shape, count, seed) + 1e-9
    fitted = fit_pareto(scale * excesses)
    assert LOWEST_SHAPE <= fitted.shape <= HIGHEST_SHAPE

    def likelihood(shape: float, scale: float) -> float:
        if abs(shape) < 1e-9:
            return float(-np.log(scale) - excesses.mean() / scale)
        return float(-np.log(scale) - (1 + 1 / shape) * np.log1p(shape * excesses / scale).mean())

    assert likelihood(fitted.shape, fitted.scale / scale) >= likelihood(*most_likely_tail(excesses.tolist())) - 1e-3


@pytest.mark.parametrize("shape", [-0.2, 0.0, 0.3])
def test_many_excesses_give_their_tail_back(shape: float) -> None:
    """To what chance leaves of it."""
    fitted = fit_pareto(3.0 * sample(shape, 20_000, 4))
    assert fitted.shape == pytest.approx(shape, abs=0.03)
    assert fitted.scale == pytest.approx(3.0, rel=0.04)


def test_equal_excesses() -> None:
    """Have a tail that ends there: a number, not a failure."""
    fitted = fit_pareto(np.full(20, 0.7))
    assert fitted.shape == pytest.approx(LOWEST_SHAPE, abs=0.01)
    assert 0.7 < fitted.quantile(1e-6) < 2.0
