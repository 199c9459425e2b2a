"""The runtime against the oracle: everything that can come from a sensor, any policy, the same answers."""

from __future__ import annotations

import io
import json
import math
from dataclasses import replace
from functools import cache, partial
from typing import Any, get_args, get_type_hints

import handmade
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from oracle import Answer, Window, answers, run_layers

from edge_runtime.detector import Detector
from edge_runtime.engines import open_engine
from edge_runtime.manifest import AlarmPolicy, Channel, Cleaning, Derived, Manifest, Sampling, Scaling, Score, Threshold

T, C = 4, 2


@cache
def reconstruct_by_hand(model: bytes) -> partial[Window]:
    """The oracle's own reading of a numpy model."""
    with np.load(io.BytesIO(model)) as archive:
        members = {name: archive[name] for name in archive.files}
    layers = json.loads(str(members.pop("layers")))["layers"]
    return partial(run_layers, layers, {name: weights.tolist() for name, weights in members.items()})


@cache
def model_of(kind: str, F: int) -> bytes:
    """A numpy model for windows (T, F)."""
    return {"lstm": handmade.lstm_model, "dense": handmade.dense_model}[kind](T, F)


DERIVED = [
    Derived("difference", "c0"), Derived("rate", "c1"), Derived("rolling_mean", "c0", 3), Derived("rolling_std", "c1", 3),
    Derived("rolling_skewness", "c0", 4), Derived("rolling_kurtosis", "c1", 5), Derived("rolling_std", "c0", 3),
    Derived("time_of_day"),
]  # fmt: skip
"""Some of each kind; a test below says so."""

usual = st.floats(-3, 3, width=32)
strange = st.sampled_from([math.nan, math.nan, math.inf, -math.inf, 1e300, -1e300, 3e12, -2e13, 1e11, 6.5, -6.5])
value = st.one_of(usual, usual, usual, usual, usual, strange)
"""Mostly what the machine says, sometimes what it cannot mean."""
step = st.one_of(
    st.just(1.0), st.just(1.0), st.just(1.0), st.sampled_from([0.0, -1.0, -5.0, 0.5, 2.999999, 3.0, 3.000001, 60.0])
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
        channels=tuple(Channel(f"c{i}", "", *draw(limits), is_input[i]) for i in range(C)),
        derived=derived,
        sampling=Sampling(1.0, 3.0),
        cleaning=Cleaning(draw(st.integers(0, 3))),
        scaling=Scaling(
            draw(st.sampled_from(["standard", "min_max", "robust"])),
            tuple(draw(st.floats(-2, 2)) for _ in range(F)),
            tuple(draw(st.floats(0.3, 4)) for _ in range(F)),
            draw(st.sampled_from([None, None, 1.5, 4.0])),
        ),
        score=draw(score_rules(F)),
        threshold=Threshold("percentile", 99.0, 1.0, draw(st.floats(0.3, 2))),
        alarm=AlarmPolicy(
            draw(st.integers(1, n)), n, enter, enter * draw(st.floats(0.5, 1)), draw(st.sampled_from([0.0, 2.5, 7.0]))
        ),
    )


def is_decided(m: Manifest, expected: list[Answer]) -> bool:
    """Whether no score lies so near a level that rounding decides."""
    levels = [m.threshold.value * factor for factor in (1.0, m.alarm.enter, m.alarm.exit)]
    scores = [answer.score for answer in expected if answer.score is not None]
    return all(abs(score - level) > 1e-4 * level for score in scores for level in levels)


@pytest.mark.parametrize("kind", ["lstm", "dense"])
@settings(max_examples=250)
@given(m=manifests(), stream=readings)
def test_detector_answers_as_the_oracle_does(kind: str, m: Manifest, stream: list[tuple[float, list[float]]]) -> None:
    """Statuses, decisions and alarms are equal, scores and contributions to 1e-5, for whatever arrives."""
    model = model_of(kind, len(m.input_names))
    rows = [row for _, row in stream]
    times = (handmade.START + np.cumsum([round(seconds * 1e6) for seconds, _ in stream], dtype=np.int64)).tolist()
    expected = answers(m, reconstruct_by_hand(model), times, rows)
    assume(is_decided(m, expected))

    detector = Detector(m, open_engine("numpy", model, m.window_shape))
    got = detector.score(np.array(rows).reshape(-1, C), handmade.moments(np.array(times, np.int64)))

    assert [verdict.status for verdict in got] == [answer.status for answer in expected]
    assert [verdict.anomalous for verdict in got] == [answer.anomalous for answer in expected]
    assert [verdict.alarm for verdict in got] == [answer.alarm for answer in expected]
    assert [verdict.score is None for verdict in got] == [answer.score is None for answer in expected]
    for verdict, answer in zip(got, expected, strict=True):
        if answer.score is not None:
            near = 1e-5 * answer.score + 1e-9
            assert abs(verdict.score - answer.score) <= near
            shares = zip(verdict.contributions.values(), answer.contributions, strict=True)
            assert all(abs(one - other) <= near for one, other in shares)


def test_oracle_is_put_to_the_question() -> None:
    """The streams above are not all warming up: one by hand visits every status and every state of the alarm."""
    m = handmade.manifest(
        T,
        C,
        channels=(Channel("c0", "", -6.0, 6.0), Channel("c1")),
        threshold=Threshold("percentile", 99.0, 1.0, 1.5),
        alarm=AlarmPolicy(2, 2, 1.0, 1.0, 3.0),
        cleaning=Cleaning(1),
    )
    rows: list[Any] = [[0.0, 0.0]] * 6 + [[5.0, -5.0]] * 5 + [[0.0, 0.0]] * 8
    rows += [[9.0, 0.0], [0.0, math.nan], [0.0, math.nan]] + [[5.0, 5.0]] * 6
    steps = np.ones(len(rows), np.int64)
    steps[-2] = 0
    times = (handmade.START + handmade.SECOND * np.cumsum(steps)).tolist()
    expected = answers(m, reconstruct_by_hand(model_of("lstm", C)), times, rows)

    assert {answer.status for answer in expected} == {"scored", "warming_up", "gap", "out_of_range"}
    assert {answer.alarm for answer in expected} == {"quiet", "raised", "active", "cleared"}
    assert {answer.anomalous for answer in expected} == {True, False, None}


@pytest.mark.parametrize(
    "change", ["hold_limit", "last", "exit", "enter", "cooldown", "n", "smoothing", "whitening", "clip"]
)
def test_oracle_tells_policies_apart(change: str) -> None:
    """Every parameter changes an answer, so an oracle and a runtime that both ignored one would be found here."""
    m = handmade.manifest(
        T,
        C,
        threshold=Threshold("percentile", 99.0, 1.0, 1.2),
        alarm=AlarmPolicy(2, 3, 1.0, 0.9, 0.0),
        cleaning=Cleaning(1),
    )
    changed = {
        "hold_limit": replace(m, cleaning=Cleaning(2)),
        "last": replace(m, score=Score("mae", 1)),
        "exit": replace(m, alarm=AlarmPolicy(2, 3, 1.0, 0.6, 0.0)),
        "enter": replace(m, alarm=AlarmPolicy(2, 3, 1.4, 0.9, 0.0)),
        "cooldown": replace(m, alarm=AlarmPolicy(2, 3, 1.0, 0.9, 5.0)),
        "smoothing": replace(m, score=Score("mae", smoothing=0.3)),
        "whitening": replace(m, score=Score("mahalanobis", whitening=((1.0, 0.4), (0.4, 2.0)))),
        "clip": replace(m, scaling=replace(m.scaling, clip=1.0)),
        "n": replace(m, alarm=AlarmPolicy(2, 5, 1.0, 0.9, 0.0)),
    }[change]
    rng = np.random.default_rng(3)
    values = rng.normal(0, 1.6, (200, C)) * np.repeat(rng.choice([0.3, 1.0, 1.6], 40), 5)[:, None]
    values[rng.random(values.shape) < 0.03] = np.nan
    values[50:52, 0] = np.nan
    times = (handmade.START + handmade.SECOND * np.arange(200)).tolist()
    before, after = (
        answers(each, reconstruct_by_hand(model_of("lstm", C)), times, values.tolist()) for each in (m, changed)
    )
    assert before != after


KINDS = get_args(get_type_hints(Derived)["kind"])


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=25)
@given(
    stream=st.lists(st.tuples(st.sampled_from([1.0, 1.0, 0.5, 2.0]), usual, usual), min_size=12, max_size=20),
    broken_at=st.integers(0, 30),
    is_input=st.booleans(),
)
def test_every_derived_kind_is_scored_as_the_oracle_does(
    kind: str, stream: list[tuple[float, float, float]], broken_at: int, is_input: bool
) -> None:
    """Long enough streams of usual values, with and without a restart, for each kind alone; a new kind is asked for here."""
    derived = tuple(each for each in DERIVED if each.kind == kind)
    assert derived
    channels = tuple(Channel(f"c{i}", is_input=is_input or kind == "time_of_day") for i in range(C))
    m = handmade.manifest(T, C, channels=channels, derived=derived, cleaning=Cleaning(0))
    rows = [[math.nan if row == broken_at else first, second] for row, (_, first, second) in enumerate(stream)]
    times = (handmade.START + np.cumsum([round(seconds * 1e6) for seconds, *_ in stream], dtype=np.int64)).tolist()
    model = model_of("lstm", len(m.input_names))
    expected = answers(m, reconstruct_by_hand(model), times, rows)
    got = Detector(m, open_engine("numpy", model, m.window_shape)).score(
        np.array(rows), handmade.moments(np.array(times, np.int64))
    )
    assert [verdict.status for verdict in got] == [answer.status for answer in expected]
    for verdict, answer in zip(got, expected, strict=True):
        if answer.score is not None:
            assert list(verdict.contributions) == list(m.input_names)
            assert list(verdict.contributions.values()) == pytest.approx(answer.contributions, rel=1e-4, abs=1e-5)
    if broken_at > 12 + len(stream):
        assert got.scored.any()
