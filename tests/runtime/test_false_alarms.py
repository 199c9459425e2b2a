"""Alarms on normal readings: counted as the alarm itself does, and estimated as well as some tens of them allow."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_runtime.alarm import Alarm
from edge_runtime.false_alarms import FEWEST_CLUSTERS, AlarmLevels, AlarmRate
from edge_runtime.manifest import AlarmPolicy
from edge_runtime.readings import RAISED

policies = st.integers(1, 6).flatmap(
    lambda n: st.builds(
        AlarmPolicy, st.integers(1, n), st.just(n), st.sampled_from([0.8, 1.0, 1.5]), st.sampled_from([0.3, 0.7, 0.8])
    )
)


def alarms(stretches: list[np.ndarray], policy: AlarmPolicy, threshold: float) -> list[int]:
    """The rows at which the alarm itself is raised."""
    alarm, rows, row = Alarm(policy, threshold, 1), [], 0
    for stretch in stretches:
        alarm.restart(0)
        for score in stretch.tolist():
            if alarm.step(0, score, row) == RAISED:
                rows.append(row)
            row += 1
    return rows


@given(
    policy=policies,
    lengths=st.lists(st.integers(1, 40), min_size=1, max_size=4),
    seed=st.integers(0, 10**6),
    threshold=st.floats(0.2, 4),
)
def test_clusters_are_the_alarms(policy: AlarmPolicy, lengths: list[int], seed: int, threshold: float) -> None:
    """Whatever the policy, the level and the restarts: as many, and at the same scores."""
    rng = np.random.default_rng(seed)
    stretches = [np.repeat(rng.exponential(1.0, length), 2)[:length] for length in lengths]
    _, rows = AlarmLevels(stretches, policy).clusters(policy.enter * threshold)
    assert rows.tolist() == alarms(stretches, policy, threshold)


def test_the_peak_of_a_cluster() -> None:
    """Is the highest level at which it would still have raised the alarm."""
    scores = np.array([1.0, 5.0, 4.0, 1.0, 1.0, 9.0, 1.0, 1.0, 6.0, 7.0, 8.0, 1.0])
    peaks, rows = AlarmLevels([scores], AlarmPolicy(2, 2)).clusters(2.0)
    assert (peaks.tolist(), rows.tolist()) == ([4.0, 7.0], [2, 9])


def test_more_scores_than_a_chunk() -> None:
    """Are taken in pieces, and none is lost between them."""
    scores = np.random.default_rng(9).exponential(1.0, 140_000)
    policy = AlarmPolicy(2, 2)
    _, rows = AlarmLevels([scores], policy).clusters(4.0)
    assert rows.tolist() == alarms([scores], policy, 4.0)
    assert rows.max() > 131_072


def test_too_few_alarms_are_not_known() -> None:
    """No number is given, but how many days and clusters there were; no score at all is no cluster."""
    known = AlarmRate([np.random.default_rng(1).exponential(1.0, 200)], 2.0, AlarmPolicy())
    assert known.is_known
    few = AlarmRate([np.linspace(1, 2, 200)], 2.0, AlarmPolicy())
    assert not few.is_known
    assert few.clusters == 1 < FEWEST_CLUSTERS
    expected = few.at(1.9)
    assert (expected.days, expected.clusters) == (2.0, 1)
    assert expected.per_day is expected.low is expected.high is None
    short = AlarmRate([np.ones(3)] * 50, 2.0, AlarmPolicy(6, 6))
    assert (short.is_known, short.clusters) == (False, 0)


def test_below_the_tail_alarms_are_counted() -> None:
    """A threshold that was exceeded often has the rate it had, give or take half an alarm; a higher one has a lower."""
    scores = np.random.default_rng(2).exponential(1.0, 3000)
    rate = AlarmRate([scores], 30.0, AlarmPolicy())
    counted = len(alarms([scores], AlarmPolicy(), 2.0))
    below = rate.at(2.0)
    assert below.per_day == pytest.approx((counted + 0.5) / 30, rel=0.02)
    assert below.low < counted / 30 < below.high
    levels = [rate.at(threshold).per_day for threshold in (1.0, 2.0, rate.initial, 6.0, 8.0, 12.0)]
    assert levels == sorted(levels, reverse=True)


def test_the_enter_level_is_a_multiple_of_the_threshold() -> None:
    """Twice the multiple is half the threshold for the same alarms."""
    scores = np.random.default_rng(3).exponential(1.0, 2000)
    once, twice = (AlarmRate([scores], 10.0, AlarmPolicy(2, 3, enter, 0.9 * enter)) for enter in (1.0, 2.0))
    assert twice.threshold_for(0.1, 0.9) == pytest.approx(once.threshold_for(0.1, 0.9) / 2)
    assert twice.at(1.5) == once.at(3.0)


def test_bursts_widen_the_interval() -> None:
    """The same peaks all in one half of the time tell less than spread evenly."""
    rng = np.random.default_rng(4)
    peaks = 3 + rng.exponential(1.0, 40)
    even, burst = np.ones(4000), np.ones(4000)
    even[50::100] = burst[:800:20] = peaks
    spread = [AlarmRate([scores], 40.0, AlarmPolicy()).at(6.0) for scores in (even, burst)]
    assert spread[0].clusters == spread[1].clusters >= 30
    assert spread[1].high / spread[1].low > 1.5 * spread[0].high / spread[0].low


@pytest.mark.heavy
@pytest.mark.parametrize(("k", "n"), [(1, 1), (3, 5)])
@pytest.mark.parametrize("memory", [0.0, 0.9])
def test_the_promise_is_kept(k: int, n: int, memory: float) -> None:
    """On made-up scores whose alarms can be counted, for as many days as there were for calibration, and for thrice as many.

    In nine of ten cases, or nearly, and not by a threshold out of all proportion; and the interval holds the actual rate.
    """
    rng, policy = np.random.default_rng(7), AlarmPolicy(k, n)
    ratios: dict[float, list[float]] = {0.5: [], 0.9: []}
    covered = []
    truth = AlarmLevels([_scores(rng, 200_000, memory)], policy)
    for _ in range(25):
        rate = AlarmRate([_scores(rng, 2000, memory)], 2000.0, policy)
        for days in (2000.0, 6000.0):
            for confidence, found in ratios.items():
                threshold = rate.threshold_for(1 / days, confidence)
                actual, expected = len(truth.clusters(threshold)[0]) / 200_000, rate.at(threshold)
                found.append(actual * days)
                covered.append(expected.low <= actual <= expected.high)
    assert 0.3 < np.median(ratios[0.5]) < 2.0
    assert np.median(ratios[0.9]) > 0.03
    assert np.mean(np.array(ratios[0.9]) <= 1) >= 0.8
    assert np.mean(covered) >= 0.85


def _scores(rng: np.random.Generator, count: int, memory: float) -> np.ndarray:
    """Exponential scores (N,), correlated over time."""
    noise = rng.normal(0, np.sqrt(1 - memory**2), (2, count))
    for row in range(1, count) if memory else ():
        noise[:, row] += memory * noise[:, row - 1]
    return (noise**2).sum(axis=0) / 2
