"""Thresholds in words."""

from __future__ import annotations

from dataclasses import replace

import handmade
import pytest

from edge_runtime.manifest import FalseAlarms
from edge_runtime.threshold_text import false_alarms_text, threshold_text

WORDS = {
    "percentile": "2 = 99th percentile x 1.5",
    "sigma": "2 = mean + 3 standard deviations",
    "iqr": "2 = upper quartile + 3 quartile distances",
    "evt": "2 = exceeded with probability 0.001, by the tail above the 0.98 quantile",
    "budget": "2 = at most one false alarm in 10 days",
    "moving_quantile": "2 = moving 90th percentile x 1.5, to begin with; stays between 1.429 and 2.8",
    "spot": "2 = exceeded with probability 0.001, by each machine's newest tail, to begin with; stays between 1.429 and 2.8",
}


@pytest.mark.parametrize("kind", handmade.THRESHOLDS)
def test_every_threshold_has_words(kind: str) -> None:
    """Its value, and the rule it came from."""
    assert threshold_text(handmade.THRESHOLDS[kind]) == WORDS[kind]


def test_a_promise_and_an_estimate() -> None:
    """A budget says what was asked for, another rule what is expected; both how sure that is, and what it rests on."""
    rests_on = "from 5 days of calibration data with 30 separate peaks"
    budget = handmade.THRESHOLDS["budget"]
    assert false_alarms_text(budget) == f"at most one in 10 days (95 %: between 8.3 and 1e+03), {rests_on}"
    other = replace(handmade.THRESHOLDS["sigma"], false_alarms=FalseAlarms(5.0, 30, 0.4, 0.2, 0.8))
    assert false_alarms_text(other) == f"about one in 2.5 days (95 %: between 1.2 and 5), {rests_on}"


def test_no_end_and_no_knowledge() -> None:
    """A rate that may be zero has no longest time; too few peaks, or an old bundle, have no rate."""
    sigma = handmade.THRESHOLDS["sigma"]
    endless = replace(sigma, false_alarms=FalseAlarms(5.0, 30, 0.1, 0.0, 0.4))
    assert "about one in 10 days (95 %: 2.5 or more), from" in false_alarms_text(endless)
    never = replace(sigma, false_alarms=FalseAlarms(5.0, 30, 0.0, 0.0, 0.0))
    assert "about one in 3.6e+04 days (95 %: 3.6e+04 or more)" in false_alarms_text(never)
    few = replace(sigma, false_alarms=FalseAlarms(0.36, 3))
    assert false_alarms_text(few) == "not known: 8.64 hours of calibration data with 3 separate peaks"
    assert false_alarms_text(sigma) == "not known: the bundle does not say"
