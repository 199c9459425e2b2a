"""Half precision, simulated."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from family_specs import SPECS, untrained

from export.half import HalfPrecision, product, rounded
from training.flat import evaluate
from training.flatten import flatten

SHAPE = (8, 3)


@pytest.mark.parametrize("name", SPECS)
def test_half_precision_is_near_float32_but_not_it(name: str) -> None:
    """For every family; every output is a number that float16 has."""
    program = flatten(untrained(SPECS[name], SHAPE, keras), SHAPE)
    windows = np.random.default_rng(1).normal(size=(9, *SHAPE)).astype(np.float32)
    expected = evaluate(program, windows)
    got = HalfPrecision(program).run(windows)
    assert (got.shape, got.dtype) == (expected.shape, np.float32)
    assert np.array_equal(got, rounded(got))
    assert 1e-5 < np.abs(got - expected).max() / np.abs(expected).max() < 0.02
    assert np.array_equal(got, np.concatenate([HalfPrecision(program).run(windows[i : i + 1]) for i in range(9)]))


def test_a_product_rounds_after_every_term() -> None:
    """In plain loops of numpy's own float16; 2048 + 1 is 2048 there."""
    rng = np.random.default_rng(2)
    x, weights, bias = (rounded(rng.normal(size=size).astype(np.float32)) for size in ((4, 6), (3, 6), (3,)))
    for row in range(4):
        for unit in range(3):
            total = np.float16(bias[unit])
            for i in range(6):
                total = np.float16(np.float32(total) + np.float32(x[row, i]) * np.float32(weights[unit, i]))
            assert product(x, weights, bias)[row, unit] == total
    assert product(np.ones((1, 1), np.float32), np.ones((1, 1), np.float32), np.array([2048], np.float32)) == 2048


def test_what_is_too_large_becomes_infinite() -> None:
    """As on the device: a variant that does that must not pass for healthy."""
    program = flatten(untrained(SPECS["linear"], SHAPE, keras), SHAPE)
    assert not np.isfinite(HalfPrecision(program).run(np.full((1, *SHAPE), 6e4, np.float32))).all()
