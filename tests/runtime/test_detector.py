"""Table, stream and many machines are the same steps; what a Detector is handed is checked before it is used."""

from __future__ import annotations

import sys
import tracemalloc
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import handmade
import numpy as np
import pytest
from effort import examples, some
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_runtime import Reading, ReadingError, Verdict, load
from edge_runtime.adapt import adaptive, levels_of
from edge_runtime.bundle import Bundle, seal
from edge_runtime.detector import Detector
from edge_runtime.engines import ENGINES, installed_engines, open_engine
from edge_runtime.engines.numpy import DenseLayer, Program
from edge_runtime.errors import BundleError, EngineError, ExtraMissingError
from edge_runtime.manifest import AlarmPolicy, Channel, Manifest, PercentileThreshold, Score
from edge_runtime.opening import choose_variant

POLICY = AlarmPolicy(2, 3, 1.0, 0.8, 4.0)
LOOPS = ("litert", "tflite")
"""Engines for which a batch is a loop over single windows, so that the bits are the same at any batch."""
SCORES = [Score("mae", None), Score("mae", 3), Score("mse", 1), Score("mse", None)]


def rough_stream(rows: int, C: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Readings with missing and impossible values, repeats, gaps and times that go backwards."""
    rng = np.random.default_rng(seed)
    values, _ = handmade.stream(rows, C, seed)
    for odd in (np.nan, np.nan, 50.0):
        values[rng.random(values.shape) < 0.04 / C] = odd
    values[0] = 0.0
    steps = rng.choice([1] * 40 + [0, -2, 9], rows)
    return values, handmade.START + handmade.SECOND * np.cumsum(steps, dtype=np.int64)


def rough_manifest(T: int, C: int, score: Score) -> Manifest:
    """A manifest that such a stream visits every path of."""
    channels = tuple(Channel(f"c{i}", "", -40.0, 40.0) for i in range(C))
    threshold = PercentileThreshold("percentile", 99.0, 1.0, 0.9)
    return handmade.manifest(T, C, channels=channels, score=score, threshold=threshold, alarm=POLICY)


def as_stream(detector: Detector, values: np.ndarray, times: np.ndarray, machine: int = 0) -> list[Verdict]:
    """One `update` a row."""
    moments = handmade.moments(times)
    return [detector.update(Reading(moments[row], values[row], machine)) for row in range(len(values))]


def without_machine(verdicts: Any) -> list[Verdict]:
    return [verdict._replace(machine=None) for verdict in verdicts]


def assert_close(got: list[Verdict], expected: list[Verdict]) -> None:
    """Everything equal but scores and contributions, which are within 1e-6."""
    plain = [[each._replace(score=None, contributions=None) for each in verdicts] for verdicts in (got, expected)]
    assert plain[0] == plain[1]
    numbers = [
        [(each.score, *each.contributions.values()) for each in verdicts if each.status == "scored"]
        for verdicts in (got, expected)
    ]
    np.testing.assert_allclose(numbers[0], numbers[1], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("score", some(SCORES), ids=str)
@pytest.mark.parametrize(("T", "C"), handmade.SHAPES)
@pytest.mark.parametrize("engine", installed_engines())
def test_table_stream_and_many_machines_are_the_same(engine: str, T: int, C: int, score: Score) -> None:
    """At batch 1 to the last bit, at the engine's best batch and any other within 1e-6: verdicts, contributions, alarms."""
    m = rough_manifest(T, C, score)
    machines = 3
    streams = [rough_stream(T + 30 + 5 * machine, C, 100 * T + machine) for machine in range(machines)]
    expected = [as_stream(handmade.detector(engine, m), *stream) for stream in streams]
    assert sum(verdict.status == "scored" for verdicts in expected for verdict in verdicts) > 15

    # All machines' readings in one interleaved queue, handed over in calls in which ids repeat.
    queue = [(machine, row) for machine in range(machines) for row in range(len(streams[machine][0]))]
    rng = np.random.default_rng(T)
    turns = rng.permutation([machine for machine, _ in queue])
    rows = {machine: iter(range(len(streams[machine][0]))) for machine in range(machines)}
    queue = [(int(machine), next(rows[int(machine)])) for machine in turns]
    cuts = sorted(rng.integers(0, len(queue), 8).tolist())
    calls = [queue[start:end] for start, end in zip([0, *cuts], [*cuts, len(queue)], strict=True)]

    for batch in (1, 3, None) if (T, C) == (8, 3) else (1, None):
        detector = handmade.detector(engine, m, machines=machines, batch=batch)
        many: list[list[Verdict]] = [[] for _ in range(machines)]
        for call in calls:
            ids = np.array([machine for machine, _ in call], np.int64)
            values = np.array([streams[machine][0][row] for machine, row in call]).reshape(-1, C)
            times = np.array([streams[machine][1][row] for machine, row in call], np.int64)
            for (machine, _), verdict in zip(
                call, detector.update_many(ids, values, handmade.moments(times)), strict=True
            ):
                assert verdict.machine == machine
                many[machine].append(verdict)
        for machine, (values, times) in enumerate(streams):
            table = without_machine(detector.score(values, handmade.moments(times)))
            if batch == 1 or engine in LOOPS:
                assert table == expected[machine]
                assert without_machine(many[machine]) == expected[machine]
            else:
                assert_close(table, expected[machine])
                assert_close(without_machine(many[machine]), expected[machine])


@pytest.mark.parametrize("max_rate", [None, 20.0])
@pytest.mark.parametrize("clip", [None, 0.5])
def test_the_short_way_of_one_reading_is_the_long_way(clip: float | None, max_rate: float | None) -> None:
    """Plain floats take it, arrays and whole numbers never do: the same verdicts, whatever came before and however they mix."""
    m = rough_manifest(8, 3, Score("mse"))
    m = replace(
        m,
        scaling=replace(m.scaling, clip=clip),
        channels=tuple(replace(each, max_rate=max_rate) for each in m.channels),
    )
    values, times = rough_stream(300, 3, 7)
    values[::5] = np.round(values[::5])
    long = as_stream(handmade.detector("numpy", m), values, times)
    assert {"scored", "gap", "out_of_range", "warming_up"} <= {verdict.status for verdict in long}

    def whole(row: list[float]) -> list[float]:
        return [int(each) if each == each and each % 1 == 0 else each for each in row]

    forms: list[Any] = [tuple, list, np.array, whole]
    moments = handmade.moments(times)
    for first in range(4):
        detector = handmade.detector("numpy", m)
        alone = handmade.detector("numpy", m)
        for row, verdict in enumerate(long):
            mixed = forms[(first + row * row) % 4](values[row].tolist())
            assert detector.update(Reading(moments[row], mixed)) == verdict
            assert alone.update(Reading(moments[row], forms[first](values[row].tolist()))) == verdict


def test_a_list_that_is_used_again_does_not_change_what_is_held() -> None:
    """What a missing value is filled in with is the number that was handed over, not what became of the list."""
    detectors = [handmade.detector("numpy", handmade.manifest(5, 2)) for _ in range(2)]
    row = [0.0, 0.0]
    for step, values in enumerate([(0.1, 0.2), (0.3, 0.4), (0.5, 0.6), (0.7, 0.8), (float("nan"), 0.9)]):
        row[:] = values
        verdicts = [detectors[0].update(Reading(float(step), row)), detectors[1].update(Reading(float(step), values))]
        assert verdicts[0] == verdicts[1]
    assert verdicts[0].status == "scored"


def test_update_keeps_nothing_that_grows() -> None:
    """After the first windows, thousands of readings of several machines leave the memory as it was."""
    detector = handmade.detector("numpy", handmade.manifest(5, 2), machines=9)

    def take(start: int, count: int) -> None:
        for step in range(start, start + count):
            for machine in range(9):
                verdict = detector.update(Reading(float(step), (0.1, float(step % 7)), machine))
                assert verdict.status == ("scored" if step > 3 else "warming_up")

    take(0, 40)
    tracemalloc.start()
    try:
        take(40, 20)
        before, _ = tracemalloc.get_traced_memory()
        take(60, 400)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 4096


@pytest.mark.parametrize("last", [None, 1])
@pytest.mark.parametrize("engine", installed_engines())
def test_a_model_that_estimates_the_last_readings(engine: str, last: int | None) -> None:
    """The score is of those readings alone, and table, stream and many machines give the same one."""
    (T, C), (K, _) = handmade.FAMILIES["lstm_forecaster"]
    m = replace(rough_manifest(T, C, Score("mse", last)), estimates=K)
    values, times = rough_stream(60, C, 5)

    def detector(batch: int | None = None) -> Detector:
        opened = open_engine(engine, handmade.family_file(engine, "lstm_forecaster"), (T, C), (K, C))
        return Detector(m, opened, batch=batch)

    expected = as_stream(detector(), values, times)
    assert without_machine(detector(1).score(values, handmade.moments(times))) == expected
    assert_close(without_machine(detector().score(values, handmade.moments(times))), expected)
    assert without_machine(detector().update_many(np.zeros(60, int), values, handmade.moments(times))) == expected
    # Of one window by hand: with the model's answer, the squared errors of its last readings.
    clean, even = handmade.stream(T, C)
    (verdict,) = [each for each in detector().score(clean, handmade.moments(even)) if each.status == "scored"]
    answer = detector().engine.run(clean[None].astype(np.float32))[0]
    assert verdict.score == pytest.approx(np.mean((answer - clean[-K:])[-(last or K) :] ** 2), rel=1e-5)


@pytest.mark.heavy
@pytest.mark.parametrize("smoothing", [1.0, 0.3])
@pytest.mark.parametrize("kind", handmade.THRESHOLDS)
def test_every_threshold_is_the_same_in_all_three_ways(kind: str, smoothing: float) -> None:
    """Verdicts, the threshold each was judged by among them, to the last bit; a machine's threshold is its own."""
    changes = {"spot": {"start": 0.7, "limit": 3.0}, "moving_quantile": {"factor": 1.1}}
    threshold = replace(handmade.THRESHOLDS[kind], value=0.9, **changes.get(kind, {}))
    m = replace(rough_manifest(8, 3, Score(smoothing=smoothing)), threshold=threshold)
    streams = [rough_stream(300, 3, seed) for seed in (1, 2)]
    expected = [as_stream(handmade.detector("numpy", m, batch=1), *stream) for stream in streams]
    many = handmade.detector("numpy", m, machines=2, batch=1)
    both = list(
        many.update_many(
            np.tile([0, 1], 300),
            np.stack([values for values, _ in streams], axis=1).reshape(-1, 3),
            handmade.moments(np.stack([times for _, times in streams], axis=1).ravel()),
        )
    )
    for machine, (values, times) in enumerate(streams):
        assert without_machine(both[machine::2]) == expected[machine]
        assert without_machine(many.score(values, handmade.moments(times))) == expected[machine]
        used = [verdict.threshold for verdict in expected[machine]]
        assert {verdict.anomalous for verdict in expected[machine]} == {True, False, None}
        assert all(
            verdict.anomalous == (verdict.score > verdict.threshold)
            for verdict in expected[machine]
            if verdict.score is not None
        )
        if adaptive(threshold, 1) is not None:
            assert len(set(used)) > 3
            assert used == levels_of(threshold, np.array([each.score or np.nan for each in expected[machine]])).tolist()
        else:
            assert set(used) == {0.9}


@pytest.mark.parametrize("kind", ["moving_quantile", "spot"])
def test_reset_forgets_what_a_threshold_learned_and_a_gap_does_not(kind: str) -> None:
    """It is the machine's, not the window's."""
    threshold = replace(handmade.THRESHOLDS[kind], value=1.0, limit=3.0)
    threshold = replace(threshold, start=0.5) if kind == "spot" else threshold
    m = handmade.manifest(4, 2, threshold=threshold)
    values, times = handmade.stream(300, 2)
    detector = handmade.detector("numpy", replace(m, window=replace(m.window, length=5)), machines=2)
    learned = as_stream(detector, values, times)[-1].threshold
    assert learned != 1.0
    late = float(times[-1] / 1e6) + 1000
    after_gap = detector.update(Reading(late, values[0]))
    assert (after_gap.status, after_gap.threshold) == ("gap", pytest.approx(learned, rel=0.2))
    assert after_gap.threshold != 1.0
    assert detector.update(Reading(late, values[0], 1)).threshold == 1.0
    detector.reset(0)
    assert detector.update(Reading(late, values[0])).threshold == 1.0


@settings(max_examples=examples(40))
@given(
    shape=st.sampled_from(handmade.SHAPES),
    kind=st.sampled_from(["mae", "mse"]),
    last=st.integers(0, 4),
    seed=st.integers(0, 10**6),
    size=st.sampled_from([1e-6, 1.0, 30.0]),
)
def test_contributions_add_up_to_the_score(
    shape: tuple[int, int], kind: Any, last: int, seed: int, size: float
) -> None:
    """Whatever the score is made of, its channels' shares sum to it, and none is negative."""
    T, C = shape
    detector = handmade.detector("numpy", handmade.manifest(T, C, score=Score(kind, last or None)))
    values, times = handmade.stream(T + 3, C, seed)
    verdicts = detector.score(values * size, handmade.moments(times))
    assert verdicts.scored.sum() == 4
    for verdict in verdicts[T - 1 :]:
        assert sum(verdict.contributions.values()) == pytest.approx(verdict.score, rel=1e-12)
        assert min(verdict.contributions.values()) >= 0


def test_every_full_window_is_scored_and_no_other() -> None:
    """A table of exactly T readings has one score, T + 1 have two, T - 1 none."""
    m = handmade.manifest(8, 3)
    for rows, scored in ((7, 0), (8, 1), (9, 2), (64, 57), (65, 58), (71, 64), (72, 65)):
        values, times = handmade.stream(rows, 3)
        verdicts = handmade.detector("numpy", m).score(values, handmade.moments(times))
        assert [len(verdicts), int(verdicts.scored.sum())] == [rows, scored]
        assert verdicts.scored.tolist() == [row >= 7 for row in range(rows)]


def test_a_verdict_uses_only_what_had_arrived() -> None:
    """Changing later readings changes no earlier verdict."""
    m = rough_manifest(8, 3, Score())
    values, times = rough_stream(80, 3, 7)
    detector = handmade.detector("numpy", m, batch=1)
    before = list(detector.score(values, handmade.moments(times)))
    values[50:] = 3 - values[50:]
    times[60:] += 5 * handmade.SECOND
    after = list(detector.score(values, handmade.moments(times)))
    assert after[:50] == before[:50]
    assert after[50:] != before[50:]


def test_a_table_stands_alone() -> None:
    """`score` neither sees nor changes what `update` has taken."""
    m = rough_manifest(8, 3, Score())
    values, times = rough_stream(80, 3, 3)
    moments = handmade.moments(times)
    expected = as_stream(handmade.detector("numpy", m), values, times)
    detector = handmade.detector("numpy", m)
    table = without_machine(detector.score(values, moments))
    got = []
    for row in range(80):
        got.append(detector.update(Reading(moments[row], values[row])))
        if row % 9 == 0:
            assert without_machine(detector.score(values, moments)) == table
    assert got == expected


def test_input_is_not_changed() -> None:
    """Arrays handed over are read, never written."""
    m = rough_manifest(8, 3, Score())
    values, times = rough_stream(60, 3, 5)
    values.flags.writeable = times.flags.writeable = False
    detector = handmade.detector("numpy", m, machines=2)
    detector.score(values, handmade.moments(times))
    detector.update_many([0, 1, 0], values[:3], handmade.moments(times[:3]))
    detector.update(Reading(float(times[10] / 1e6), values[10], 1))


def test_reset_forgets_one_machine_or_all() -> None:
    """After `reset` a machine is as new, earlier times included; the others go on."""
    m = rough_manifest(8, 3, Score())
    values, times = rough_stream(60, 3, 11)
    fresh = without_machine(as_stream(handmade.detector("numpy", m, machines=3), values, times, 1))
    detector = handmade.detector("numpy", m, machines=3)
    for machine in range(3):
        as_stream(detector, values, times, machine)
    detector.reset(1)
    assert without_machine(as_stream(detector, values, times, 1)) == fresh
    assert {verdict.status for verdict in as_stream(detector, values, times, 2)[1:2]} == {"gap"}  # late: it remembers
    detector.reset()
    for machine in range(3):
        assert without_machine(as_stream(detector, values, times, machine)) == fresh


def test_machines_do_not_touch_each_other() -> None:
    """A machine's verdicts are the same whatever the others send at the same time."""
    m = rough_manifest(8, 3, Score())
    values, times = rough_stream(60, 3, 13)
    expected = without_machine(as_stream(handmade.detector("numpy", m, machines=4), values, times, 2))
    wild, _ = rough_stream(240, 3, 14)
    detector = handmade.detector("numpy", m, machines=4, batch=1)
    got = []
    for row in range(60):
        readings = 100 * wild[4 * row : 4 * row + 4]
        readings[2] = values[row]
        got.append(detector.update_many([0, 1, 2, 3], readings, handmade.moments(times)[row])[2])
    assert without_machine(got) == expected


def test_the_kinds_of_time_mean_the_same() -> None:
    """datetime (with any offset, or naive as UTC), datetime64 in any unit, and seconds since 1970."""
    detector = handmade.detector("numpy", handmade.manifest(4, 1))
    moment = datetime(2004, 2, 12, 10, 32, 39, tzinfo=UTC)
    there = moment.astimezone(timezone(timedelta(hours=-8)))
    same = [
        moment,
        there,
        moment.replace(tzinfo=None),
        np.datetime64("2004-02-12T10:32:39"),
        moment.timestamp(),
        1076581959,
    ]
    for each in same:
        detector.reset()
        assert detector.update(Reading(each, [1.0])).time == moment
    values = np.zeros((2, 1))
    seconds = [1076581959, 1076581960]
    for times in (
        seconds,
        np.array(seconds),
        np.array(seconds, float),
        np.array(seconds, "datetime64[s]"),
        np.array(seconds, "datetime64[s]").astype("datetime64[ns]"),
        [moment, there + timedelta(seconds=1)],
        (moment.replace(tzinfo=None), np.datetime64("2004-02-12T10:32:40")),
    ):
        assert [verdict.time for verdict in detector.score(values, times)] == [moment, moment + timedelta(seconds=1)]


def test_verdicts_carry_utc_and_the_right_machine() -> None:
    """One machine is None, several are numbers; the time is that of the reading, UTC."""
    m = handmade.manifest(4, 1)
    assert handmade.detector("numpy", m).update(Reading(0.0, [1.0])).machine is None
    verdict = handmade.detector("numpy", m, machines=3).update(Reading(1.5, [1.0], 2))
    assert verdict.machine == 2
    assert verdict.time.isoformat() == "1970-01-01T00:00:01.500000+00:00"


@pytest.mark.parametrize(
    "values",
    [
        [1.0],
        [1.0, 2.0, 3.0, 4.0],
        [[1.0, 2.0, 3.0]],
        "abc",
        ["a", "b", "c"],
        [1.0, [2.0], 3.0],
        5.0,
        [1j, 2j, 3j],
        [{}, {}, {}],
    ],
    ids=str,
)
def test_update_refuses_values_of_another_form(values: Any) -> None:
    """One number a channel; the error says how many and which channels."""
    detector = handmade.detector("numpy", handmade.manifest(8, 3))
    with pytest.raises(ReadingError, match=r"c0, c1, c2|3 channels"):
        detector.update(Reading(0.0, values))


@pytest.mark.parametrize("machine", [-1, 2, 10**30, 0.5, "a", None], ids=str)
def test_update_refuses_a_machine_it_does_not_watch(machine: Any) -> None:
    """A machine is 0 to machines - 1, and a whole number."""
    detector = handmade.detector("numpy", handmade.manifest(8, 3), machines=2)
    with pytest.raises(ReadingError, match=r"expected a machine from 0 to 1"):
        detector.update(Reading(0.0, [1.0, 2.0, 3.0], machine))


BAD_TIMES = [
    None,
    "2004-02-12",
    np.nan,
    np.inf,
    1e30,
    10**40,
    np.datetime64("NaT", "us"),
    [],
    timedelta(1),
    -62135596801.0,
    253402300800,
]
"""Not a time, or one that no calendar has (before the year 1, after 9999)."""


@pytest.mark.parametrize("time", [*BAD_TIMES, np.datetime64("20000-01-01"), np.datetime64("-0001-01-01")], ids=repr)
def test_update_refuses_what_is_no_time(time: Any) -> None:
    """Anything but a datetime, a datetime64 or seconds since 1970, in the years 1 to 9999, is a ReadingError."""
    detector = handmade.detector("numpy", handmade.manifest(8, 3))
    with pytest.raises(ReadingError, match="expected a time"):
        detector.update(Reading(time, [1.0, 2.0, 3.0]))


@pytest.mark.parametrize(
    "times",
    [
        *([time, time] for time in BAD_TIMES if not isinstance(time, np.datetime64)),
        [0.0],
        [0.0, 1.0, 2.0],
        "ab",
        np.zeros((2, 1)),
        np.zeros((2, 1), "datetime64[us]"),
        np.array(["2004-02-12", "NaT"], "datetime64[us]"),
        np.array(["2004-02-12", "20000-01-01"], "datetime64[us]"),
        np.array(["2004-02-12", "400000-01-01"], "datetime64[s]"),
        np.array(5.0),
    ],
    ids=repr,
)
def test_score_refuses_times_that_do_not_fit(times: Any) -> None:
    """As many times as rows, each a time: otherwise a ReadingError, from `score` and `update_many` alike."""
    detector = handmade.detector("numpy", handmade.manifest(8, 3), machines=2)
    with pytest.raises(ReadingError, match="expected"):
        detector.score(np.zeros((2, 3)), times)
    with pytest.raises(ReadingError, match="expected"):
        detector.update_many([0, 1], np.zeros((2, 3)), times)


def test_a_refused_reading_changes_nothing() -> None:
    """After any ReadingError the stream goes on as if it had not been."""
    m = handmade.manifest(5, 2)
    values, times = handmade.stream(20, 2)
    expected = as_stream(handmade.detector("numpy", m), values, times)
    detector = handmade.detector("numpy", m)
    got = []
    for row, moment in enumerate(handmade.moments(times)):
        for wrong in (Reading("x", values[row]), Reading(moment, [1.0]), Reading(moment, values[row], 1)):
            with pytest.raises(ReadingError):
                detector.update(wrong)
        got.append(detector.update(Reading(moment, values[row])))
    assert got == expected


@pytest.mark.parametrize(
    "values", [np.zeros(3), np.zeros((2, 2)), np.zeros((2, 3, 1)), [["a", "b", "c"]], [[1.0], [1.0, 2.0]]], ids=repr
)
def test_score_refuses_values_of_another_form(values: Any) -> None:
    """A table is (N, C)."""
    with pytest.raises(ReadingError, match="expected"):
        handmade.detector("numpy", handmade.manifest(8, 3)).score(values, [0.0, 1.0])


@pytest.mark.parametrize(
    "ids", [[0, 2], [-1, 0], [0.0, 1.0], [True, False], [[0, 1]], 0, ["a", "b"], [0, [1]], [2**70, 0]], ids=repr
)
def test_update_many_refuses_ids_it_does_not_know(ids: Any) -> None:
    """Ids are whole numbers (B,) from 0 to machines - 1."""
    detector = handmade.detector("numpy", handmade.manifest(8, 3), machines=2)
    with pytest.raises(ReadingError, match="expected machine"):
        detector.update_many(ids, np.zeros((2, 3)), 0.0)


def test_update_many_wants_a_row_for_each_id() -> None:
    """Fewer or more rows than ids are refused; no ids and no rows are answered with nothing."""
    detector = handmade.detector("numpy", handmade.manifest(8, 3), machines=2)
    with pytest.raises(ReadingError, match="expected 2 rows of values, one for each id, got 3"):
        detector.update_many([0, 1], np.zeros((3, 3)), 0.0)
    assert list(detector.update_many([], np.zeros((0, 3)), [])) == []
    assert list(detector.score(np.zeros((0, 3)), [])) == []


@pytest.mark.parametrize(("machines", "batch"), [(0, None), (-1, None), (1, 0), (1, -3)])
def test_detector_wants_machines_and_a_batch(machines: int, batch: int | None) -> None:
    """At least one of each."""
    with pytest.raises(ReadingError, match="at least one machine and a batch of at least 1"):
        handmade.detector("numpy", handmade.manifest(8, 3), machines=machines, batch=batch)


def one_weight(kernel: float) -> bytes:
    """A model that multiplies a one-channel window by a number."""
    weights = {"d.kernel": np.full((1, 1), kernel, np.float32), "d.bias": np.zeros(1, np.float32)}
    return handmade.numpy_model(Program((4, 1), (DenseLayer("dense", "d", "linear"),)), weights)


@pytest.mark.parametrize("kernel", [np.nan, np.inf])
def test_a_damaged_model_is_an_error_never_a_verdict(kernel: float) -> None:
    """A reconstruction that is no number raises EngineError from `update`, `score` and `update_many`: not healthy, not anomalous."""
    m = handmade.manifest(4, 1)
    values, times = handmade.stream(6, 1)
    moments = handmade.moments(times)
    with np.errstate(all="ignore"):
        detector = Detector(m, open_engine("numpy", one_weight(kernel), (4, 1)), engine_name="numpy")
        with pytest.raises(EngineError, match=r"expected a finite score, got (nan|inf): the model is damaged"):
            as_stream(detector, values, times)
        with pytest.raises(EngineError, match="the model is damaged"):
            detector.score(values, moments)
        detector.reset()
        detector.update_many([0, 0, 0], values[:3], moments[:3])
        with pytest.raises(EngineError, match="the model is damaged"):
            detector.update_many([0], values[3:4], moments[3:4])


@pytest.mark.parametrize("kind", ["mae", "mse"])
def test_the_largest_values_in_range_are_scored(kind: Any) -> None:
    """Readings up to the limit where float32 would overflow have a finite score; beyond it they are out of range."""
    m = handmade.manifest(4, 1, score=Score(kind))
    detector = Detector(m, open_engine("numpy", one_weight(0.5), (4, 1)))
    _, times = handmade.stream(4, 1)
    for size, status in ((1e12, "scored"), (-1e12, "scored"), (1.001e12, "out_of_range"), (1.7e308, "out_of_range")):
        values = np.full((4, 1), size)
        values[:3] = np.sign(size) * 1e12
        verdict = detector.score(values, handmade.moments(times))[-1]
        assert verdict.status == status
        assert verdict.anomalous is (True if status == "scored" else None)
        assert verdict.score is None or np.isfinite(verdict.score)


def test_the_longest_gap_and_cooldown_are_any_number() -> None:
    """ "Never" may be written as any huge number of seconds."""
    m = handmade.manifest(4, 1, sampling=replace(handmade.manifest().sampling, longest_gap_s=1e300))
    m = replace(
        m, alarm=AlarmPolicy(1, 1, 0.1, 0.1, 1e300), threshold=PercentileThreshold("percentile", 99.0, 1.0, 1.0)
    )
    detector = Detector(m, open_engine("numpy", one_weight(0.0), (4, 1)))
    levels = [1, 1, 1, 1, 0, 0, 0, 0, 1, 1, 1, 1]
    times = [1e8 * row for row in range(12)]
    alarms = [verdict.alarm for verdict in detector.score([[level] for level in levels], times)]
    assert alarms == ["quiet"] * 3 + ["raised"] + ["active"] * 3 + ["cleared"] + ["quiet"] * 4


def test_closing_gives_up_the_model() -> None:
    """A closed detector scores nothing: an error, not a verdict."""
    detector = handmade.detector("numpy", handmade.manifest(5, 2))
    values, times = handmade.stream(8, 2)
    assert detector.score(values, handmade.moments(times)).scored.any()
    detector.close()
    with pytest.raises(EngineError, match="closed"):
        detector.score(values, handmade.moments(times))


def test_load_takes_the_fastest_installed_engine_of_the_bundle() -> None:
    """`auto` is the first installed engine in the order of `ENGINES` for which the bundle has a variant."""
    detector = load(handmade.TINY)
    assert detector.engine_name == installed_engines()[0]
    assert detector.engine_name in Bundle.read(handmade.TINY).variant(detector.variant_name).engines
    assert load(handmade.TINY, engine="numpy").variant_name == "numpy-float32"
    assert load(handmade.TINY, variant="numpy-float32").engine_name == "numpy"


def test_load_accepts_any_path() -> None:
    """str and Path."""
    assert load(str(handmade.TINY)).manifest == load(handmade.TINY).manifest


def test_load_refuses_what_does_not_go_together(tmp_path: Any) -> None:
    """Unknown engine, unknown variant, and an engine for which the bundle holds nothing, each named."""
    bundle = handmade.sealed(tmp_path / "numpy.anomalite")
    with pytest.raises(EngineError, match=r"unknown engine 'tensorrt', known: auto, onnx, litert, tflite, numpy"):
        load(bundle, engine="tensorrt")
    with pytest.raises(BundleError, match=r"expected one of the variants numpy-float32, got 'onnx-float32'"):
        load(bundle, variant="onnx-float32")
    with pytest.raises(EngineError, match=r"expected a variant for onnx, got numpy-float32 \(for numpy\)"):
        load(bundle, engine="onnx")
    with pytest.raises(EngineError, match=r"expected a variant for numpy, got onnx-float32 \(for onnx\)"):
        load(handmade.TINY, engine="numpy", variant="onnx-float32")


def test_an_engine_that_is_not_installed_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked for by name it is an error with the command that installs it; `auto` passes it over."""
    monkeypatch.setattr("edge_runtime.engines.find_spec", lambda package: None)
    for engine, extra in (("onnx", "onnx"), ("litert", "litert"), ("tflite", "tflite")):
        newest = ENGINES[engine].newest_python
        if newest is not None and sys.version_info[:2] > newest:
            continue  # no extra would help; test_engines.py has what is said then
        with pytest.raises(ExtraMissingError, match=rf"the engine '{engine}' .* pip install 'anomalite\[{extra}\]'"):
            load(handmade.TINY, engine=engine)
    assert load(handmade.TINY).engine_name == "numpy"


def test_a_bundle_without_variants_has_nothing_to_load(tmp_path: Any) -> None:
    """It is whole, but there is nothing to run."""
    bundle = seal(tmp_path / "none.anomalite", handmade.manifest(), {}, None)
    with pytest.raises(EngineError, match=r"expected a variant for .*, got none"):
        choose_variant(bundle)


def test_a_model_of_another_shape_than_the_manifest_is_refused(tmp_path: Any) -> None:
    """For every installed engine: a right seal around a model whose windows are not the manifest's."""
    for engine in installed_engines():
        name, file = f"{engine}-float32", f"model{handmade.FILES[engine]}"
        m = replace(handmade.manifest(9, 3), variants=(handmade.variant(name, file, engine),))
        path = tmp_path / f"{engine}.anomalite"
        seal(path, m, {name: handmade.model_file(engine, 8, 3)}, None)
        with pytest.raises(EngineError, match=rf"{engine}\.anomalite: {file}: .*expected .*9, 3.*got .*8, 3"):
            load(path, engine=engine)


def test_a_masked_value_is_a_missing_one() -> None:
    """Not the number under the mask."""
    detector = load(handmade.TINY, engine="numpy")
    values, times = handmade.stream(30, 3)
    missing = values.copy()
    missing[20, 1] = np.nan
    masked = np.ma.masked_array(values, np.isnan(missing))
    expected = detector.score(missing, handmade.moments(times))
    assert detector.score(masked, handmade.moments(times)).scores.tobytes() == expected.scores.tobytes()
    assert not np.array_equal(detector.score(values, handmade.moments(times)).scores, expected.scores, equal_nan=True)
