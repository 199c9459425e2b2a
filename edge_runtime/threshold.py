"""The score above which a reading is anomalous. Scoring is not deciding: this is the decision.

`fit_threshold` fits any rule to held-out normal scores; a threshold that goes on learning on the device is `adapt.py`'s.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from edge_runtime.adapt import tail_level
from edge_runtime.errors import TrainingError
from edge_runtime.false_alarms import FARTHEST, FEWEST_CLUSTERS, AlarmRate
from edge_runtime.manifest import (
    AlarmPolicy,
    BudgetThreshold,
    IQRThreshold,
    MovingQuantileThreshold,
    PercentileThreshold,
    SigmaThreshold,
    SpotThreshold,
    TailThreshold,
    Threshold,
)
from edge_runtime.tail import fit_pareto
from edge_runtime.threshold_rules import (
    FEWEST_PEAKS,
    BudgetRule,
    IQRRule,
    MovingQuantileRule,
    PercentileRule,
    SigmaRule,
    SpotRule,
    TailRule,
    ThresholdRule,
)

Scores = npt.NDArray[np.float64]


def fit_threshold(rule: ThresholdRule, stretches: Sequence[Scores], days: float, alarm: AlarmPolicy) -> Threshold:
    """Fit a rule to held-out normal scores of one machine.

    `stretches`: arrays (N_i,) of scores in order of time, one for each unbroken run of windows; `days`: how long they are
    together; `alarm`: the policy that a budget counts alarms by. Every threshold comes with its expected false alarms, as far
    as the scores tell. Raises `TrainingError` for fewer scores than the rule needs, for a budget they do not support, and if
    the threshold is not above zero.
    """
    scores = np.concatenate([np.empty(0), *stretches])
    if len(scores) < rule.fewest_scores:
        raise TrainingError(
            f"expected at least {rule.fewest_scores} held-out normal windows for a threshold of the kind {rule.kind}, "
            f"got {len(scores)}; train on more readings, or give the calibration part, if there is one, a larger share"
        )
    if not (np.isfinite(scores).all() and scores.max() > 0):
        raise TrainingError(
            f"expected a threshold above zero, got scores up to {scores.max():g}: the model reconstructs everything exactly"
        )
    rate = AlarmRate(stretches, days, alarm)
    fitted = _fit_budget(rule, rate, days) if isinstance(rule, BudgetRule) else _fit(rule, scores)
    return replace(fitted, false_alarms=rate.at(fitted.value))


def _fit(rule: ThresholdRule, scores: Scores) -> Threshold:
    match rule:
        case PercentileRule():
            value = rule.factor * _percentile(scores, rule.percentile)
            return PercentileThreshold("percentile", rule.percentile, rule.factor, _above_zero(value))
        case SigmaRule():
            value = float(scores.mean() + rule.k * scores.std(ddof=1))
            return SigmaThreshold("sigma", rule.k, _above_zero(value))
        case IQRRule():
            lower, upper = np.percentile(scores, [25, 75]).tolist()
            return IQRThreshold("iqr", rule.k, _above_zero(upper + rule.k * (upper - lower)))
        case TailRule():
            start, excesses = _excesses(rule, scores)
            value = tail_level(start, fit_pareto(excesses), len(excesses) / len(scores), rule.q)
            return TailThreshold("evt", rule.q, rule.level, _above_zero(value))
        case MovingQuantileRule():
            value = _above_zero(rule.factor * _percentile(scores, rule.percentile))
            return MovingQuantileThreshold(
                rule.kind, rule.percentile, rule.factor, rule.rate, rule.run, rule.limit, value
            )
        case SpotRule():
            start, excesses = _excesses(rule, scores)
            value = tail_level(start, fit_pareto(excesses), len(excesses) / len(scores), rule.q)
            kept = tuple(excesses[-rule.peaks :].tolist())
            return SpotThreshold(
                rule.kind,
                rule.q,
                rule.level,
                rule.peaks,
                rule.run,
                rule.limit,
                value,
                start,
                kept,
                len(scores),
                len(excesses),
            )
        case BudgetRule():
            raise AssertionError("a budget is fitted to alarms, not to scores alone")


def _fit_budget(rule: BudgetRule, rate: AlarmRate, days: float) -> BudgetThreshold:
    if not rate.is_known:
        needed = max(rule.days / FARTHEST, days * FEWEST_CLUSTERS / max(rate.clusters, 1))
        raise TrainingError(
            f"expected at least {FEWEST_CLUSTERS} separate peaks of the held-out normal scores for a false-alarm budget, got "
            f"{rate.clusters} in {days:.3g} days: none is supported yet; calibrate on about {needed:.2g} days of normal readings"
        )
    farthest = FARTHEST * days / rate.dispersion
    if rule.days > farthest:
        bursts = f", whose peaks come in bursts (dispersion {rate.dispersion:.2g})" if rate.dispersion > 2 else ""
        raise TrainingError(
            f"one false alarm in {rule.days:g} days is more than {days:.3g} days of held-out normal readings support{bursts}: it "
            f"takes {rule.days / farthest * days:.3g} days of them; the tightest budget supported is days = "
            f"{_rounded_down(farthest)}"
        )
    return BudgetThreshold(
        "budget", rule.days, rule.confidence, _above_zero(rate.threshold_for(1 / rule.days, rule.confidence))
    )


def _percentile(scores: Scores, percentile: float) -> float:
    """The next higher score is taken between two, so that a threshold is never below what was seen."""
    return float(np.percentile(scores, percentile, method="higher"))


def _excesses(rule: TailRule | SpotRule, scores: Scores) -> tuple[float, Scores]:
    """Where the tail begins, and the excesses above it, in order of time."""
    start = float(np.quantile(scores, rule.level))
    excesses = scores[scores > start] - start
    if len(excesses) < FEWEST_PEAKS or not start > 0:
        raise TrainingError(
            f"expected at least {FEWEST_PEAKS} different held-out normal scores above the level {rule.level:g} for a threshold "
            f"of the kind {rule.kind}, got {len(excesses)} above {start:g}: use a lower level, or another rule"
        )
    return start, excesses


def _above_zero(value: float) -> float:
    if not value > 0:
        raise TrainingError(
            f"expected a threshold above zero, got {value:g}: the model reconstructs everything exactly"
        )
    return value


def _rounded_down(days: float) -> str:
    """Three digits, never more than `days`."""
    unit = 10.0 ** (np.floor(np.log10(days)) - 2)
    return f"{np.floor(days / unit) * unit:.6g}"


def normal_quantiles(scores: Scores) -> dict[str, float]:
    """The distribution of held-out normal scores (N,), by percentile, for the manifest."""
    levels = (1, 5, 25, 50, 75, 90, 95, 99, 100)
    return {str(level): float(np.percentile(scores, level)) for level in levels}
