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
from effort import examples
from generated import DERIVED, C, T, manifests, readings, usual
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from oracle import Answer, Window, answers, run_layers

from edge_runtime import Reading
from edge_runtime.detector import Detector
from edge_runtime.engines import open_engine
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
)
from edge_runtime.prepare import Preparation
from edge_runtime.readings import STATUSES


@cache
def reconstruct_by_hand(model: bytes) -> partial[Window]:
    """The oracle's own reading of a numpy model."""
    with np.load(io.BytesIO(model)) as archive:
        members = {name: archive[name] for name in archive.files}
    layers = json.loads(str(members.pop("layers")))["layers"]
    return partial(run_layers, layers, {name: weights.tolist() for name, weights in members.items()})


MODELS = {
    "lstm": handmade.lstm_model,
    "dense": handmade.dense_model,
    "conv": handmade.conv_model,
    "forecaster": partial(handmade.forecaster_model, K=2),
}
ESTIMATES = {"forecaster": 2}
"""Of the models that estimate fewer readings than the window has, how many."""


@cache
def model_of(kind: str, F: int) -> bytes:
    """A numpy model for windows (T, F)."""
    return MODELS[kind](T, F)


def is_decided(expected: list[Answer]) -> bool:
    """Whether no score lies so near a level that rounding decides."""
    scored = [(answer.score, level) for answer in expected for level in answer.levels]
    return all(abs(score - level) > 1e-4 * level for score, level in scored)


@pytest.mark.parametrize("kind", MODELS)
@settings(max_examples=examples(250))
@given(m=manifests(), stream=readings)
def test_detector_answers_as_the_oracle_does(kind: str, m: Manifest, stream: list[tuple[float, list[float]]]) -> None:
    """Statuses, decisions and alarms are equal, scores and contributions to 1e-5, for whatever arrives."""
    model, estimates = model_of(kind, len(m.input_names)), ESTIMATES.get(kind)
    assume(estimates is None or m.score.last is None or m.score.last <= estimates)
    m = replace(m, estimates=estimates)
    rows = [row for _, row in stream]
    times = (handmade.START + np.cumsum([round(seconds * 1e6) for seconds, _ in stream], dtype=np.int64)).tolist()
    expected = answers(m, reconstruct_by_hand(model), times, rows)
    assume(is_decided(expected))

    detector = Detector(m, open_engine("numpy", model, m.window_shape, m.output_shape))
    got = detector.score(np.array(rows).reshape(-1, C), handmade.moments(np.array(times, np.int64)))

    assert [verdict.status for verdict in got] == [answer.status for answer in expected]
    assert [verdict.anomalous for verdict in got] == [answer.anomalous for answer in expected]
    assert [verdict.alarm for verdict in got] == [answer.alarm for answer in expected]
    assert [verdict.fault_channels for verdict in got] == [answer.fault_channels for answer in expected]
    assert [verdict.score is None for verdict in got] == [answer.score is None for answer in expected]
    for verdict, answer in zip(got, expected, strict=True):
        if answer.score is not None:
            near = 1e-5 * answer.score + 1e-9
            assert abs(verdict.score - answer.score) <= near
            assert abs(verdict.threshold - answer.levels[0]) <= 1e-4 * answer.levels[0]
            shares = zip(verdict.contributions.values(), answer.contributions, strict=True)
            assert all(abs(one - other) <= near for one, other in shares)


@settings(max_examples=examples(150))
@given(m=manifests(), streams=st.lists(readings, min_size=3, max_size=3))
def test_three_ways_in_agree(m: Manifest, streams: list[list[tuple[float, list[float]]]]) -> None:
    """Tables, single readings and readings of many machines get the same answers to the last bit, whatever arrives."""
    model = model_of("dense", len(m.input_names))
    tables = []
    for stream in streams:
        times = handmade.START + np.cumsum([round(seconds * 1e6) for seconds, _ in stream], dtype=np.int64)
        tables.append((np.array([row for _, row in stream]).reshape(-1, C), handmade.moments(times)))
    whole, single, many = (
        Detector(m, open_engine("numpy", model, m.window_shape), machines=3, batch=1) for _ in range(3)
    )
    expected = [[verdict._replace(machine=None) for verdict in whole.score(*table)] for table in tables]
    for machine, (values, moments) in enumerate(tables):
        got = [single.update(Reading(*each, machine)) for each in zip(moments, values, strict=True)]
        assert [verdict._replace(machine=None) for verdict in got] == expected[machine]
    for row in range(max(map(len, streams))):
        ids = [machine for machine in (2, 0, 1) if row < len(streams[machine])]
        values = np.array([tables[machine][0][row] for machine in ids])
        verdicts = many.update_many(ids, values, np.array([tables[machine][1][row] for machine in ids]))
        assert [verdict._replace(machine=None) for verdict in verdicts] == [expected[machine][row] for machine in ids]


@settings(max_examples=examples(100))
@given(m=manifests(), stream=readings)
def test_what_is_scored_can_be_learned(m: Manifest, stream: list[tuple[float, list[float]]]) -> None:
    """Every window ends in the state that training learns, and what it may learn from was measured so, valid and finite."""
    times = handmade.START + np.cumsum([round(seconds * 1e6) for seconds, _ in stream], dtype=np.int64)
    values = np.array([row for _, row in stream]).reshape(-1, C)
    preparation = Preparation(m.preparation)
    windows, ends, _ = preparation.windows_of(values, times)
    usable, in_state = preparation.usable(values, times)
    assert np.isfinite(windows).all()
    assert in_state[ends].all()
    assert not np.isinf(usable).any()
    assert np.isnan(usable[~in_state]).all()
    if m.sampling.grid is None:
        assert ((usable == values) | np.isnan(usable)).all()


def test_oracle_is_put_to_the_question() -> None:
    """The streams above are not all warming up: one by hand visits every status and every state of the alarm."""
    m = handmade.manifest(
        T,
        C,
        channels=(Channel("c0", "", -6.0, 6.0), Channel("c1")),
        threshold=PercentileThreshold("percentile", 99.0, 1.0, 1.5),
        alarm=AlarmPolicy(2, 2, 1.0, 1.0, 3.0),
        cleaning=Cleaning(1),
        operating=Operating("c0 > -1"),
        sensors=Sensors(),
    )
    rows: list[Any] = [[0.0, 0.0]] * 6 + [[5.0, -5.0]] * 5 + [[0.0, 0.0]] * 8
    rows += [[9.0, 0.0], [0.0, math.nan], [0.0, math.nan]] + [[5.0, 5.0]] * 6 + [[-2.0, 0.0]]
    rows += [[0.0, math.nan]] * 2
    steps = np.ones(len(rows), np.int64)
    steps[-5] = 0
    steps[-6] = 9
    times = (handmade.START + handmade.SECOND * np.cumsum(steps)).tolist()
    expected = answers(m, reconstruct_by_hand(model_of("lstm", C)), times, rows)

    assert {answer.status for answer in expected} == set(STATUSES) - {"collecting"}
    assert {answer.fault_channels for answer in expected} == {(), ("c1",)}
    assert {answer.alarm for answer in expected} == {"quiet", "raised", "active", "cleared"}
    assert {answer.anomalous for answer in expected} == {True, False, None}


def test_oracle_knows_the_grid() -> None:
    """Collecting, late, duplicate and missing rows, and every part of the policy changes an answer."""
    rng = np.random.default_rng(5)
    values = rng.normal(0, 1, (300, C))
    steps = rng.choice([0.4, 0.4, 0.4, 0.7, 0.0, -0.3, 2.2, 9.0], 300, p=[0.2, 0.2, 0.2, 0.2, 0.08, 0.08, 0.03, 0.01])
    times = (handmade.START + np.cumsum(np.round(steps * 1e6).astype(np.int64))).tolist()

    def answer(*grid: Any) -> list[Answer]:
        m = handmade.manifest(T, C, sampling=Sampling(1.0, 3.0, Grid(*grid)), threshold=BASE.threshold)
        expected = answers(m, reconstruct_by_hand(model_of("lstm", C)), times, values.tolist())
        got = Detector(m, open_engine("numpy", model_of("lstm", C), (T, C))).score(
            values, handmade.moments(np.array(times))
        )
        assert [verdict.status for verdict in got] == [each.status for each in expected]
        assert [verdict.alarm for verdict in got] == [each.alarm for each in expected]
        scores = [np.nan if each.score is None else each.score for each in expected]
        np.testing.assert_allclose(got.scores, scores, rtol=1e-5)
        return expected

    usual = answer("mean", 0.3, "last")
    assert {each.status for each in usual} == {"collecting", "warming_up", "scored", "gap"}
    for other in (("last", 0.3, "last"), ("mean", 0.0, "last"), ("mean", 0.3, "first"), ("mean", 0.3, "mean")):
        assert answer(*other) != usual


BASE = handmade.manifest(
    T,
    C,
    channels=(Channel("c0", rail_high=2.5), Channel("c1")),
    threshold=PercentileThreshold("percentile", 99.0, 1.0, 1.2),
    alarm=AlarmPolicy(2, 3, 1.0, 0.9, 0.0),
    cleaning=Cleaning(1),
    operating=Operating("c0 > -2"),
)
CHANGES = {
    "hold_limit": {"cleaning": Cleaning(2)},
    "missing": {"cleaning": Cleaning(1, "median", (0.5, 1.0))},
    "silent": {"sensors": Sensors()},
    "operating": {"operating": None},
    "when": {"operating": Operating("c0 > -1.5")},
    "until": {"operating": Operating("c0 > -2", "c0 < -3")},
    "settle_s": {"operating": Operating("c0 > -2", settle_s=2.0)},
    "max_rate": {"channels": (Channel("c0", rail_high=2.5), Channel("c1", max_rate=3.0))},
    "stuck_after": {"channels": (Channel("c0", rail_high=2.5), Channel("c1", stuck_after=3))},
    "rail_low": {"channels": (Channel("c0", rail_low=-0.5, rail_high=2.5), Channel("c1"))},
    "rail_high": {"channels": (Channel("c0"), Channel("c1"))},
    "saturated_after": {"channels": (Channel("c0", rail_high=2.5, saturated_after=2), Channel("c1"))},
    "grid": {"sampling": Sampling(1.0, 3.0, Grid())},
    "clip": {"scaling": Scaling("standard", (0.0,) * C, (1.0,) * C, clip=1.0)},
    "last": {"score": Score("mae", 1)},
    "exit": {"alarm": AlarmPolicy(2, 3, 1.0, 0.6, 0.0)},
    "enter": {"alarm": AlarmPolicy(2, 3, 1.4, 0.9, 0.0)},
    "cooldown": {"alarm": AlarmPolicy(2, 3, 1.0, 0.9, 5.0)},
    "smoothing": {"score": Score("mae", smoothing=0.3)},
    "whitening": {"score": Score("mahalanobis", whitening=((1.0, 0.4), (0.4, 2.0)))},
    "n": {"alarm": AlarmPolicy(2, 5, 1.0, 0.9, 0.0)},
    "moving": {"threshold": MovingQuantileThreshold("moving_quantile", 90.0, 1.5, 0.05, 3, 3.0, 1.2)},
    "spot": {"threshold": SpotThreshold("spot", 0.01, 0.9, 20, 3, 3.0, 1.2, 0.8, (0.1, 0.3, 0.2), 30, 3)},
}


@pytest.mark.parametrize("change", CHANGES)
def test_oracle_tells_policies_apart(change: str) -> None:
    """Every parameter changes an answer, so an oracle and a runtime that both ignored one would be found here."""
    changed = replace(BASE, **CHANGES[change])
    rng = np.random.default_rng(3)
    values = rng.normal(0, 1.6, (200, C)) * np.repeat(rng.choice([0.3, 1.0, 1.6], 40), 5)[:, None]
    values[rng.random(values.shape) < 0.03] = np.nan
    values[50:52, 0] = values[150:153, 1] = np.nan
    values[70:74] = np.column_stack((np.linspace(0.0, 1.0, 4), np.full(4, 0.25)))
    values[90:94, 0] = 3.0
    times = (handmade.START + handmade.SECOND * np.arange(200)).tolist()
    before, after = (
        answers(each, reconstruct_by_hand(model_of("lstm", C)), times, values.tolist()) for each in (BASE, changed)
    )
    assert [each[:5] for each in before] != [each[:5] for each in after]


KINDS = get_args(get_type_hints(Derived)["kind"])


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=examples(25))
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
