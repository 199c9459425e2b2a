"""How often the alarm goes up on normal readings, and the level at which it does so once in so many days.

With "k of the last n scores above the enter level, and the current one too" an alarm is up for raising at the level u if and only
if a = min(score, k-th largest of the last n scores) is above u. Successive ones belong to one alarm until n scores in a row are
below its exit level. So an alarm is a cluster of exceedances of a, by the alarm's own rule and not by a run length chosen for the
purpose; only the cooldown is left out, which can but make alarms rarer.

Above an initial level the clusters' peaks have a generalized Pareto tail and the clusters come at random (peaks over threshold:
Davison & Smith, "Models for exceedances over high thresholds", 1990). Shape, scale and rate are uncertain, with some tens of
clusters very much so: they are averaged over, on a grid, with a prior that holds the shape near zero (no tail of an averaged
residual is far from exponential), a flat one for the logarithm of the scale, and Jeffreys' for the rate. Clusters that come in
bursts tell less than their number: the information is divided by the dispersion of their counts.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from edge_runtime.manifest import AlarmPolicy, FalseAlarms
from edge_runtime.tail import survival

Numbers = npt.NDArray[np.float64]

FEWEST_CLUSTERS = 10
"""Fewer say nothing about how often an alarm comes."""
WANTED_CLUSTERS = 30
"""The initial level is the highest with so many clusters."""
LOWEST_QUANTILE = 0.8
"""The initial level is not below this quantile of a: what is below is no tail."""
SHAPE_SPREAD = 0.2
"""The standard deviation of the prior of the shape around zero."""
FARTHEST = 3.0
"""A budget of at most so many times the days of held-out readings, divided by the dispersion, is taken from their tail."""

_SHAPES = np.linspace(-0.5, 0.7, 49)[:, None]
_SCALES = np.exp(np.linspace(-1.6, 1.6, 65))[None]
_NORMAL = np.array([0.06, 0.19, 0.32, 0.45, 0.6, 0.76, 0.93, 1.15, 1.44, 1.96])
_NORMAL_QUANTILES = np.concatenate((-_NORMAL[::-1], _NORMAL))
"""The middles of twenty equally likely parts of a normal distribution."""


class AlarmLevels:
    """What the alarm's raising and clearing depend on, for scores of one machine in order of time.

    `stretches`: arrays (N_i,) of scores between two restarts of the window, which the alarm's count does not reach across.
    """

    def __init__(self, stretches: Sequence[Numbers], policy: AlarmPolicy) -> None:
        k, n = policy.k, policy.n
        kth = [_largest(_last(stretch, n, -np.inf), k) for stretch in stretches]
        self.raising = np.concatenate([np.minimum(s, each) for s, each in zip(stretches, kth, strict=True)])
        """(N,): an alarm is up for raising at the enter level u where this is above u."""
        self._clearing = np.concatenate([_last(stretch, n, np.inf).max(axis=1) for stretch in stretches])
        self._exit = policy.exit / policy.enter

    def clusters(self, level: float) -> tuple[Numbers, npt.NDArray[np.int64]]:
        """The alarms at an enter level: the highest `raising` of each (M,), and the row (M,) that raises it."""
        rows = np.flatnonzero(self.raising > level)
        if not len(rows):
            return np.empty(0), rows
        clears = np.cumsum(self._clearing < self._exit * level)
        first = np.flatnonzero(np.diff(clears[rows], prepend=-1) > 0)
        return np.maximum.reduceat(self.raising[rows], first), rows[first]

    def initial_level(self) -> float:
        """The highest level with `WANTED_CLUSTERS` clusters; where none has so many, the one with the most."""
        values = self.raising[np.isfinite(self.raising)]
        if not len(values):
            return np.inf
        levels = np.quantile(values, 1 - np.geomspace(1e-3, 1 - LOWEST_QUANTILE, 40))
        counts = np.array([len(self.clusters(level)[0]) for level in levels])
        enough = np.flatnonzero(counts >= WANTED_CLUSTERS)
        return float(levels[enough[0] if len(enough) else counts.argmax()])


class AlarmRate:
    """Alarms a day at any enter level, with their uncertainty."""

    def __init__(self, stretches: Sequence[Numbers], days: float, policy: AlarmPolicy) -> None:
        """`stretches` as in `AlarmLevels`; `days`: how long they are together."""
        self._levels, self._days, self._policy = AlarmLevels(stretches, policy), days, policy
        self.initial = self._levels.initial_level()
        peaks, rows = self._levels.clusters(self.initial)
        self.clusters = len(peaks)
        self.is_known = self.clusters >= FEWEST_CLUSTERS
        if self.is_known:
            self.dispersion = _dispersion(rows, len(self._levels.raising))
            self._fit_tail(peaks - self.initial)

    def _fit_tail(self, excesses: Numbers) -> None:
        """The weights of shapes and scales on the grid, given the clusters' excesses (M,)."""
        scales = excesses.mean() * _SCALES
        inner = 1 + _SHAPES[..., None] * excesses / scales[..., None]
        shapes = np.where(np.abs(_SHAPES) < 1e-9, 1e-9, _SHAPES)
        is_possible = (inner > 0).all(axis=-1)
        logs = np.log1p(np.maximum(shapes[..., None] * excesses / scales[..., None], -1 + 1e-12)).sum(axis=-1)
        likelihood = -len(excesses) * np.log(scales) - (1 + 1 / shapes) * logs
        logs = likelihood / self.dispersion - (_SHAPES / SHAPE_SPREAD) ** 2 / 2
        weights = np.where(is_possible, np.exp(logs - logs[is_possible].max()), 0.0)
        kept = weights > 1e-5
        self._weights = weights[kept] / weights[kept].sum()
        self._shapes, self._scales = (np.broadcast_to(each, weights.shape)[kept] for each in (shapes, scales))

    def at(self, threshold: float) -> FalseAlarms:
        """What is to be expected of a threshold, in units of the score."""
        if not self.is_known:
            return FalseAlarms(self._days, self.clusters)
        level = self._policy.enter * threshold
        if level < self.initial:  # not in the tail: the alarms themselves are counted
            counted = len(self._levels.clusters(level)[0])
            rates, weights = self._rates(counted), np.full(len(_NORMAL_QUANTILES), 1 / len(_NORMAL_QUANTILES))
        else:
            rates, weights = self._tail_rates(level)
        low, high = _weighted_quantiles(rates, weights, (0.025, 0.975))
        return FalseAlarms(self._days, self.clusters, float(rates @ weights), low, high, self.dispersion)

    def threshold_for(self, per_day: float, confidence: float) -> float:
        """The lowest threshold, in units of the score, with at most so many alarms a day; not below the initial level.

        `confidence`: the probability that there are no more, as far as the clusters tell.
        """

        def is_kept(level: float) -> bool:
            rates, weights = self._tail_rates(level)
            return float(weights[rates <= per_day].sum()) >= confidence

        low, high = self.initial, self.initial + float(self._scales.max())
        if is_kept(low):
            return low / self._policy.enter
        while not is_kept(high):
            high = self.initial + 2 * (high - self.initial)
        for _ in range(40):
            middle = (low + high) / 2
            low, high = (low, middle) if is_kept(middle) else (middle, high)
        return high / self._policy.enter

    def _tail_rates(self, level: float) -> tuple[Numbers, Numbers]:
        """Alarms a day (R,) that are possible at a level in the tail, and how likely (R,) each is."""
        exceeding = survival(level - self.initial, self._shapes, self._scales)
        rates = self._rates(self.clusters)
        return np.outer(rates, exceeding).ravel(), np.tile(self._weights / len(rates), len(rates))

    def _rates(self, clusters: int) -> Numbers:
        """Twenty equally likely rates a day for so many clusters: Gamma distributed (Wilson & Hilferty 1931)."""
        shape = clusters / self.dispersion + 0.5
        cubes = np.maximum(1 - 1 / (9 * shape) + _NORMAL_QUANTILES / (3 * np.sqrt(shape)), 0.0) ** 3
        return np.asarray(shape * cubes * self.dispersion / self._days)


def _last(scores: Numbers, n: int, before: float) -> Numbers:
    """The last n scores at each one (N, n), filled up with `before` where there are fewer."""
    padded = np.concatenate((np.full(n - 1, before), scores))
    return np.lib.stride_tricks.sliding_window_view(padded, n)


def _largest(rows: Numbers, k: int, chunk: int = 65_536) -> Numbers:
    """The k-th largest number of each row (N, n); a chunk at a time, since n copies of a year's scores are gigabytes."""
    n = rows.shape[1]
    found = [np.partition(rows[i : i + chunk], n - k, axis=1)[:, n - k] for i in range(0, len(rows), chunk)]
    return np.concatenate(found) if found else np.empty(0)


def _dispersion(rows: npt.NDArray[np.int64], count: int, blocks: int = 10) -> float:
    """The variance of the clusters' number in equal parts of the time over its mean; 1 if they come at random, or more evenly."""
    counts = np.bincount(rows * blocks // count, minlength=blocks)
    return max(1.0, float(counts.var(ddof=1) / counts.mean()))


def _weighted_quantiles(values: Numbers, weights: Numbers, levels: Sequence[float]) -> list[float]:
    order = np.argsort(values)
    cumulated = np.cumsum(weights[order])
    quantiles: list[float] = values[order][np.searchsorted(cumulated, np.multiply(levels, cumulated[-1]))].tolist()
    return quantiles
