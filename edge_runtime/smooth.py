"""Smoothing scores over time: an exponentially weighted mean of the scores so far (Roberts 1959), causal.

A fault lasts longer than the noise of one window. The contributions of the channels are smoothed, so they still add up.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from operator import add
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_runtime.clean import Columns, Machines, Remembers, read


class Smooth(Remembers):
    """The smoothed contributions of C channels for M machines."""

    def __init__(self, weight: float, machines: int, channels: int) -> None:
        self.is_off = weight == 1
        self._weight = weight
        self._means = np.zeros((channels, machines))
        self._columns = list(self._means)
        self._has_mean = np.zeros(machines, np.bool_)

    def memory(self) -> dict[str, npt.NDArray[Any]]:
        """As `Remembers` says."""
        return {} if self.is_off else {"means": self._means.T, "has_mean": self._has_mean}

    def restart(self, machine: Machines | slice) -> None:
        """Forget the machine's scores: the next one stands for itself."""
        self._has_mean[machine] = False
        self._means[:, machine] = 0.0  # the first score is then added to nothing, and stays as it is to the bit

    def step(self, machine: Machines, contributions: Columns) -> tuple[Any, list[Any]]:
        """Take one score of each machine: C contributions, numbers for one machine, arrays (B,) for several.

        Returns the smoothed scores (...) and the C smoothed contributions, which add up to them.
        """
        # Any: numbers for one machine, arrays for several; the same arithmetic in the same order, so the bits are the same.
        weight: Any = 1 - read(self._has_mean, machine) * (1 - self._weight)
        smoothed = []
        for means, contribution in zip(self._columns, contributions, strict=True):
            mean: Any = read(means, machine)
            mean = mean + weight * (contribution - mean)
            means[machine] = mean
            smoothed.append(mean)
        self._has_mean[machine] = True
        return reduce(add, smoothed), smoothed


def smooth_table(
    weight: float, contributions: npt.NDArray[np.float64], begins: Sequence[bool] | npt.NDArray[np.bool_]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Smooth the contributions (N, C) of one machine's scores in order of time; `begins` (N,): the score stands for itself.

    Returns the smoothed scores (N,) and contributions (N, C).
    """
    smooth = Smooth(weight, 1, contributions.shape[1])
    scores, smoothed = np.empty(len(contributions)), np.empty_like(contributions)
    for row, (one, is_first) in enumerate(zip(contributions.tolist(), begins, strict=True)):
        if is_first:
            smooth.restart(0)
        scores[row], smoothed[row] = smooth.step(0, one)
    return scores, smoothed
