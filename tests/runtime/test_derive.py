"""Derived inputs: one machine and many, warm-up and restart, and numbers that are hard to take moments of."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import get_args, get_type_hints

import handmade
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracle import derived_inputs, moment

from edge_runtime.derive import Derive, scaling_of_channels
from edge_runtime.detector import Detector
from edge_runtime.engines import open_engine
from edge_runtime.manifest import Channel, Derived, Manifest, Scaling
from edge_runtime.readings import Reading

KINDS = get_args(get_type_hints(Derived)["kind"])
ROLLING = [kind for kind in KINDS if kind.startswith("rolling_")]


def of_kind(kind: str, length: int = 4) -> tuple[Derived, ...]:
    """Of both channels, or of none."""
    if kind == "time_of_day":
        return Derived(kind), Derived(kind, harmonics=3)
    return tuple(Derived(kind, f"c{i}", length if kind in ROLLING else None) for i in range(2))


def manifest_of(*derived: Derived, kept: bool = False) -> Manifest:
    channels = tuple(Channel(f"c{i}", is_input=kept) for i in range(2))
    return handmade.manifest(4, 2, channels=channels, derived=derived)


# No subnormal ones: tflite-runtime's 32-bit library has the CPU flush them to zero, for the whole process.
ordinary = st.floats(-3, 3, allow_subnormal=False)
numbers = st.one_of(ordinary, st.sampled_from([0.0, 0.1, 0.1, 1e9, 1e9 + 1e-3, -1e12, 1e-30, 1e50]))
rows_of_two = st.lists(st.tuples(numbers, numbers), min_size=5, max_size=25)


@pytest.mark.parametrize("kind", KINDS)
@given(rows=rows_of_two, steps=st.lists(st.integers(1, 10**11), min_size=25, max_size=25), length=st.integers(2, 5))
def test_every_kind_is_what_the_oracle_derives(
    kind: str, rows: list[tuple[float, float]], steps: list[int], length: int
) -> None:
    """From the first row on that has one; the kinds are read from the schema, so a new one is asked for here."""
    m = manifest_of(*of_kind(kind, length))
    derive = Derive(m.channels, m.derived, 1)
    times = (handmade.START + np.cumsum(steps, dtype=np.int64)).tolist()
    past: list[tuple[int, list[float]]] = []
    warm_up = {"difference": 1, "rate": 1, "time_of_day": 0}.get(kind, length - 1)
    for row, (time, values) in enumerate(zip(times, rows, strict=False)):
        past.append((time, list(values)))
        inputs, is_ready = derive.step(0, list(values), time)
        assert is_ready == (row >= warm_up)
        if is_ready:
            series = np.array([reading for _, reading in past[-length:]])
            close = 1e-12 * np.abs(series).max() if kind == "rolling_mean" else 1e-12
            assert all(isinstance(value, float) for value in inputs)
            assert inputs == pytest.approx(derived_inputs(m, past), rel=1e-6, abs=close)


@pytest.mark.parametrize("kind", ROLLING)
def test_a_high_level_costs_no_digits(kind: str) -> None:
    """The same small changes around zero and around a billion have the same moments: nothing is cancelled."""
    m = manifest_of(*of_kind(kind, 8))
    small, high = (Derive(m.channels, m.derived, 1) for _ in range(2))
    wobble = np.random.default_rng(1).integers(-100, 100, (50, 2)) / 1024  # exact at either level
    for row, values in enumerate(wobble):
        near, _ = small.step(0, values.tolist(), row)
        far, is_ready = high.step(0, (values + 2.0**30).tolist(), row)
        if is_ready:
            level = 2.0**30 if kind == "rolling_mean" else 0.0
            assert np.subtract(far, level) == pytest.approx(near, rel=1e-6)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("rolling_mean", 0.1), ("rolling_std", 0.0), ("rolling_skewness", 0.0), ("rolling_kurtosis", -3.0)],
)
def test_a_window_without_spread(kind: str, expected: float) -> None:
    """Exactly, though the sum of the values rounds; the kurtosis is one that no other window has."""
    m = manifest_of(*of_kind(kind, 7))
    derive = Derive(m.channels, m.derived, 1)
    for row in range(10):
        inputs, _ = derive.step(0, [0.1, 0.1], row)
    assert inputs == [expected, expected]
    least = moment("kurtosis", [1.0, -1.0, 1.0, -1.0])
    assert least == -2.0


def test_the_time_of_day_goes_round() -> None:
    """Midnight, six, noon and eighteen o'clock, before 1970 too."""
    m = manifest_of(Derived("time_of_day"))
    derive = Derive(m.channels, m.derived, 1)
    for day in (0, 20_000, -3):
        for hour, expected in ((0, (0, 1)), (6, (1, 0)), (12, (0, -1)), (18, (-1, 0))):
            inputs, is_ready = derive.step(0, [0.0, 0.0], (day * 24 + hour) * 3600 * handmade.SECOND)
            assert inputs == pytest.approx(expected, abs=1e-12)
            assert is_ready


@given(
    rounds=st.lists(st.lists(st.integers(0, 3), unique=True, max_size=4), max_size=25),
    seed=st.integers(0, 1000),
    restarts=st.lists(st.tuples(st.integers(0, 24), st.integers(0, 3)), max_size=4),
)
def test_several_machines_at_once(rounds: list[list[int]], seed: int, restarts: list[tuple[int, int]]) -> None:
    """The same bits as one machine at a time, for all kinds together."""
    m = manifest_of(*(each for kind in KINDS for each in of_kind(kind, 3)), *of_kind("rolling_std", 5), kept=True)
    together, alone = Derive(m.channels, m.derived, 4), Derive(m.channels, m.derived, 4)
    rng = np.random.default_rng(seed)
    for number, machines in enumerate(rounds):
        for _, machine in (each for each in restarts if each[0] == number):
            together.restart(machine)
            alone.restart(machine)
        values = rng.normal(100, 1, (len(machines), 2))
        times = handmade.START + 7_777_777 * number + rng.integers(0, 1000, len(machines))
        inputs, is_ready = together.step(np.array(machines, np.int64), list(values.T), times)
        assert len(inputs) == len(m.input_names)
        for row, machine in enumerate(machines):
            one, ready = alone.step(machine, values[row].tolist(), int(times[row]))
            assert bool(is_ready[row]) == ready
            if ready:
                assert [float(column[row]) for column in inputs] == one


@pytest.mark.parametrize("kind", KINDS)
def test_after_a_restart_nothing_is_left(kind: str) -> None:
    """The values are those of a fresh object, to the last bit."""
    m = manifest_of(*of_kind(kind))
    used, fresh = Derive(m.channels, m.derived, 1), Derive(m.channels, m.derived, 1)
    values, times = handmade.stream(30, 2)
    for row in range(11):
        used.step(0, (100 * values[row]).tolist(), int(times[row]))
    used.restart(0)
    for row in range(11, 30):
        one, other = (each.step(0, values[row].tolist(), int(times[row])) for each in (used, fresh))
        assert one[1] == other[1]
        assert one == other or not one[1]


def test_three_ways_in_give_the_same_scores() -> None:
    """A table, a stream and many machines, at batch 1 to the last bit, with all kinds, a clip, holes and gaps."""
    derived = tuple(each for kind in KINDS for each in of_kind(kind))
    channels = (Channel("c0"), Channel("c1", is_input=False))
    plain = handmade.manifest(4, 2, channels=channels, derived=derived)
    m = replace(plain, scaling=replace(plain.scaling, clip=1.5))
    model = handmade.lstm_model(*m.window_shape)
    table, stream, many = (
        Detector(m, open_engine("numpy", model, m.window_shape), machines=machines, batch=1) for machines in (1, 1, 3)
    )
    values, times = handmade.stream(60, 2)
    values[20, 0] = values[30:34, 1] = np.nan
    times[45:] += 10 * handmade.SECOND
    moments = handmade.moments(times)
    expected = list(table.score(values, moments))
    assert {verdict.status for verdict in expected} == {"scored", "warming_up", "gap"}
    for row, verdict in enumerate(expected):
        assert stream.update(Reading(moments[row], values[row].tolist())) == verdict
        together = many.update_many([2, 0, 1], np.stack([values[row]] * 3), moments[row])
        assert [each._replace(machine=None) for each in together] == [verdict] * 3


def test_names_and_warm_up() -> None:
    """What contributions are called by, and how long the first verdict takes."""
    m = manifest_of(Derived("rate", "c1"), Derived("rolling_std", "c0", 16), Derived("time_of_day"))
    assert m.input_names == ("c1.rate", "c0.rolling_std_16", "time_of_day.sin", "time_of_day.cos")
    assert m.window_shape == (4, 4)
    assert m.preparation.readings_needed == 4 + 15
    assert handmade.manifest(4, 2).preparation.readings_needed == 4


@pytest.mark.parametrize(
    ("given_", "message"),
    [
        ({"kind": "rate"}, "expected a channel for rate, got None"),
        ({"kind": "time_of_day", "channel": "c0"}, "expected no channel for time_of_day, got 'c0'"),
        ({"kind": "time_of_day", "harmonics": 25}, "expected harmonics from 1 to 24 for time_of_day, got 25"),
        ({"kind": "time_of_day", "harmonics": 0}, "expected harmonics from 1 to 24 for time_of_day, got 0"),
        ({"kind": "rate", "channel": "c0", "harmonics": 2}, "expected no harmonics for rate, got 2"),
        ({"kind": "rolling_std", "channel": "c0"}, "expected a length from 2 to 100000 for rolling_std, got None"),
        (
            {"kind": "rolling_std", "channel": "c0", "length": 1},
            "expected a length from 2 to 100000 for rolling_std, got 1",
        ),
        ({"kind": "rate", "channel": "c0", "length": 3}, "expected no length for rate, got 3"),
    ],
)
def test_what_cannot_be_derived_is_refused(given_: dict[str, object], message: str) -> None:
    """With what was expected and what was given."""
    with pytest.raises(ValueError, match=message):
        Derived(**given_)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"derived": (Derived("rate", "c7"),)}, r"expected rate of one of the channels \['c0', 'c1'\], got 'c7'"),
        ({"derived": (Derived("rate", "c0"), Derived("rate", "c0"))}, "inputs of the model with different names"),
        ({"channels": (Channel("c0", is_input=False),)}, r"expected one or more inputs of the model .*got \[\]"),
        (
            {"channels": (Channel("c0"), Channel("c0.rate")), "derived": (Derived("rate", "c0"),)},
            "with different names",
        ),
        (
            {"channels": (Channel("c0"), Channel("c0.rate", is_input=False)), "derived": (Derived("rate", "c0"),)},
            "with different names",
        ),
    ],
)
def test_inputs_that_do_not_fit_are_refused(changes: dict[str, object], message: str) -> None:
    """A channel that is not there, two inputs of one name, and a model that would be given nothing."""
    with pytest.raises(ValueError, match=message):
        _ = handmade.manifest(4, 2).preparation._replace(**changes).input_names


def test_a_channel_that_is_no_input_has_no_scaling() -> None:
    """Cleaning is told a reach that nothing measured comes near; the others keep theirs, in order."""
    channels = (Channel("a", is_input=False), Channel("b"), Channel("c", is_input=False), Channel("d"))
    scaling = scaling_of_channels(channels, Scaling("standard", (1.0, 2.0, 9.0), (3.0, 4.0, 9.0)))
    assert scaling.center == (0.0, 1.0, 0.0, 2.0)
    assert scaling.scale == pytest.approx((1e38, 3.0, 1e38, 4.0))
    assert math.isfinite(1e12 * max(scaling.scale))


def test_harmonics_are_numbered() -> None:
    """Where there is more than one; the first is the time of day itself, and the second is back where it was at noon."""
    waves = Derived("time_of_day", harmonics=2)
    assert waves.names == ("time_of_day.sin_1", "time_of_day.cos_1", "time_of_day.sin_2", "time_of_day.cos_2")
    derive = Derive(manifest_of(waves).channels, (waves,), 1)
    for hour, expected in ((0, (0, 1, 0, 1)), (3, (0.5**0.5, 0.5**0.5, 1, 0)), (12, (0, -1, 0, 1))):
        inputs, _ = derive.step(0, [0.0, 0.0], hour * 3600 * handmade.SECOND)
        assert inputs == pytest.approx(expected, abs=1e-12)
