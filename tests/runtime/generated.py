"""Random manifests with every option, and random readings for them: what the oracle's tests and others draw from."""

from __future__ import annotations

import math

import handmade
from hypothesis import strategies as st

from edge_runtime.manifest import (
    AlarmPolicy,
    Channel,
    Cleaning,
    Derived,
    Grid,
    Manifest,
    MovingQuantileThreshold,
    Operating,
    PercentileThreshold,
    Sampling,
    Scaling,
    Score,
    Sensors,
    SpotThreshold,
    Threshold,
)

T, C = 4, 2
"""Of the windows before anything is derived."""

DERIVED = [
    Derived("difference", "c0"), Derived("rate", "c1"), Derived("rolling_mean", "c0", 3), Derived("rolling_std", "c1", 3),
    Derived("rolling_skewness", "c0", 4), Derived("rolling_kurtosis", "c1", 5), Derived("rolling_std", "c0", 3),
    Derived("time_of_day"), Derived("time_of_day", harmonics=3),
]  # fmt: skip
"""Some of each kind; a test in test_oracle.py says so."""

usual = st.floats(-3, 3, width=32)
strange = st.sampled_from([math.nan, math.nan, math.inf, -math.inf, 1e300, -1e300, 3e12, -2e13, 1e11, 6.5, -6.5])
value = st.one_of(usual, usual, usual, usual, st.sampled_from([0.0, 0.5, 1.0, 2.0]), strange)
"""Mostly what the machine says, sometimes what it cannot mean."""
step = st.one_of(
    st.just(1.0),
    st.just(1.0),
    st.just(1.0),
    st.sampled_from([0.0, -1.0, -5.0, 0.5, 0.25, -0.25, 2.999999, 3.0, 3.000001, 60.0]),
)
"""Seconds to the next reading: repeats, swaps and gaps among them."""
readings = st.lists(st.tuples(step, st.lists(value, min_size=C, max_size=C)), max_size=40)


@st.composite
def score_rules(draw: st.DrawFn, F: int) -> Score:
    """Any kind of score, smoothed or not."""
    kind = draw(st.sampled_from(["mae", "mse", "mahalanobis"]))
    part = st.floats(-1.5, 1.5)
    whitening = tuple(tuple(draw(part) for _ in range(F)) for _ in range(F)) if kind == "mahalanobis" else None
    return Score(kind, draw(st.sampled_from([None, 1, 2, T])), draw(st.sampled_from([1.0, 0.6, 0.05])), whitening)


@st.composite
def thresholds(draw: st.DrawFn) -> Threshold:
    """A threshold that stays, or one that adapts, so quickly that forty readings show it."""
    value = draw(st.floats(0.3, 2))
    run, limit = draw(st.sampled_from([1, 2, 3])), draw(st.sampled_from([1.0, 1.1, 3.0]))
    kind = draw(st.sampled_from(["percentile", "moving_quantile", "spot"]))
    if kind == "percentile":
        return PercentileThreshold("percentile", 99.0, 1.0, value)
    if kind == "moving_quantile":
        share, factor = draw(st.sampled_from([50.0, 90.0])), draw(st.sampled_from([1.2, 2.0]))
        return MovingQuantileThreshold(
            "moving_quantile", share, factor, draw(st.sampled_from([0.02, 0.4])), run, limit, value
        )
    start = value * draw(st.sampled_from([0.1, 0.5, 0.9]))
    excesses = tuple(draw(st.lists(st.floats(0.01, 1), min_size=2, max_size=12)))
    return SpotThreshold("spot", 0.01, 0.9, 12, run, limit, value, start, excesses, 12, 12)


@st.composite
def operating_rules(draw: st.DrawFn) -> Operating | None:
    """Any rule on the channels, with and without a second level and time to settle."""
    when = draw(
        st.sampled_from(["c0 > -1", "c0 > -2.5 and c1 < 2", "c0 > 1 or c1 != 0", "c1 <= 0.5 or c0 > 0 and c1 > 1"])
    )
    until = draw(st.sampled_from([None, "c0 < -2", "c1 >= 2.5 or c0 < -1.5"]))
    return draw(st.sampled_from([None, Operating(when, until, draw(st.sampled_from([0.0, 0.5, 1.0, 2.5, 4.0])))]))


@st.composite
def channels(draw: st.DrawFn, name: str, low: float | None, high: float | None, is_input: bool) -> Channel:
    """A channel, with or without limits for its rate of change and its sensor."""
    return Channel(
        name,
        "",
        low,
        high,
        max_rate=draw(st.sampled_from([None, None, 0.7, 3.0])),
        stuck_after=draw(st.sampled_from([None, None, 2, 4])),
        rail_low=draw(st.sampled_from([None, None, -1.0])),
        rail_high=draw(st.sampled_from([None, None, 2.0, 6.0])),
        saturated_after=draw(st.integers(1, 3)),
        is_input=is_input,
    )


@st.composite
def grids(draw: st.DrawFn) -> Grid | None:
    """No grid, or any."""
    kind, duplicate = draw(st.sampled_from(["last", "mean"])), draw(st.sampled_from(["first", "last", "mean"]))
    return draw(st.sampled_from([None, Grid(kind, draw(st.sampled_from([0.0, 0.3, 1.0])), duplicate)]))


@st.composite
def manifests(draw: st.DrawFn) -> Manifest:
    """Random preparation, score, threshold and alarm for windows (T, F)."""
    derived = draw(st.one_of(st.just(()), st.lists(st.sampled_from(DERIVED), unique=True, max_size=4).map(tuple)))
    is_input = draw(
        st.sampled_from([(True, True), (True, True), (True, False), (False, False) if derived else (False, True)])
    )
    F = sum(is_input) + sum(len(each.names) for each in derived)
    n = draw(st.integers(1, 4))
    enter = draw(st.sampled_from([0.5, 1.0, 1.3]))
    limits = st.sampled_from([(None, None), (None, 6.0), (-6.0, None), (-6.0, 6.0)])
    return handmade.manifest(
        T,
        C,
        channels=tuple(draw(channels(f"c{i}", *draw(limits), is_input[i])) for i in range(C)),
        derived=derived,
        sampling=Sampling(1.0, 3.0, draw(grids())),
        sensors=draw(st.sampled_from([None, Sensors(), Sensors(silent=False)])),
        cleaning=draw(
            st.builds(Cleaning, st.integers(0, 3))
            | st.builds(Cleaning, st.integers(0, 3), st.just("median"), st.just((0.5, -1.5)))
        ),
        scaling=Scaling(
            draw(st.sampled_from(["standard", "min_max", "robust"])),
            tuple(draw(st.floats(-2, 2)) for _ in range(F)),
            tuple(draw(st.floats(0.3, 4)) for _ in range(F)),
            draw(st.sampled_from([None, None, 1.5, 4.0])),
        ),
        operating=draw(operating_rules()),
        score=draw(score_rules(F)),
        threshold=draw(thresholds()),
        alarm=AlarmPolicy(
            draw(st.integers(1, n)), n, enter, enter * draw(st.floats(0.5, 1)), draw(st.sampled_from([0.0, 2.5, 7.0]))
        ),
    )
