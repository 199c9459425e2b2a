"""From a reconstruction to one number, and what each channel adds to it."""

from __future__ import annotations

from functools import reduce
from operator import add

import numpy as np
import numpy.typing as npt

from edge_runtime.manifest import Score


class Scorer:
    """Mean absolute or mean squared reconstruction error over the window's last k steps and all C channels."""

    def __init__(self, score: Score, length: int, channels: int) -> None:
        steps = length if score.last is None else score.last
        self._from = length - steps
        self._ones = np.ones(steps, np.float32)
        self._squared = score.kind == "mse"
        self._share = 1 / (steps * channels)

    def step(
        self, reconstruction: npt.NDArray[np.float32], window: npt.NDArray[np.float32]
    ) -> tuple[float, list[float]]:
        """Score one window (T, C) against its reconstruction (T, C).

        Returns the score and the contributions of the C channels, in scaled units; they add up to the score.
        """
        share = self._share
        contributions = [total * share for total in self._totals(reconstruction, window).tolist()]
        return reduce(add, contributions), contributions

    def step_many(
        self, reconstructions: npt.NDArray[np.float32], windows: npt.NDArray[np.float32]
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Score B windows (B, T, C) against their reconstructions (B, T, C).

        Returns the scores (B,) and the contributions (B, C). The same sums in the same order as for one window, so the bits
        are the same too.
        """
        contributions = self._totals(reconstructions, windows).astype(np.float64) * self._share
        return reduce(add, contributions.T), contributions

    def _totals(
        self, reconstructions: npt.NDArray[np.float32], windows: npt.NDArray[np.float32]
    ) -> npt.NDArray[np.float32]:
        """The summed errors of each channel, (..., C)."""
        error = reconstructions - windows if self._from == 0 else self._recent(reconstructions) - self._recent(windows)
        error = np.multiply(error, error, out=error) if self._squared else np.absolute(error, out=error)
        # The product with ones is the sum over the steps, five times cheaper than np.add.reduce for one window; for several
        # it is one such product each, so the bits do not depend on how many there are.
        totals: npt.NDArray[np.float32] = np.matmul(self._ones, error)
        return totals

    def _recent(self, windows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        return windows[..., self._from :, :]
