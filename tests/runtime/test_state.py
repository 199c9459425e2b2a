"""What a machine remembers, as bytes: another detector goes on from it as if nothing had happened."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import handmade
import numpy as np
import pytest
from effort import examples
from generated import C, T, manifests
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_runtime import Reading, ReadingError, Verdicts
from edge_runtime.detector import Detector
from edge_runtime.engines import Engine, open_engine
from edge_runtime.errors import StateError
from edge_runtime.manifest import AlarmPolicy, Derived, Grid, Manifest, PercentileThreshold, Sampling, Score
from edge_runtime.state import grown, recall, remember, shift

Row = tuple[float, list[float]]
Streams = list[list[Row]]
ODD_VALUES = [np.nan, np.nan, np.inf, 1e300, 6.5, -6.5, 2.0]
ODD_STEPS = [0.0, -1.0, 0.5, 0.25, 2.999999, 3.0, 3.000001, 60.0]


@st.composite
def streams(draw: st.DrawFn, count: int = 3) -> Streams:
    """Streams that are long enough for alarms to come and go, calm or with much that is odd."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    odd = draw(st.sampled_from([0.0, 0.02, 0.1]))
    streams = []
    for _ in range(count):
        rows = int(rng.integers(20, 60))
        level = np.repeat(rng.choice([0.2, 1.0, 2.0], -(-rows // 10)), 10)[:rows, None]
        values = rng.normal(0, 1, (rows, C)) * level
        values = np.where(rng.random((rows, C)) < odd, rng.choice(ODD_VALUES, (rows, C)), values)
        values[1:] = np.where(rng.random((rows - 1, C)) < odd, values[:-1], values[1:])
        steps = np.where(
            rng.random(rows) < odd, rng.choice(ODD_STEPS, rows), rng.choice([1.0, 0.5], rows, p=[0.9, 0.1])
        )
        streams.append(list(zip(steps.tolist(), values.tolist(), strict=True)))
    return streams


@st.composite
def plain_manifests(draw: st.DrawFn) -> Manifest:
    """Without what keeps a reading from the short way: a grid, what is derived, sensors and states."""
    m = draw(manifests())
    return handmade.manifest(
        T, C, cleaning=m.cleaning, score=Score("mae", None, m.score.smoothing), threshold=m.threshold, alarm=m.alarm
    )


@cache
def engine_for(shape: tuple[int, int]) -> Engine:
    """A numpy engine with random weights; it remembers nothing, so detectors may share it."""
    return open_engine("numpy", handmade.dense_model(*shape), shape)


def detector_of(m: Manifest, machines: int) -> Detector:
    """One window a call: the bits do not depend on who is scored together."""
    return Detector(m, engine_for(m.window_shape), machines=machines, batch=1)


def times_of(stream: list[Row]) -> list[int]:
    """Microseconds since 1970."""
    moments: list[int] = (
        handmade.START + np.cumsum([round(1e6 * seconds) for seconds, _ in stream], dtype=np.int64)
    ).tolist()
    return moments


def bits(verdicts: Verdicts) -> tuple[bytes, ...]:
    """Every column that says something of the readings."""
    v = verdicts
    columns = (v.status_codes, v.scores, v.thresholds, v.alarm_codes, v.contributions, v.faults)
    return tuple(column.tobytes() for column in columns)


def step(detector: Detector, ids: list[int], streams: Streams, rows: list[int], turn: int) -> Any:
    """The answers to reading number `turn` of the machines `rows`, which are `ids` to the detector."""
    values = np.array([streams[row][turn][1] for row in rows])
    times = handmade.moments(np.array([times_of(streams[row])[turn] for row in rows], np.int64))
    return bits(detector.update_many(ids, values, times))


def turns(streams: Streams) -> list[tuple[int, list[int]]]:
    """Which machines have a reading at each turn."""
    longest = max(map(len, streams))
    return [(turn, [row for row in range(3) if turn < len(streams[row])]) for turn in range(longest)]


@settings(max_examples=examples(120))
@given(m=manifests(), streams=streams(), data=st.data())
def test_a_machine_goes_on_elsewhere(m: Manifest, streams: Streams, data: st.DataObject) -> None:
    """Interrupted anywhere, under another index among another number of machines: every answer is the same to the bit."""
    whole, other, ids = detector_of(m, 3), detector_of(m, 3), [0, 1, 2]
    for turn, rows in turns(streams):
        if data.draw(st.integers(0, 7)) == 0:
            states = remember(other, ids)
            machines = data.draw(st.integers(3, 6))
            ids = data.draw(st.permutations(range(machines)))[:3]
            other = detector_of(m, machines)
            for machine, state in zip(ids, states, strict=True):
                recall(other, machine, state)
            assert remember(other, ids) == states
        expected = step(whole, rows, streams, rows, turn)
        assert step(other, [ids[row] for row in rows], streams, rows, turn) == expected


@settings(max_examples=examples(60))
@given(m=st.one_of(manifests(), plain_manifests(), plain_manifests()), streams=streams(1), data=st.data())
def test_one_reading_after_the_other_too(m: Manifest, streams: Streams, data: st.DataObject) -> None:
    """`update`, with all that it keeps beside the arrays, before and after; recalled over what the machine had seen meanwhile."""
    (stream,) = streams
    whole, other = detector_of(m, 2), detector_of(m, 2)
    for time, (_, values) in zip(times_of(stream), stream, strict=True):
        reading = Reading(time / 1e6, tuple(values), 1)
        if data.draw(st.integers(0, 2)) == 0:
            (state,) = remember(other, [1])
            if data.draw(st.booleans()):
                for each in range(6):
                    other.update(Reading(time / 1e6 + each, (0.5 * each, 1.0), 1))
            else:
                other = detector_of(m, 2)
                other.update(Reading(time / 1e6, tuple(values), 0))
            recall(other, 1, state)
        assert other.update(reading) == whole.update(reading)


def without_time_of_day(m: Manifest) -> Manifest:
    """The time of day is not the same later."""
    derived = tuple(Derived("difference", "c0") if each.kind == "time_of_day" else each for each in m.derived)
    lengths = sum(len(each.names) for each in m.derived), sum(len(each.names) for each in derived)
    if lengths[0] == lengths[1]:
        return replace(m, derived=derived)
    return handmade.manifest(T, C, sampling=m.sampling, alarm=m.alarm, threshold=m.threshold, operating=m.operating)


@settings(max_examples=examples(100))
@given(m=manifests(), streams=streams(), data=st.data())
def test_all_may_have_happened_later(m: Manifest, streams: Streams, data: st.DataObject) -> None:
    """Shifted by a time, forth or back, and readings as much later: the same answers. With a grid, by whole periods."""
    m = without_time_of_day(m)
    by = data.draw(st.integers(-400_000_000, 400_000_000)) * 1_000_000
    by += 0 if m.sampling.grid is not None else data.draw(st.integers(0, 999_999))
    at = data.draw(st.integers(0, 20))
    still, moved = detector_of(m, 3), detector_of(m, 3)
    for turn, rows in turns(streams):
        if turn == at:
            shift(moved, [1, 2], by)
        expected = step(still, rows, streams, rows, turn)
        later = [by if turn >= at and row else 0 for row in rows]
        times = [times_of(streams[row])[turn] + each for row, each in zip(rows, later, strict=True)]
        values = np.array([streams[row][turn][1] for row in rows])
        assert bits(moved.update_many(rows, values, handmade.moments(np.array(times, np.int64)))) == expected


def test_a_cooldown_moves_too() -> None:
    """Shifted between any two readings: the alarm is kept quiet as long as it would have been."""
    plain = handmade.manifest(T, C)
    values, times = handmade.stream(120, C)
    level = float(np.nanmedian(detector_of(plain, 1).score(values, handmade.moments(times)).scores))
    m = replace(plain, threshold=PercentileThreshold("percentile", 99.0, 1.0, level), alarm=AlarmPolicy(cooldown_s=5.0))
    still, moved = detector_of(m, 1), detector_of(m, 1)
    for turn, (value, time) in enumerate(zip(values, times, strict=True)):
        shift(moved, [0], 500_000_000)
        later = np.array([time + 500_000_000 * (turn + 1)])
        answer = still.update_many([0], value[None], handmade.moments(np.array([time])))
        assert bits(moved.update_many([0], value[None], handmade.moments(later))) == bits(answer)
    eager = replace(m, alarm=AlarmPolicy())
    alarms = [len(detector_of(each, 1).score(values, handmade.moments(times)).alerts()) for each in (m, eager)]
    assert 0 < alarms[0] < alarms[1]  # it kept quiet


@settings(max_examples=examples(40))
@given(m=manifests(), streams=streams(), at=st.integers(0, 20), machines=st.integers(3, 5))
def test_room_for_more_machines(m: Manifest, streams: Streams, at: int, machines: int) -> None:
    """The others go on as they were, and the new ones are as fresh as any."""
    whole, other = detector_of(m, 5), detector_of(m, 3)
    for turn, rows in turns(streams):
        if turn == at:
            other = grown(other, machines)
            new = list(range(3, machines))
            assert remember(other, new) == remember(whole, new)
        assert step(other, rows, streams, rows, turn) == step(whole, rows, streams, rows, turn)


@settings(max_examples=examples(40))
@given(m=manifests(), streams=streams())
def test_the_bytes_do_not_depend_on_the_others(m: Manifest, streams: Streams) -> None:
    """A machine whose readings came alone remembers the same, byte by byte, as among others."""
    alone, among = detector_of(m, 3), detector_of(m, 3)
    for turn, rows in turns(streams):
        step(among, rows, streams, rows, turn)
        for row in rows:
            step(alone, [row], streams, [row], turn)
        assert remember(alone, rows) == remember(among, rows)


def warm(m: Manifest, machines: int = 1, rows: int = 40) -> Detector:
    """A detector after readings of all its machines."""
    detector = detector_of(m, machines)
    values, times = handmade.stream(rows, len(m.channels))
    for value, time in zip(values, times, strict=True):
        detector.update_many(np.arange(machines), np.tile(value, (machines, 1)), time.view("datetime64[us]").item())
    return detector


@settings(max_examples=examples(100))
@given(place=st.integers(0), bit=st.integers(0, 7), cut=st.integers(1), kind=st.sampled_from(["flip", "cut", "more"]))
def test_damaged_bytes_are_refused(place: int, bit: int, cut: int, kind: str) -> None:
    """A bit that flipped, bytes that are missing or too many: an error, and the machine is what it was."""
    detector = warm(handmade.manifest(T, C))
    (state,) = before = remember(detector, [0])
    damaged = bytearray(state)
    if kind == "flip":
        damaged[place % len(state)] ^= 1 << bit
    elif kind == "cut":
        del damaged[len(state) - cut % len(state) - 1 :]
    else:
        damaged += bytes(cut % 9 + 1)
    with pytest.raises(StateError, match=r"expected a machine's state"):
        recall(detector, 0, bytes(damaged))
    assert remember(detector, [0]) == before


@pytest.mark.parametrize(
    "changes",
    [{"T": T + 1}, {"C": C + 1}, {"sampling": Sampling(1.0, 3.0, Grid())}, {"threshold": handmade.THRESHOLDS["spot"]}],
)
def test_another_layout_is_refused(changes: dict[str, Any]) -> None:
    """Another window, more channels, a grid, another kind of threshold: whole bytes, which mean something else."""
    (state,) = remember(warm(handmade.manifest(**{"T": T, "C": C} | changes)), [0])
    with pytest.raises(StateError, match="laid out otherwise"):
        recall(warm(handmade.manifest(T, C)), 0, state)


def test_a_state_is_small() -> None:
    """A window of 32 readings of 4 channels, and everything else: less than a kilobyte."""
    (state,) = remember(warm(handmade.manifest(32, 4), rows=80), [0])
    assert len(state) < 1024


def test_fewer_machines_are_refused() -> None:
    """Nobody is left out silently."""
    with pytest.raises(ReadingError, match="expected at least 3 machines, got 2"):
        grown(detector_of(handmade.manifest(T, C), 3), 2)


def test_with_a_grid_times_move_by_whole_periods() -> None:
    """A step of the clock is no reason to end a period early: half a period or more is a whole one, less is none."""
    m = handmade.manifest(T, C, sampling=Sampling(1.0, 3.0, Grid()))
    for by, moved in ((499_999, 0), (500_001, 1_000_000), (-1_400_000, -1_000_000)):
        one, other = warm(m), warm(m)
        shift(one, [0], by)
        shift(other, [0], moved)
        assert remember(one, [0]) == remember(other, [0])
