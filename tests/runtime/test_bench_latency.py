"""Times of readings: the figures are numpy's, and whatever a bundle does with readings, those that are timed are scored."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from pathlib import Path

import handmade
import numpy as np
import pytest

from edge_runtime.bench import latency
from edge_runtime.bench.usual import readings, usual_values
from edge_runtime.bundle import Bundle
from edge_runtime.errors import EngineError
from edge_runtime.manifest import Channel, Derived, Grid, Manifest, Operating, Sampling, Scaling, Score, Waveform
from edge_runtime.opening import load

CHANNELS = (Channel("c0", low=-5.0, high=400.0, max_rate=8.0), Channel("c1", rail_high=9.0, stuck_after=2))
WAVEFORM = Waveform(1000.0, 16, {"b1": "g", "b2": "g"}, features=("rms",))
BUNDLES: dict[str, Manifest] = {
    "plain": handmade.manifest(4, 2),
    "limits and sensors": handmade.manifest(4, 2, channels=CHANNELS),
    "grid": handmade.manifest(4, 2, sampling=Sampling(0.5, 3.0, Grid(max_delay_s=0.5))),
    "derived": handmade.manifest(4, 2, derived=(Derived("rolling_std", "c0", 5), Derived("difference", "c1"))),
    "operating": handmade.manifest(4, 2, operating=Operating("c0 > 50 and c1 <= -3", "c0 < 40", settle_s=30.0)),
    "smoothed": handmade.manifest(4, 2, score=Score("mae", smoothing=0.3)),
    "moving quantile": handmade.manifest(4, 2, threshold=handmade.THRESHOLDS["moving_quantile"]),
    "spot": handmade.manifest(4, 2, threshold=handmade.THRESHOLDS["spot"]),
    "min_max": handmade.manifest(4, 2, channels=CHANNELS, scaling=Scaling("min_max", (0.0, 3.0), (2.0, 4.0), clip=2.0)),
    "waveform": handmade.manifest(4, 2, channels=WAVEFORM.columns, waveform=WAVEFORM),
}


@pytest.mark.parametrize("name", BUNDLES)
def test_usual_readings_of_any_bundle_are_scored(tmp_path: Path, name: str) -> None:
    """Without golden readings they are made from the manifest: within limits and rates, and of a machine that runs."""
    m = BUNDLES[name]
    path = handmade.sealed(tmp_path / "a.anomalite", m, golden=False)
    stream = readings(usual_values(Bundle.read(path)), m.sampling.period_s)
    detector = load(path)
    unscored = latency.warm_up(detector, stream)
    assert unscored >= m.window.length - 1
    timed = latency.Latencies()
    timed.take(detector, stream, 0.01)
    assert len(timed.us) >= latency.LEAST
    assert timed.not_scored == 0
    assert (timed.us > 0).all()


def test_golden_readings_are_the_usual_ones(tmp_path: Path) -> None:
    """Those of the longest stretch with nothing missing, forwards and backwards in turn, one period apart."""
    m = handmade.manifest(4, 2, sampling=Sampling(0.25, 3.0))
    path = handmade.sealed(tmp_path / "a.anomalite", m)
    values = usual_values(Bundle.read(path))
    expected, _ = handmade.stream(3 * m.preparation.readings_needed, 2)
    assert values == [tuple(row) for row in expected.tolist()]
    rows = list(islice(readings(values, 0.25), 3 * len(values)))
    assert [row.values for row in rows[: len(values) + 2]] == [*values, values[-2], values[-3]]
    assert rows[2 * len(values) - 2].values == values[0]
    assert {float(np.diff([float(str(row.time)) for row in rows]).round(6).min())} == {0.25}


def test_golden_readings_with_a_gap(tmp_path: Path) -> None:
    """What is missing or was answered otherwise ends a stretch; without one of two readings they are made."""
    from edge_runtime.bench import usual
    from edge_runtime.golden import GoldenReadings
    from edge_runtime.readings import GAP, SCORED, WARMING_UP

    values = np.arange(16.0).reshape(8, 2)
    values[2, 1] = np.nan
    status = np.array([SCORED, SCORED, SCORED, WARMING_UP, SCORED, SCORED, GAP, SCORED], np.uint8)
    golden = GoldenReadings(values, np.arange(8), status, {})
    stretch = usual._longest_stretch(golden, 1.0)
    assert stretch is not None
    assert stretch.tolist() == [[6, 7], [8, 9], [10, 11]]
    assert usual._longest_stretch(replace(golden, status_codes=np.full(8, GAP, np.uint8)), 1.0) is None
    assert usual._longest_stretch(replace(golden, values=values[:2], status_codes=status[5:7]), 1.0) is None


def test_golden_readings_of_an_alarm_are_left_out(tmp_path: Path) -> None:
    """A quiet machine is the usual one; where all golden readings are anomalous they are better than none."""
    from edge_runtime.bench import usual
    from edge_runtime.golden import GoldenReadings
    from edge_runtime.readings import SCORED

    values, scores = np.arange(10.0).reshape(5, 2), np.array([2.0, 2.0, 2.0, 0.5, np.nan])
    golden = GoldenReadings(values, np.arange(5), np.full(5, SCORED, np.uint8), {"a": np.zeros(5), "b": scores})
    stretch = usual._longest_stretch(golden, 1.0)
    assert stretch is not None
    assert stretch.tolist() == [[6, 7], [8, 9]]
    assert np.array_equal(usual._longest_stretch(replace(golden, scores={"b": scores + 3}), 1.0), values)


def test_a_machine_that_never_runs_is_an_error(tmp_path: Path) -> None:
    """There is nothing to time, and the message says what the readings were answered."""
    m = handmade.manifest(4, 2, operating=Operating("c0 > 5 and c0 < 4"))
    path = handmade.sealed(tmp_path / "a.anomalite", m, golden=False)
    stream = readings(usual_values(Bundle.read(path)), 1.0)
    with pytest.raises(
        EngineError, match="expected readings that are scored: the last of 105 usual readings was answered 'off'"
    ):
        latency.warm_up(load(path), stream)


def test_readings_that_are_not_scored_do_not_enter(tmp_path: Path) -> None:
    """They are counted apart."""
    path = handmade.sealed(tmp_path / "a.anomalite", handmade.manifest(4, 2, channels=CHANNELS), golden=False)
    values = [(1.0, 1.0), (2.0, 2.0), (3.0, 1.0), (2.0, 2.0)] * 5 + [(1000.0, 1.0)]
    timed = latency.Latencies()
    timed.take(load(path), readings(values, 1.0), 0.02)
    assert timed.not_scored > len(timed.us) / 50
    assert len(timed.us) >= latency.LEAST


def test_readings_none_of_which_is_scored_end(tmp_path: Path) -> None:
    """A detector that answers none of them does not keep the command busy for ever."""
    path = handmade.sealed(tmp_path / "a.anomalite", handmade.manifest(4, 2, channels=CHANNELS), golden=False)
    with pytest.raises(
        EngineError, match=r"expected readings that are scored, got .* that are not, the last 'out_of_range'"
    ):
        latency.Latencies().take(load(path), readings([(1000.0, 1.0), (1001.0, 2.0)], 1.0), 0.001)


def test_percentiles_are_numpy_s_and_outliers_stay() -> None:
    """The worst is the worst there was, and the histogram counts every reading."""
    us = np.random.default_rng(1).gamma(2.0, 10.0, 5000)
    us[1234] = 1e6
    fields = latency.as_json(us)
    found = [fields[name] for name in ("us_p50", "us_p90", "us_p99", "us_p999", "us_worst")]
    np.testing.assert_allclose(found, [*np.percentile(us, [50, 90, 99, 99.9]), 1e6])
    assert fields["readings_per_s"] == pytest.approx(len(us) / us.sum() * 1e6)
    assert len(fields["blocks_us"]) == latency.BLOCKS
    np.testing.assert_allclose(fields["blocks_us"][0], np.median(us[:250]))
    edges, counts = np.array(fields["histogram_us"]).T
    assert counts.sum() == len(us)
    assert counts[-1] == 1
    for edge in edges[[10, 30, 50]]:
        assert counts[edges <= edge].sum() == (us <= edge).sum()


@pytest.mark.parametrize(("second", "expected"), [(10.0, 1.0), (20.0, 0.5), (5.0, 2.0)])
def test_a_board_that_slows_down(second: float, expected: float) -> None:
    """The rate of the second half of the time against the first: as many readings for half of the time at either rate."""
    us = np.array([10.0] * 1000 + [second] * round(10_000 / second))
    assert latency.sustained(us) == pytest.approx(expected, rel=0.01)
    assert latency.sustained(np.array([7.0, 7.0])) == pytest.approx(1.0)


def test_equal_times_have_a_histogram_too() -> None:
    """A coarse clock may give the same number each time."""
    counts = [count for _, count in latency.histogram(np.full(30, 2.0))]
    assert sum(counts) == 30


@pytest.mark.parametrize("largest", [None, 1, 5])
def test_the_best_batch_is_one_that_the_variant_takes(tmp_path: Path, largest: int | None) -> None:
    """1, 2, 4 and so on up to its largest; the detector is left as it was."""
    detector = load(handmade.sealed(tmp_path / "a.anomalite"), batch=3)
    windows = np.random.default_rng(1).normal(size=(latency.LARGEST_BATCH, 4, 2)).astype(np.float32)
    size, rate = latency.best_batch(detector, windows, largest, 0.02)
    assert size in [2**power for power in range(9)]
    assert size <= (largest or latency.LARGEST_BATCH)
    assert rate > 0
    assert detector.batch == 3
