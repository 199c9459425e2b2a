"""The section of a manifest that says when a score is anomalous: a fitted threshold, told apart by `kind`.

Each class holds the rule it came from (see `threshold_rules.py`, which a configuration is written in) and what was fitted. The
last two adapt on the device; their `value` is where they start, and what bounds them.
"""

from typing import Literal

from edge_runtime.record import Record


class FalseAlarms(Record):
    """How often a threshold and the alarm policy are expected to raise an alarm on normal readings; see `false_alarms.py`."""

    days: float
    """Of held-out normal readings that the estimate rests on."""
    clusters: int
    """How many separate exceedances of the initial level the tail was fitted to."""
    per_day: float | None = None
    """Alarms a day, expected; None: too few clusters to tell."""
    low: float | None = None
    """The lower end of the 95 % interval of alarms a day."""
    high: float | None = None
    """Its upper end."""
    dispersion: float | None = None
    """The variance of the clusters' number over time divided by its mean: 1 if they come at random, more if in bursts."""


class _Fitted:
    """What every fitted threshold has. It has no fields of its own: theirs stay in the order they are written in."""

    value: float
    false_alarms: FalseAlarms | None

    def __post_init__(self) -> None:
        if not 0 < self.value < float("inf"):
            raise ValueError(f"expected a threshold above zero, got {self.value}")


class PercentileThreshold(_Fitted, Record):
    """A percentile of held-out normal scores times a factor."""

    kind: Literal["percentile"]
    percentile: float
    """0 to 100."""
    factor: float
    """The percentile is multiplied by this."""
    value: float
    """The threshold itself, in units of the score."""
    false_alarms: FalseAlarms | None = None
    """What is expected of it on normal readings."""


class SigmaThreshold(_Fitted, Record):
    """The mean of held-out normal scores plus k standard deviations."""

    kind: Literal["sigma"]
    k: float
    """How many standard deviations."""
    value: float
    """The threshold itself, in units of the score."""
    false_alarms: FalseAlarms | None = None
    """What is expected of it on normal readings."""


class IQRThreshold(_Fitted, Record):
    """The upper quartile of held-out normal scores plus k quartile distances."""

    kind: Literal["iqr"]
    k: float
    """How many quartile distances."""
    value: float
    """The threshold itself, in units of the score."""
    false_alarms: FalseAlarms | None = None
    """What is expected of it on normal readings."""


class TailThreshold(_Fitted, Record):
    """The score that a generalized Pareto tail exceeds with a small probability."""

    kind: Literal["evt"]
    q: float
    """The probability that a normal score is above the threshold."""
    level: float
    """The tail begins at this quantile of the scores, 0 to 1."""
    value: float
    """The threshold itself, in units of the score."""
    false_alarms: FalseAlarms | None = None
    """What is expected of it on normal readings."""


class BudgetThreshold(_Fitted, Record):
    """At most one false alarm in so many days, under the bundle's alarm policy."""

    kind: Literal["budget"]
    days: float
    """The days asked for."""
    confidence: float
    """The probability that the budget is kept, as far as the calibration data tells."""
    value: float
    """The threshold itself, in units of the score."""
    false_alarms: FalseAlarms | None = None
    """What is expected of it on normal readings."""


class MovingQuantileThreshold(_Fitted, Record):
    """A quantile of each machine's own normal scores times a factor, which follows them slowly."""

    kind: Literal["moving_quantile"]
    percentile: float
    """Of the machine's normal scores, 0 to 100."""
    factor: float
    """The quantile is multiplied by this."""
    rate: float
    """A score above the quantile raises it by about this share."""
    run: int
    """The so-manieth score in a row above the threshold, and those after it, are not learned from."""
    limit: float
    """The threshold stays between `value / limit` and `value * limit`."""
    value: float
    """The threshold to begin with, in units of the score."""
    false_alarms: FalseAlarms | None = None
    """What is expected of the threshold to begin with on normal readings."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_moving_quantile(self.percentile, self.factor, self.rate)
        check_adaptive(self.run, self.limit)


class SpotThreshold(_Fitted, Record):
    """Like `TailThreshold`, but each machine's tail is fitted again as its normal scores come in."""

    kind: Literal["spot"]
    q: float
    """The probability that a normal score is above the threshold."""
    level: float
    """The tail begins at this quantile of the held-out scores, 0 to 1."""
    peaks: int
    """The tail is fitted to the newest so many excesses."""
    run: int
    """The so-manieth score in a row above the threshold, and those after it, are not learned from."""
    limit: float
    """The threshold stays between `value / limit` and `value * limit`."""
    value: float
    """The threshold to begin with, in units of the score."""
    start: float
    """Where the tail begins, in units of the score."""
    excesses: tuple[float, ...]
    """By how much held-out normal scores were above `start`, the newest last; at most `peaks` of them."""
    scores: int
    """How many held-out normal scores there were."""
    exceeded: int
    """How many of them were above `start`."""
    false_alarms: FalseAlarms | None = None
    """What is expected of the threshold to begin with on normal readings."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_tail(self.q, self.level)
        check_peaks(self.peaks)
        check_adaptive(self.run, self.limit)
        if not (0 < len(self.excesses) <= min(self.peaks, self.exceeded) and min(self.excesses) > 0):
            raise ValueError(f"expected 1 to {min(self.peaks, self.exceeded)} excesses above zero, got {self.excesses}")
        if not self.start > 0:
            raise ValueError(f"expected start above zero, got {self.start:g}")
        if not self.q * self.scores < self.exceeded <= self.scores:
            raise ValueError(
                f"expected more than {self.q * self.scores:g} and at most {self.scores} exceeded, got {self.exceeded}"
            )


Threshold = (
    PercentileThreshold
    | SigmaThreshold
    | IQRThreshold
    | TailThreshold
    | BudgetThreshold
    | MovingQuantileThreshold
    | SpotThreshold
)
"""The score above which a reading is anomalous, and the rule it came from."""


def check_percentile(percentile: float, factor: float) -> None:
    """Raise `ValueError` for what no percentile rule can have."""
    if not 0 < percentile <= 100:
        raise ValueError(f"expected a percentile above 0 and at most 100, got {percentile:g}")
    if not factor > 0:
        raise ValueError(f"expected a factor above 0, got {factor:g}")


def check_moving_quantile(percentile: float, factor: float, rate: float) -> None:
    """Raise `ValueError` for what no moving quantile can have."""
    if not 0 < percentile < 100:
        raise ValueError(f"expected a percentile above 0 and below 100, got {percentile:g}")
    if not factor > 1:  # scores above the threshold are not learned from: at the quantile itself it could only fall
        raise ValueError(f"expected a factor above 1, got {factor:g}")
    if not 0 < rate < 1:
        raise ValueError(f"expected a rate between 0 and 1, got {rate:g}")


def check_tail(q: float, level: float) -> None:
    """Raise `ValueError` for what no tail can have."""
    if not 0 < level < 1:
        raise ValueError(f"expected a level between 0 and 1, got {level:g}")
    if not 0 < q < 1 - level:
        raise ValueError(f"expected q above 0 and below {1 - level:g} (what is above the level), got {q:g}")


def check_peaks(peaks: int) -> None:
    """Raise `ValueError` for what no streaming tail can have."""
    if not 10 <= peaks <= 10_000:
        raise ValueError(f"expected peaks from 10 to 10000, got {peaks}")


def check_adaptive(run: int, limit: float) -> None:
    """Raise `ValueError` for what no threshold that adapts can have."""
    if not 1 <= run <= 1000:
        raise ValueError(f"expected a run from 1 to 1000, got {run}")
    if not 1 <= limit <= 100:
        raise ValueError(f"expected a limit from 1 to 100, got {limit:g}")
