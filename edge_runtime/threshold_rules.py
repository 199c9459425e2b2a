"""The threshold rules a configuration chooses from, told apart by `kind`; `threshold.fit_threshold` fits them.

`fewest_scores` is the least number of held-out normal scores that a rule can be fitted to.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from edge_runtime.manifest_threshold import (
    check_adaptive,
    check_moving_quantile,
    check_peaks,
    check_percentile,
    check_tail,
)

FEWEST_PEAKS = 10
"""Fewer excesses than this say nothing about a tail."""


@dataclass(frozen=True)
class PercentileRule:
    """A percentile of the held-out normal scores times a factor."""

    kind: Literal["percentile"] = "percentile"
    percentile: float = 95.0
    """Of the calibration part's scores, 0 to 100; between two scores the higher one is taken."""
    factor: float = 1.5
    """The percentile is multiplied by this."""

    def __post_init__(self) -> None:
        check_percentile(self.percentile, self.factor)

    @property
    def fewest_scores(self) -> int:
        """Fewer say nothing about the higher scores."""
        return 20


@dataclass(frozen=True)
class SigmaRule:
    """The mean of the held-out normal scores plus k standard deviations (Shewhart 1931)."""

    kind: Literal["sigma"]
    k: float = 3.0
    """How many standard deviations."""

    def __post_init__(self) -> None:
        _check_k(self.k)

    @property
    def fewest_scores(self) -> int:
        """A standard deviation of fewer is off by more than a seventh."""
        return 30


@dataclass(frozen=True)
class IQRRule:
    """The upper quartile of the held-out normal scores plus k quartile distances (Tukey 1977): a few odd ones do not count."""

    kind: Literal["iqr"]
    k: float = 3.0
    """How many quartile distances: 1.5 is Tukey's inner fence, 3 his outer one."""

    def __post_init__(self) -> None:
        _check_k(self.k)

    @property
    def fewest_scores(self) -> int:
        """Ten in each quarter."""
        return 40


@dataclass(frozen=True)
class TailRule:
    """Peaks over a threshold: the score that a generalized Pareto tail exceeds with probability q.

    Siffer et al., "Anomaly detection in streams with extreme value theory", KDD 2017, section 3.
    """

    kind: Literal["evt"]
    q: float = 1e-4
    """The probability that a normal score is above the threshold."""
    level: float = 0.98
    """The tail begins at this quantile of the scores, 0 to 1."""

    def __post_init__(self) -> None:
        check_tail(self.q, self.level)

    @property
    def fewest_scores(self) -> int:
        """So many that `FEWEST_PEAKS` are above the level."""
        return _fewest_for_tail(self.level)


@dataclass(frozen=True)
class BudgetRule:
    """At most one false alarm in so many days, under the configured alarm policy; see `false_alarms.py`."""

    kind: Literal["budget"]
    days: float
    """Of readings in which the machine is scored."""
    confidence: float = 0.9
    """The probability that the budget is kept, as far as the calibration part tells: 0.5 is as likely over it as under."""

    def __post_init__(self) -> None:
        if not self.days > 0:
            raise ValueError(f"expected days above 0, got {self.days:g}")
        if not 0 < self.confidence < 1:
            raise ValueError(f"expected a confidence between 0 and 1, got {self.confidence:g}")

    @property
    def fewest_scores(self) -> int:
        """Fewer hold no tail; how many more a budget needs depends on the days."""
        return 100


@dataclass(frozen=True)
class MovingQuantileRule:
    """A quantile of each machine's own normal scores times a factor, which follows them slowly; see `adapt.py`."""

    kind: Literal["moving_quantile"]
    percentile: float = 99.0
    """Of the machine's normal scores, 0 to 100."""
    factor: float = 1.5
    """The quantile is multiplied by this; above 1."""
    rate: float = 0.005
    """A score above the quantile raises it by about this share; (100 - percentile) % of it is what another lowers it by."""
    run: int = 3
    """The so-manieth score in a row above the threshold, and those after it, are not learned from; 1: none above it is."""
    limit: float = 1.2
    """The threshold stays between the calibrated one divided by this and multiplied by this: a slow fault drags it no further."""

    def __post_init__(self) -> None:
        check_moving_quantile(self.percentile, self.factor, self.rate)
        check_adaptive(self.run, self.limit)

    @property
    def fewest_scores(self) -> int:
        """As for the percentile it begins with."""
        return 20


@dataclass(frozen=True)
class SpotRule:
    """Streaming peaks over a threshold: as `evt`, and each machine's tail is fitted again as its normal scores come in.

    SPOT of Siffer et al. 2017, section 4.2, with a bounded memory; see `adapt.py`.
    """

    kind: Literal["spot"]
    q: float = 1e-4
    """The probability that a normal score is above the threshold."""
    level: float = 0.98
    """The tail begins at this quantile of the scores, 0 to 1."""
    peaks: int = 200
    """The tail is fitted to the newest so many excesses."""
    run: int = 3
    """The so-manieth score in a row above the threshold, and those after it, are not learned from; 1: none above it is."""
    limit: float = 1.2
    """The threshold stays between the calibrated one divided by this and multiplied by this: a slow fault drags it no further."""

    def __post_init__(self) -> None:
        check_tail(self.q, self.level)
        check_peaks(self.peaks)
        check_adaptive(self.run, self.limit)

    @property
    def fewest_scores(self) -> int:
        """So many that `FEWEST_PEAKS` are above the level."""
        return _fewest_for_tail(self.level)


ThresholdRule = PercentileRule | SigmaRule | IQRRule | TailRule | BudgetRule | MovingQuantileRule | SpotRule
"""How the threshold follows from held-out normal scores; a section without a `kind` is a percentile rule."""


def _fewest_for_tail(level: float) -> int:
    return math.ceil(FEWEST_PEAKS / (1 - level) - 1e-6)


def _check_k(k: float) -> None:
    if not k > 0:
        raise ValueError(f"expected k above 0, got {k:g}")
