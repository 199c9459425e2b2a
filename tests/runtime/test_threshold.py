"""Every threshold rule: what it is fitted to, how much it needs, and that it survives the manifest."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Any, get_args, get_type_hints

import numpy as np
import pytest

from edge_runtime.errors import SchemaError, TrainingError
from edge_runtime.manifest import AlarmPolicy, FalseAlarms, Manifest, PercentileThreshold, Threshold
from edge_runtime.schema import decode, encode
from edge_runtime.tail import fit_pareto
from edge_runtime.threshold import fit_threshold, normal_quantiles
from edge_runtime.threshold_rules import (
    BudgetRule,
    IQRRule,
    MovingQuantileRule,
    PercentileRule,
    SigmaRule,
    SpotRule,
    TailRule,
    ThresholdRule,
)
from edge_runtime.threshold_text import false_alarms_text, threshold_text

SCORES = np.arange(1.0, 101.0)
ONE = AlarmPolicy()
RULES: dict[str, Any] = {
    "percentile": PercentileRule(),
    "sigma": SigmaRule("sigma"),
    "iqr": IQRRule("iqr"),
    "evt": TailRule("evt"),
    "budget": BudgetRule("budget", 1.0),
    "moving_quantile": MovingQuantileRule("moving_quantile"),
    "spot": SpotRule("spot"),
}
NEEDED = {"percentile": 20, "sigma": 30, "iqr": 40, "evt": 500, "budget": 100, "moving_quantile": 20, "spot": 500}


def normal_scores(count: int, seed: int = 1) -> np.ndarray:
    """Scores (N,) as of a healthy machine."""
    return np.random.default_rng(seed).gamma(4.0, 0.25, count)


def fit(rule: Any, scores: np.ndarray, days: float = 10.0) -> Threshold:
    return fit_threshold(rule, [scores], days, ONE)


def kind_of(cls: type) -> str:
    kind: str = get_args(get_type_hints(cls)["kind"])[0]
    return kind


def test_every_rule_is_here() -> None:
    """A rule without a place in these tests, or without a fitted threshold, fails."""
    rules, fitted = ({kind_of(cls): cls for cls in get_args(union)} for union in (ThresholdRule, Threshold))
    assert set(rules) == set(fitted) == set(RULES) == set(NEEDED)
    for kind, cls in rules.items():
        given, kept = ({field.name for field in fields(each)} for each in (cls, fitted[kind]))
        assert given <= kept, f"the manifest forgets the parameters {given - kept} of {kind}"


@pytest.mark.parametrize("kind", RULES)
def test_a_fitted_rule_survives_the_manifest(kind: str) -> None:
    """It keeps the rule's parameters, has a value above zero, its false alarms, and words for people."""
    threshold = fit(RULES[kind], normal_scores(2000))
    assert threshold.kind == kind
    assert 0.5 < threshold.value < 10
    for field in fields(RULES[kind]):
        assert getattr(threshold, field.name) == getattr(RULES[kind], field.name)
    assert isinstance(threshold.false_alarms, FalseAlarms)
    assert threshold.false_alarms.days == 10.0
    as_json = json.loads(json.dumps(encode(threshold), allow_nan=False))
    assert decode(get_type_hints(Manifest)["threshold"], as_json, "manifest.json") == threshold
    assert threshold_text(threshold).startswith(f"{threshold.value:.6g} = ")
    assert "days" in false_alarms_text(threshold)


@pytest.mark.parametrize("kind", RULES)
def test_fewer_scores_than_a_rule_needs(kind: str) -> None:
    """The message names the rule, how many it needs and how many there are; with just enough it is fitted."""
    rule, needed = RULES[kind], NEEDED[kind]
    assert rule.fewest_scores == needed
    scores = normal_scores(needed)
    assert fit(rule, scores).value > 0
    with pytest.raises(
        TrainingError, match=f"at least {needed} held-out normal windows .*of the kind {kind}, got {needed - 1};"
    ):
        fit(rule, scores[1:])
    with pytest.raises(TrainingError, match=f"at least {needed} .* got 0;"):
        fit_threshold(rule, [], 0.0, ONE)


@pytest.mark.parametrize("kind", RULES)
def test_scores_that_say_nothing(kind: str) -> None:
    """All zero, or not finite: an error, never a threshold."""
    with pytest.raises(TrainingError, match="expected a threshold above zero"):
        fit(RULES[kind], np.zeros(600))
    with pytest.raises(TrainingError, match="expected a threshold above zero"):
        fit(RULES[kind], np.full(600, np.nan))


@pytest.mark.parametrize("kind", RULES)
def test_a_rule_is_fitted_in_units_of_the_score(kind: str) -> None:
    """Scores ten times as large have a threshold ten times as high, with the same false alarms."""
    scores = normal_scores(2000)
    once, tenfold = fit(RULES[kind], scores), fit(RULES[kind], 10 * scores)
    assert tenfold.value == pytest.approx(10 * once.value, rel=1e-6)
    assert tenfold.false_alarms is not None
    assert once.false_alarms is not None
    assert tenfold.false_alarms.per_day == pytest.approx(once.false_alarms.per_day, rel=1e-4)


@pytest.mark.parametrize("kind", RULES)
def test_it_does_not_matter_where_the_windows_restart(kind: str) -> None:
    """With an alarm of one score, stretches are the same as one."""
    scores = normal_scores(2000)
    pieces = np.split(scores, [3, 900, 1500])
    assert fit_threshold(RULES[kind], pieces, 10.0, ONE) == fit(RULES[kind], scores)


@pytest.mark.parametrize(
    ("percentile", "value"), [(100.0, 100.0), (99.0, 100.0), (98.98, 99.0), (50.0, 51.0), (0.5, 2.0)]
)
def test_the_percentile_is_one_of_the_scores(percentile: float, value: float) -> None:
    """The next higher one, times the factor; where it is the beginning of a moving quantile too."""
    shuffled = np.random.default_rng(1).permutation(SCORES)
    threshold = fit(PercentileRule("percentile", percentile, 1.0), shuffled)
    assert isinstance(threshold, PercentileThreshold)
    assert threshold.value == value
    assert fit(PercentileRule("percentile", percentile, 1.5), shuffled).value == pytest.approx(1.5 * value)
    if percentile < 100:
        assert fit(MovingQuantileRule("moving_quantile", percentile, 1.5), shuffled).value == pytest.approx(1.5 * value)


def test_sigma_and_iqr() -> None:
    """Mean and standard deviation, quartiles and their distance, of 1 to 100."""
    assert fit(SigmaRule("sigma", 2.0), SCORES).value == pytest.approx(50.5 + 2 * np.sqrt(100 * 101 / 12))
    assert fit(IQRRule("iqr", 1.5), SCORES).value == pytest.approx(75.25 + 1.5 * 49.5)


@pytest.mark.parametrize("kind", ["evt", "spot"])
def test_a_tail_is_exceeded_as_often_as_it_should(kind: str) -> None:
    """On 100,000 scores: q = 0.001 by 100 of them, more or less; and by the formula of Siffer et al., section 3.2."""
    scores = np.random.default_rng(2).exponential(1.0, 100_000)
    rule: Any = TailRule("evt", 1e-3, 0.98) if kind == "evt" else SpotRule("spot", 1e-3, 0.98)
    threshold: Any = fit(rule, scores)
    assert 80 < (scores > threshold.value).sum() < 120
    start = np.quantile(scores, 0.98)
    shape, scale = fit_pareto(scores[scores > start] - start)
    assert threshold.value == pytest.approx(start + scale / shape * ((1e-3 / 0.02) ** -shape - 1))
    if kind == "spot":
        assert (threshold.scores, threshold.exceeded, len(threshold.excesses)) == (100_000, 2000, 200)
        assert threshold.excesses[-1] == (scores[scores > start] - start)[-1]


@pytest.mark.parametrize("kind", ["evt", "spot"])
def test_a_tail_of_equal_scores(kind: str) -> None:
    """That many scores share the highest value leaves no tail: said, with how many are above."""
    scores = np.minimum(normal_scores(2000), 1.0)
    with pytest.raises(TrainingError, match=rf"at least 10 different .* kind {kind}, got 0 above 1"):
        fit(RULES[kind], scores)


def test_a_budget_the_scores_do_not_support() -> None:
    """Says how many days it takes and offers the tightest that is supported, which then is accepted."""
    scores = normal_scores(3000, seed=2)
    with pytest.raises(TrainingError) as caught:
        fit(BudgetRule("budget", 100.0), scores, days=10.07)
    assert "one false alarm in 100 days is more than 10.1 days of held-out normal readings support" in str(caught.value)
    assert "it takes 33.3 days of them" in str(caught.value)
    assert str(caught.value).endswith("the tightest budget supported is days = 30.2")
    assert fit(BudgetRule("budget", 30.2), scores, days=10.07).value > fit(BudgetRule("budget", 3.0), scores).value
    assert fit(BudgetRule("budget", 100.0), scores, days=33.4).value > 0


def test_a_budget_on_scores_that_come_in_bursts() -> None:
    """Supports fewer days, and says that it is the bursts."""
    scores = normal_scores(3000)
    scores[:600] *= 3
    with pytest.raises(TrainingError, match=r"readings support, whose peaks come in bursts \(dispersion \d") as caught:
        fit(BudgetRule("budget", 30.0), scores)
    tightest = float(str(caught.value).rsplit(" ", 1)[1])
    assert tightest < 15
    threshold = fit(BudgetRule("budget", tightest), scores)
    assert "in bursts: the scores are not steady" in false_alarms_text(threshold)


def test_a_budget_without_alarms_to_count() -> None:
    """A slow score that rises over and again is a few peaks only: said, with how many days it takes."""
    few = 1 + np.abs(np.sin(np.linspace(0, 5 * np.pi, 1000)))
    with pytest.raises(TrainingError, match=r"at least 10 separate peaks .* got 5 in 10 days: .* about 20 days"):
        fit(BudgetRule("budget", 3.0), few)


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"percentile": 101}, "a percentile above 0 and at most 100, got 101"),
        ({"factor": 0}, "a factor above 0, got 0"),
        ({"kind": "percentile", "k": 3}, "unknown key 'k'"),
        ({"kind": "sigma", "k": 0}, "k above 0, got 0"),
        ({"kind": "iqr", "k": -1.5}, "k above 0, got -1.5"),
        ({"kind": "evt", "q": 0}, "q above 0 and below 0.02"),
        ({"kind": "evt", "q": 0.3, "level": 0.8}, "q above 0 and below 0.2"),
        ({"kind": "evt", "level": 1}, "a level between 0 and 1, got 1"),
        ({"kind": "budget"}, "the key 'days'"),
        ({"kind": "budget", "days": 0}, "days above 0, got 0"),
        ({"kind": "budget", "days": 3, "confidence": 1}, "a confidence between 0 and 1, got 1"),
        ({"kind": "moving_quantile", "percentile": 100}, "a percentile above 0 and below 100, got 100"),
        ({"kind": "moving_quantile", "factor": 1}, "a factor above 1, got 1"),
        ({"kind": "moving_quantile", "rate": 1}, "a rate between 0 and 1, got 1"),
        ({"kind": "moving_quantile", "limit": 0.9}, "a limit from 1 to 100, got 0.9"),
        ({"kind": "spot", "q": 0.5}, "q above 0 and below 0.02"),
        ({"kind": "spot", "peaks": 3}, "peaks from 10 to 10000, got 3"),
        ({"kind": "spot", "limit": 0.5}, "a limit from 1 to 100, got 0.5"),
        ({"kind": "spot", "run": 0}, "a run from 1 to 1000, got 0"),
        ({"kind": "moving_quantile", "run": 0}, "a run from 1 to 1000, got 0"),
        ({"kind": "sigmas"}, "did you mean 'sigma'"),
    ],
)
def test_a_rule_that_cannot_be(section: dict[str, Any], message: str) -> None:
    """Is refused where it is written."""
    with pytest.raises(SchemaError, match=message):
        decode(ThresholdRule, section, "train.toml")


def test_a_section_without_a_kind_is_a_percentile() -> None:
    """What was written before there were others."""
    assert decode(ThresholdRule, {"percentile": 97}, "train.toml") == PercentileRule("percentile", 97.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"value": 0.0}, "a threshold above zero"),
        ({"excesses": ()}, "1 to 200 excesses above zero"),
        ({"excesses": (0.1, -0.1)}, "excesses above zero"),
        ({"exceeded": 2}, "excesses above zero"),
        ({"start": 0.0}, "start above zero, got 0"),
        ({"scores": 10}, "at most 10 exceeded, got 200"),
        ({"limit": 0.0}, "a limit from 1 to 100"),
    ],
)
def test_a_streaming_tail_that_cannot_be(change: dict[str, Any], message: str) -> None:
    """A manifest whose numbers do not fit each other is refused."""
    good = {
        "kind": "spot", "q": 1e-3, "level": 0.98, "peaks": 200, "run": 3, "limit": 2.0, "value": 2.0, "start": 1.0,
        "excesses": [0.1] * 200, "scores": 10_000, "exceeded": 200,
    }  # fmt: skip
    assert decode(Threshold, good, "manifest.json").kind == "spot"
    changed = {key: list(value) if isinstance(value, tuple) else value for key, value in change.items()}
    with pytest.raises(SchemaError, match=message):
        decode(Threshold, {**good, **changed}, "manifest.json")


def test_quantiles() -> None:
    """By percentile, as text, rising to the largest score."""
    quantiles = normal_quantiles(SCORES)
    assert list(quantiles) == ["1", "5", "25", "50", "75", "90", "95", "99", "100"]
    assert quantiles["50"] == 50.5
    assert list(quantiles.values()) == sorted(quantiles.values())
    assert quantiles["100"] == 100.0
