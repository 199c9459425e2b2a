"""A threshold in words, for the commands."""

from __future__ import annotations

from edge_runtime.manifest import (
    BudgetThreshold,
    IQRThreshold,
    MovingQuantileThreshold,
    PercentileThreshold,
    SigmaThreshold,
    SpotThreshold,
    TailThreshold,
    Threshold,
)

LONGEST = 36_500.0
"""Days; beyond a hundred years a number would only look exact."""

UNSTEADY = 2.0
"""A dispersion above this is not chance: what is estimated for the time to come may not hold."""


def threshold_text(threshold: Threshold) -> str:
    """The threshold and the rule it came from."""
    return f"{threshold.value:.6g} = {_rule(threshold)}"


def _rule(threshold: Threshold) -> str:
    match threshold:
        case PercentileThreshold():
            return f"{threshold.percentile:g}th percentile x {threshold.factor:g}"
        case SigmaThreshold():
            return f"mean + {threshold.k:g} standard deviations"
        case IQRThreshold():
            return f"upper quartile + {threshold.k:g} quartile distances"
        case TailThreshold():
            return f"exceeded with probability {threshold.q:g}, by the tail above the {threshold.level:g} quantile"
        case BudgetThreshold():
            return f"at most one false alarm in {threshold.days:g} days"
        case MovingQuantileThreshold():
            return f"moving {threshold.percentile:g}th percentile x {threshold.factor:g}, {_bounds(threshold)}"
        case SpotThreshold():
            return f"exceeded with probability {threshold.q:g}, by each machine's newest tail, {_bounds(threshold)}"


def false_alarms_text(threshold: Threshold) -> str:
    """What is expected of it on normal readings, and how sure that is."""
    expected = threshold.false_alarms
    if expected is None:
        return "not known: the bundle does not say"
    if expected.per_day is None or expected.low is None or expected.high is None:
        return f"not known: {_span(expected.days)} of calibration data with {_peaks(expected.clusters)}"
    if isinstance(threshold, BudgetThreshold):
        what = f"at most one in {threshold.days:g} days"
    else:
        what = f"about one in {_days(expected.per_day):.2g} days"
    soonest, latest = _days(expected.high), _days(expected.low)
    between = f"between {soonest:.2g} and {latest:.2g}" if latest < LONGEST else f"{soonest:.2g} or more"
    bursts = ", in bursts: the scores are not steady" if (expected.dispersion or 1) > UNSTEADY else ""
    return (
        f"{what} (95 %: {between}), "
        f"from {_span(expected.days)} of calibration data with {_peaks(expected.clusters)}{bursts}"
    )


def _bounds(threshold: MovingQuantileThreshold | SpotThreshold) -> str:
    low, high = threshold.value / threshold.limit, threshold.value * threshold.limit
    return f"to begin with; stays between {low:.4g} and {high:.4g}"


def _peaks(clusters: int) -> str:
    return f"{clusters} separate peak{'' if clusters == 1 else 's'}"


def _span(days: float) -> str:
    """How long, in the unit that people would use."""
    for unit, length in (("days", 1.0), ("hours", 1 / 24)):
        if days >= 2 * length:
            return f"{days / length:.3g} {unit}"
    return f"{days * 1440:.3g} minutes"


def _days(per_day: float) -> float:
    return min(1 / per_day, LONGEST) if per_day > 0 else LONGEST
