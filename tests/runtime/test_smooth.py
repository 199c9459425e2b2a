"""Smoothing: the same mean for one machine, for many and for a table; causal, and forgotten at a restart."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_runtime.smooth import Smooth, smooth_table


@given(
    weight=st.floats(0.01, 1),
    steps=st.integers(1, 30),
    C=st.integers(1, 4),
    seed=st.integers(0, 10**6),
)
def test_one_many_and_table_are_the_same_bits(weight: float, steps: int, C: int, seed: int) -> None:
    """And equal the weighted mean written out."""
    rng = np.random.default_rng(seed)
    contributions = rng.exponential(1, (steps, 3, C))
    begins = rng.random((steps, 3)) < 0.2
    many = Smooth(weight, 3, C)
    singles = [Smooth(weight, 1, C) for _ in range(3)]
    mean = np.zeros((3, C))
    answers = np.empty((steps, 3))
    for step in range(steps):
        restarted = np.flatnonzero(begins[step])
        many.restart(restarted)
        scores, columns = many.step(np.arange(3), list(contributions[step].T))
        assert np.array_equal(scores, sum(columns[1:], columns[0]))
        answers[step] = scores
        for machine, single in enumerate(singles):
            if begins[step, machine]:
                single.restart(0)
            score, parts = single.step(0, contributions[step, machine].tolist())
            assert (score, parts) == (scores[machine], [column[machine] for column in columns])
            is_first = step == 0 or begins[step, machine]
            new = contributions[step, machine]
            mean[machine] = new if is_first else weight * new + (1 - weight) * mean[machine]
        assert scores == pytest.approx(mean.sum(axis=1))
    for machine in range(3):
        scores, parts = smooth_table(weight, contributions[:, machine], begins[:, machine])
        assert np.array_equal(scores, answers[:, machine])
        assert parts.sum(axis=1) == pytest.approx(scores)


def test_first_score_stands_for_itself_to_the_bit() -> None:
    """At the start and after a restart, whatever came before."""
    smooth = Smooth(0.1, 1, 1)
    assert smooth.step(0, [0.3])[0] == 0.3
    smooth.step(0, [1e9])
    smooth.restart(0)
    assert smooth.step(0, [0.1])[0] == 0.1


def test_weight_of_one_is_off() -> None:
    """Then the detector does not even ask."""
    assert Smooth(1.0, 1, 1).is_off
    assert not Smooth(0.99, 1, 1).is_off
