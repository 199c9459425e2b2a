"""From a model's output to one number, and what each channel adds to it.

The residuals e (K, C) are what the model gives for the window's last K readings less those readings, in scaled units:

- `mae`, `mse`: the mean of |e| or e^2 over readings and channels.
- `mahalanobis`: the mean over the readings of the squared Mahalanobis distance e' S^-1 e / C, with the covariance S of held-out
  normal residuals, shrunk (Malhotra et al., "Long short term memory networks for anomaly detection in time series", 2015). A
  normal window scores about 1, less with shrinkage. The residuals are whitened by way of the correlations' symmetric root, which keeps each
  whitened one as close to its channel as can be, so that its square is the channel's own part of the distance, and never
  negative (Garthwaite & Koch, "Evaluating the contributions of individual variables to a quadratic form", 2016).
"""

from __future__ import annotations

from functools import reduce
from operator import add, mul

import numpy as np
import numpy.typing as npt

from edge_runtime.errors import EngineError, TrainingError
from edge_runtime.manifest_decision import Score

LEAST_SPREAD = 1e-2
"""A residual's standard deviation below this, in scaled units, counts as this: a model that repeats a channel exactly on
normal readings would otherwise make every other reading of it anomalous."""


KEPT = 512
"""The most residuals (K times F) that are kept in place of their contributions, until somebody asks for these: 2 kB. Calculating them
is a third of what a score costs; of a larger window it is little beside the model."""


class Scorer:
    """Scores windows, without memory: smoothing over time is `smooth.py`'s."""

    def __init__(self, score: Score, output_shape: tuple[int, int], length: int | None = None) -> None:
        """`output_shape`: what the model answers, (K, F); `length`: the window's T, which saves work where all of it is scored."""
        estimated, channels = output_shape
        steps = estimated if score.last is None else score.last
        self._is_of_all = length == estimated == steps
        self.is_squared = score.kind != "mae"
        whitening = None if score.whitening is None else np.array(score.whitening)
        # A whitening that mixes no channels is a weight of each channel's total: nothing is to be done at every step.
        weights = np.ones(channels)
        if whitening is not None and np.count_nonzero(whitening) == np.count_nonzero(whitening.diagonal()):
            weights, whitening = whitening.diagonal() ** 2, None
        self._whitening = None if whitening is None else whitening.astype(np.float32)
        # The products with these are the mean over steps and channels, and the sum over the steps: the cheapest sums there are.
        self.shares = (np.tile(weights, steps) / (steps * channels)).astype(np.float32)
        self._ones, self._weights = np.ones(steps, np.float32), weights.tolist()
        self.error = np.empty((1, steps, channels), np.float32)
        """Of the last window that was scored alone: what each residual adds to its channel's total, before the weights."""
        self.finish = (
            None if not self._is_of_all or whitening is not None else np.multiply if self.is_squared else np.absolute
        )
        """What makes the errors of the residuals, the same for all of them; None where that takes more."""

    def step(
        self, reconstruction: npt.NDArray[np.float32], window: npt.NDArray[np.float32]
    ) -> tuple[float, list[float]]:
        """Score one window (1, T, F) against the model's output (1, K, F).

        Returns the score and the contributions of the F inputs; they add up to the score.
        """
        self._errors(reconstruction, window, self.error)
        score = float(self.shares.dot(self.error.reshape(-1)))
        return score, self._contributions(self.error[0], score)

    def explain(self, kept: bytes, score: float) -> list[float]:
        """The contributions of the F inputs to a score, from the bytes of its `error`."""
        return self._contributions(np.frombuffer(kept, np.float32).reshape(self.error.shape[1:]), score)

    def _contributions(self, error: npt.NDArray[np.float32], score: float) -> list[float]:
        totals = [*map(mul, self._ones.dot(error).tolist(), self._weights)]
        total = reduce(add, totals)
        # The score was added up in another order: the shares are made to add up to it.
        factor = score / total if total else 0.0
        return [each * factor for each in totals]

    def step_many(
        self, reconstructions: npt.NDArray[np.float32], windows: npt.NDArray[np.float32]
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Score B windows (B, T, F) against the model's outputs (B, K, F).

        Returns the scores (B,) and the contributions (B, F). The same sums in the same order as for one window, so the bits
        are the same too.
        """
        error = self._errors(reconstructions, windows, None)
        # One product for each window, so the bits do not depend on how many there are.
        scores = np.matmul(self.shares, error.reshape(len(error), -1, 1))[:, 0].astype(np.float64)
        totals = np.matmul(self._ones, error) * self._weights
        total = reduce(add, totals.T)
        totals *= np.divide(scores, total, where=total != 0, out=np.zeros(len(total)))[:, None]
        return scores, totals

    def _errors(
        self,
        reconstructions: npt.NDArray[np.float32],
        windows: npt.NDArray[np.float32],
        out: npt.NDArray[np.float32] | None,
    ) -> npt.NDArray[np.float32]:
        """What each residual adds to its channel's total, (B, steps, F), in `out` if that is an array."""
        if not self._is_of_all:
            steps = len(self._ones)
            reconstructions, windows = reconstructions[:, -steps:], windows[:, -steps:]
        error = np.subtract(reconstructions, windows, out)
        if not self.is_squared:
            return np.absolute(error, error)
        if self._whitening is not None:
            error = np.matmul(error, self._whitening)  # one product for each window, as above
        return np.multiply(error, error, error if out is None else out)


def not_finite(engine: str, score: float) -> EngineError:
    """The error for a score that is no number, or too large for one."""
    return EngineError(f"{engine}: expected a finite score, got {score}: the model is damaged")


def fit_whitening(
    residuals: npt.NDArray[np.float64], shrinkage: float, least: npt.ArrayLike = LEAST_SPREAD
) -> tuple[tuple[float, ...], ...]:
    """The matrix W (C, C) that whitens held-out normal residuals (N, C): the squares of `residuals @ W` have mean 1.

    The correlations are shrunk towards none: 0 takes them as they are, 1 leaves each channel in units of its own spread
    (Ledoit & Wolf, "Honey, I shrunk the sample covariance matrix", 2004, with the variances kept). The moments are taken
    around zero, not around the mean: what a model gets wrong on normal readings it has not seen is error, not signal. A spread
    below `least` (one number, or C) counts as that. Raises `TrainingError` if there are no residuals.
    """
    if not len(residuals):
        raise TrainingError("expected held-out residuals to fit their covariance to, got none")
    spread = np.maximum(np.sqrt(np.mean(residuals**2, axis=0)), least)
    standard = residuals / spread
    # A channel that is always exactly right is correlated with none, itself included: the diagonal is set to 1.
    correlation = (1 - shrinkage) * (standard.T @ standard / len(standard))
    np.fill_diagonal(correlation, 1.0)
    values, vectors = np.linalg.eigh(correlation)
    root = vectors / np.sqrt(np.maximum(values, 1e-6)) @ vectors.T
    return tuple(tuple(row) for row in (root / spread[:, None]).tolist())
