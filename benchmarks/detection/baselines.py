"""Simple detectors that ours have to beat, through the same rule and the same alarm.

Each is fitted to the first 70 % of the training rows; its limit is the 95th percentile of the scores of the other 30 %, times
1.5: the rule that ours have by default. The isolation forest keeps scikit-learn's own limit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from benchmarks.detection.series import Series
from edge_runtime.alarm import Alarm
from edge_runtime.manifest import AlarmPolicy
from edge_runtime.readings import SCORED, WARMING_UP, Verdicts

Array = npt.NDArray[np.float64]
FIT_SHARE = 0.7
PERCENTILE = 95


@dataclass(frozen=True)
class Settings:
    """What a data set's protocol says about its baselines."""

    window: int
    """Rows of the windowed PCA's window."""
    variance: float
    """The share of the variance that the PCA keeps."""
    factor: float = 1.5
    """The limit is so many times the 95th percentile of held-out normal scores."""
    alarm: AlarmPolicy = field(default_factory=AlarmPolicy)


def verdicts(method: str, series: Series, settings: Settings, seed: int) -> Verdicts:
    """A baseline's verdicts on every row of a series; rows without a full window are `warming_up`."""
    train = series.values[series.train]
    border = round(FIT_SHARE * len(train))
    scale = train[:border].std(axis=0)
    used = scale > 0  # a channel that does not vary in what is learned has no scale
    center = train[:border].mean(axis=0)[used]
    scaled = (series.values[:, used] - center) / scale[used]
    fit = scaled[series.train.start : series.train.start + border]
    contributions, limit = BASELINES[method](scaled, fit, settings, seed)
    scores = contributions.sum(axis=1)
    if limit is None:
        held_out = scores[series.train.start + border : series.train.stop]
        limit = settings.factor * float(np.nanpercentile(held_out, PERCENTILE))
    channels = tuple(name for name, is_used in zip(series.channels, used, strict=True) if is_used)
    return _verdicts(series, channels, scores, contributions, limit, settings.alarm)


def always(scaled: Array, fit: Array, settings: Settings, seed: int) -> tuple[Array, float | None]:
    """Says "anomaly" on every row, and names the channels from the last to the first: what to compare with first."""
    channels = scaled.shape[1]
    return np.tile(np.arange(1.0, channels + 1) / channels, (len(scaled), 1)), 0.5


def hotelling_t2(scaled: Array, fit: Array, settings: Settings, seed: int) -> tuple[Array, float | None]:
    """Hotelling's T-squared (1947) of one row; the contributions are those of the whitened row."""
    return _whitened(scaled, fit) ** 2, None


def t2_q(scaled: Array, fit: Array, settings: Settings, seed: int) -> tuple[Array, float | None]:
    """T2 within the principal components and Q outside of them, each over its own limit (Jackson & Mudholkar 1979); the larger counts."""
    components, variances = _components(fit, settings.variance)
    inside = (scaled @ components.T) ** 2 / variances
    outside = (scaled - scaled @ components.T @ components) ** 2
    # Each statistic in units of its own 95th percentile over the fitted rows, so that one limit serves both.
    t2 = inside @ components**2 / _limit(((fit @ components.T) ** 2 / variances).sum(axis=1))
    q = outside / _limit(((fit - fit @ components.T @ components) ** 2).sum(axis=1))
    return np.where((t2.sum(axis=1) > q.sum(axis=1))[:, None], t2, q), None


def windowed_pca(scaled: Array, fit: Array, settings: Settings, seed: int) -> tuple[Array, float | None]:
    """What the principal components of the flattened window leave of it (squared), a row's window being its last rows."""
    length, channels = settings.window, scaled.shape[1]
    windows = _windows(fit, length)
    mean = windows.mean(axis=0)
    components, _ = _components(windows - mean, settings.variance)
    left = _windows(scaled, length) - mean
    left = left - left @ components.T @ components
    by_channel = (left**2).reshape(len(left), length, channels).sum(axis=1)
    return np.concatenate([np.full((length - 1, channels), np.nan), by_channel]), None


def isolation_forest(scaled: Array, fit: Array, settings: Settings, seed: int) -> tuple[Array, float | None]:
    """scikit-learn's, as it comes (Liu et al. 2008)."""
    from sklearn.ensemble import IsolationForest

    scores = -IsolationForest(random_state=seed).fit(fit).score_samples(scaled)
    return np.repeat(scores[:, None] / scaled.shape[1], scaled.shape[1], axis=1), 0.5


def windowed_gaussian(scaled: Array, fit: Array, settings: Settings, seed: int) -> tuple[Array, float | None]:
    """The squared distance from the mean of all rows before, in their standard deviations: NAB's simplest detector, causal."""
    count = np.arange(len(scaled))[:, None]
    first = len(fit)
    sums, squares = (np.concatenate([np.zeros((1, scaled.shape[1])), part[:-1]]) for part in
                     (np.cumsum(scaled, axis=0), np.cumsum(scaled**2, axis=0)))  # fmt: skip
    mean = sums / np.maximum(count, 1)
    deviation = np.sqrt(np.maximum(squares / np.maximum(count, 1) - mean**2, 1e-12))
    scores = ((scaled - mean) / deviation) ** 2
    scores[:first] = ((scaled[:first] - fit.mean(axis=0)) / fit.std(axis=0)) ** 2
    return scores, None


Baseline = Callable[[Array, Array, Settings, int], tuple[Array, float | None]]
BASELINES: dict[str, Baseline] = {
    "always anomalous": always,
    "Hotelling T2": hotelling_t2,
    "T2+Q (PCA)": t2_q,
    "windowed PCA": windowed_pca,
    "isolation forest": isolation_forest,
    "windowed Gaussian": windowed_gaussian,
}
"""(scaled rows (N, C), those it is fitted to, settings, seed) -> contributions (N, C), which add up to the score, and a limit of its own."""


def _components(rows: Array, variance: float) -> tuple[Array, Array]:
    """The principal components (k, D) of centred rows (N, D) that hold a share of the variance, and their variances (k,)."""
    _, singular, components = np.linalg.svd(rows, full_matrices=False)
    variances = singular**2 / len(rows)
    kept = min(int(np.searchsorted(np.cumsum(variances) / variances.sum(), variance)) + 1, max(len(variances) - 1, 1))
    return components[:kept], variances[:kept]


def _whitened(scaled: Array, fit: Array) -> Array:
    """Rows (N, C) whitened through the symmetric root of the fitted covariance, each column close to its channel."""
    values, vectors = np.linalg.eigh(np.atleast_2d(np.cov(fit, rowvar=False)))
    root = vectors / np.sqrt(np.maximum(values, 1e-9)) @ vectors.T
    return np.asarray((scaled - fit.mean(axis=0)) @ root)


def _windows(rows: Array, length: int) -> Array:
    """Every window of the rows (N, C), flattened: (N - length + 1, length * C)."""
    views = np.lib.stride_tricks.sliding_window_view(rows, length, axis=0)
    return np.asarray(views.swapaxes(1, 2).reshape(len(views), -1))


def _limit(scores: Array) -> float:
    return float(np.percentile(scores, PERCENTILE))


def _verdicts(
    series: Series, channels: tuple[str, ...], scores: Array, contributions: Array, limit: float, policy: AlarmPolicy
) -> Verdicts:
    found = Verdicts(len(scores), channels, one_machine=True)
    found.times[:] = series.times.view("datetime64[us]")
    found.thresholds[:] = limit
    found.status_codes[:] = np.where(np.isnan(scores), WARMING_UP, SCORED)
    found.scores[:] = scores
    found.contributions[:] = contributions
    alarm = Alarm(policy, limit, machines=1)
    for row, (score, time) in enumerate(zip(scores.tolist(), series.times.tolist(), strict=True)):
        found.alarm_codes[row] = alarm.step(0, score, time) if score == score else alarm.state(0)
    return found
