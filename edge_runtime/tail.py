"""The generalized Pareto distribution: what is left of a score above a high level (Pickands 1975).

The probability of an excess above y is (1 + shape y / scale)^(-1 / shape), and exp(-y / scale) where the shape is zero.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

LOWEST_SHAPE, HIGHEST_SHAPE = -0.5, 1.0
"""Of a fitted tail: below it the maximum likelihood has no use (Smith 1985), above it the tail has no mean."""

Numbers = npt.NDArray[np.float64]

_NEAR_ZERO = 1e-9
_GRID = np.concatenate((-np.geomspace(1.0, 1e-4, 40), [0.0], np.geomspace(1e-4, 1.0, 60)))


class Pareto(NamedTuple):
    """A generalized Pareto distribution of excesses."""

    shape: float
    """Below zero the tail ends, at zero it is exponential, above zero it is heavy."""
    scale: float
    """In units of the score."""

    def survival(self, excess: float) -> float:
        """The probability of an excess above this one (0 or more)."""
        return float(survival(np.float64(excess), np.float64(self.shape), np.float64(self.scale)))

    def quantile(self, probability: float) -> float:
        """The excess that is exceeded with this probability (above 0, at most 1)."""
        if abs(self.shape) < _NEAR_ZERO:
            return float(-self.scale * np.log(probability))
        return float(self.scale / self.shape * np.expm1(-self.shape * np.log(probability)))


def survival(excess: npt.ArrayLike, shape: npt.ArrayLike, scale: npt.ArrayLike) -> Numbers:
    """The probability of an excess above this one, broadcast over arrays; 0 beyond the end of a tail that has one."""
    shapes = np.where(np.abs(shape) < _NEAR_ZERO, _NEAR_ZERO, shape)
    inner = np.maximum(shapes * np.asarray(excess) / scale, -1.0)
    with np.errstate(divide="ignore"):  # at the end of the tail: log 0, of which exp makes 0
        return np.asarray(np.exp(-np.log1p(inner) / shapes))


def fit_pareto(excesses: Numbers) -> Pareto:
    """The most likely distribution of `excesses` (N,), all above zero, with a shape from `LOWEST_SHAPE` to `HIGHEST_SHAPE`.

    For a given ratio t = shape / scale the most likely shape is the mean of log(1 + t y), so one number is left to search
    (Grimshaw, "Computing maximum likelihood estimates for the generalized Pareto distribution", 1993). It is searched on a
    grid that is made finer three times around its best point: always the same steps, and no place to get stuck in.
    """
    mean = float(excesses.mean())
    y = excesses / mean
    # Below zero t ends at -1 / max(y); above zero a hundred times the mean is heavier than any shape that is allowed.
    ratios = np.where(_GRID < 0, _GRID * (1 - 1e-6) / y.max(), _GRID * 100.0)
    for _ in range(4):
        likelihoods, shapes = _profile(ratios, y)
        best = int(likelihoods.argmax())
        shape, scale = float(shapes[best]), _scale(float(ratios[best]), float(shapes[best]))
        ratios = np.linspace(ratios[max(best - 1, 0)], ratios[min(best + 1, len(ratios) - 1)], 41)
    return Pareto(shape, scale * mean)


def _profile(ratios: Numbers, y: Numbers) -> tuple[Numbers, Numbers]:
    """The mean log-likelihood and the most likely shape for each ratio (R,) of shape to scale; `y` (N,) with mean 1."""
    shapes = np.log1p(ratios[:, None] * y).mean(axis=1)
    is_allowed = (shapes >= LOWEST_SHAPE) & (shapes <= HIGHEST_SHAPE)
    is_exponential = np.abs(ratios) < _NEAR_ZERO
    scales = np.where(is_exponential, 1.0, shapes / np.where(is_exponential, 1.0, ratios))
    return np.where(is_allowed, -np.log(scales) - shapes - 1, -np.inf), shapes


def _scale(ratio: float, shape: float) -> float:
    return 1.0 if abs(ratio) < _NEAR_ZERO else shape / ratio
