"""Normal readings are divided in order of time and prepared as on the device."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_runtime.detector import Detector
from edge_runtime.errors import InputError, TableError, TrainingError
from edge_runtime.grid import GridRows
from edge_runtime.manifest import (
    AlarmPolicy,
    Channel,
    Cleaning,
    Derived,
    Grid,
    Manifest,
    Operating,
    PercentileThreshold,
    Provenance,
    Sampling,
    Score,
    Sensors,
    Waveform,
    Window,
)
from edge_runtime.prepare import Preparation
from edge_runtime.tables import Table
from edge_runtime.threshold_rules import BudgetRule, PercentileRule, SigmaRule, TailRule
from training.config import Config, Data, Exclusion, Fit, LSTMAutoencoder, ScalingRule, Shares, load_config
from training.data import PARTS, longest_stream, prepare_data, read_files
from training.families import LinearAutoencoder
from training.inputs import describe_channels

MINUTE = 60_000_000
START = datetime(2024, 1, 1, tzinfo=UTC)


def make_config(length=4, stride=1, **data) -> Config:
    return Config(
        "pump",
        Data(("readings.csv",), **data),
        Sampling(60, 180),
        Window(length),
        LSTMAutoencoder("lstm_autoencoder"),
        fit=Fit(stride=stride),
    )


def make_table(values, minutes=None) -> Table:
    """A table with a row a minute, or at the given minutes, since START."""
    values = np.asarray(values, np.float64)
    minutes = np.arange(len(values)) if minutes is None else np.asarray(minutes)
    start = int(START.timestamp()) * 1_000_000
    return Table("readings.csv", tuple(f"c{i}" for i in range(values.shape[1])), start + minutes * MINUTE, values)


def channels_of(table):
    return [Channel(name) for name in table.channels]


def prepare(table, config=None, channels=None, scaling=None):
    return prepare_data(config or make_config(), table, channels or channels_of(table), scaling)


@given(
    rows=st.integers(130, 200),
    fit=st.integers(30, 60),
    stops=st.integers(10, 25),
    intervals=st.lists(st.tuples(st.integers(0, 200), st.integers(0, 3)), max_size=3),
)
def test_no_window_crosses_a_border(rows, fit, stops, intervals):
    """Every window, and no other, lies in one part with nothing left out between its readings (oracle in plain loops)."""
    shares = Shares(fit / 100, stops / 100, 1 - fit / 100 - stops / 100)
    exclude = tuple(
        Exclusion(START + timedelta(minutes=a + 0.5), START + timedelta(minutes=a + b + 0.5)) for a, b in intervals
    )
    values = np.column_stack((np.arange(rows), np.arange(rows) % 7))  # the first channel is the row's number
    data = prepare(make_table(values), make_config(shares=shares, exclude=exclude))

    kept = [row for row in range(rows) if not any(a + 0.5 <= row <= a + b + 0.5 for a, b in intervals)]
    first, second = round(shares.fit * len(kept)), round((shares.fit + shares.early_stopping) * len(kept))
    part_of = {row: (i >= first) + (i >= second) for i, row in enumerate(kept)}
    expected = {name: [] for name in PARTS}
    for end in kept:
        window = range(end - 3, end + 1)
        is_whole = all(part_of.get(row) == part_of[end] for row in window)
        if is_whole and not any(window[0] < a + 0.5 and a + b + 0.5 < end for a, b in intervals):
            expected[PARTS[part_of[end]]].append(list(window))
    for name, part in data.parts.items():
        in_rows = part.windows[:, :, 0] * data.scaling.scale[0] + data.scaling.center[0]
        assert in_rows.round().astype(int).tolist() == expected[name]


def test_parts_follow_each_other_in_time(make_normal):
    """All rows are used once, in order: fit before early stopping before calibration."""
    table = make_table(make_normal(200))
    parts = prepare(table).parts
    assert [part.rows for part in parts.values()] == [140, 30, 30]
    times = [stretch.times for name in PARTS for stretch in parts[name].stretches]
    assert np.concatenate(times).tolist() == table.times.tolist()


def test_start_and_end_are_included(make_normal):
    """`start` and `end` are the first and the last reading used."""
    config = make_config(start=START + timedelta(minutes=10), end=START + timedelta(minutes=169))
    table = make_table(make_normal(200))
    parts = prepare(table, config).parts
    assert sum(part.rows for part in parts.values()) == 160
    assert parts["fit"].stretches[0].times[0] == table.times[10]
    assert parts["calibration"].stretches[-1].times[-1] == table.times[169]


def test_scaling_sees_the_fit_part_only(make_normal):
    """What comes after the fit part does not move the scaling."""
    values = make_normal(200)
    changed = values.copy()
    changed[140:] *= 3
    assert prepare(make_table(changed)).scaling == prepare(make_table(values)).scaling
    changed[139] *= 3
    assert prepare(make_table(changed)).scaling != prepare(make_table(values)).scaling


def test_scaling_ignores_what_is_out_of_range(make_normal):
    """A reading outside its valid range, which the device treats as missing, does not shape the scaling."""
    values = make_normal(200)
    values[50, 0] = np.nan
    channels = [Channel("c0", low=0, high=50), Channel("c1")]
    expected = prepare(make_table(values), channels=channels).scaling
    values[50, 0] = -999
    assert prepare(make_table(values), channels=channels).scaling == expected


def test_given_scaling_is_kept(make_normal):
    """To train on from an earlier run its scaling is used, not fitted again."""
    earlier = prepare(make_table(make_normal(200))).scaling
    data = prepare(make_table(make_normal(200) * 2), scaling=earlier)
    assert data.scaling is earlier
    assert data.parts["fit"].windows.mean() > 3


def test_stride_thins_the_fit_windows_only(make_normal):
    """With stride 4 every fourth fit window is taken; the other parts keep all."""
    table = make_table(make_normal(200))
    all_windows, thinned = prepare(table).parts, prepare(table, make_config(stride=4)).parts
    assert thinned["fit"].windows.tobytes() == all_windows["fit"].windows[::4].tobytes()
    assert len(thinned["calibration"].windows) == len(all_windows["calibration"].windows) == 27


def manifest_of(config, table, data) -> Manifest:
    return Manifest(
        1,
        "pump",
        "lstm_autoencoder",
        1,
        "time",
        tuple(describe_channels(config, table)),
        config.sampling,
        Cleaning(),
        data.scaling,
        config.window,
        Score(),
        PercentileThreshold("percentile", 99, 1, 1),
        AlarmPolicy(),
        {},
        Provenance("", 1, {}, "", "", {}, {}),
        derived=config.derived,
    )


class Recorder:
    """An engine that keeps the windows it is given."""

    best_batch = 8

    def __init__(self):
        self.windows = []

    def run(self, windows):
        self.windows.extend(windows.copy())
        return windows + np.float32(1)

    def close(self):
        pass


def test_training_and_serving_prepare_identically(make_normal):
    """A detector that reads the calibration part makes the windows that training made, bit for bit: with holes and gaps."""
    values = make_normal(200)
    values[[175, 176, 180], 0] = np.nan
    values[184:188, 1] = np.nan
    minutes = np.arange(200) + 30 * (np.arange(200) >= 192)
    table, config = make_table(values, minutes), make_config(shares=Shares(0.5, 0.15, 0.35))
    data = prepare(table, config)
    manifest = manifest_of(config, table, data)
    engine = Recorder()
    verdicts = Detector(manifest, engine).score(values[130:], table.datetimes[130:])
    windows = data.parts["calibration"].windows
    assert np.stack(engine.windows).tobytes() == windows.tobytes()
    assert verdicts.scored.sum() == len(windows) < 70 - 3  # some were lost to the holes and the gap


def with_pauses(values, every=50, rows=10):
    """The pump is off for the first `rows` of `every` rows: no flow, and a pressure it never has otherwise."""
    values = values.copy()
    values[np.arange(len(values)) % every < rows] = (0, 99)
    return values


def test_readings_outside_the_operating_state_are_left_out(make_normal):
    """They shape neither the scaling nor the windows, and no window reaches across a pause or into the time to settle."""
    values = make_normal(400)
    rule = Operating("c0 > 5", settle_s=120)
    data = prepare(make_table(with_pauses(values)), replace(make_config(), operating=rule))
    fit = values[:280][np.arange(280) % 50 >= 12]
    np.testing.assert_allclose(data.scaling.center, fit.mean(axis=0))
    np.testing.assert_allclose(data.scaling.scale, fit.std(axis=0))
    pieces = [38] * 5 + [18]  # of the fit part
    assert len(data.parts["fit"].windows) == sum(rows - 3 for rows in pieces)
    assert np.abs(data.parts["fit"].windows).max() < 5
    assert (data.parts["calibration"].rows, data.parts["calibration"].rows_off) == (60, 14)
    stream = longest_stream(data.parts["calibration"], 100)
    assert len(stream.times) == 38
    assert stream.values[:, 0].min() > 5


def test_too_few_rows_for_a_model_that_is_computed(make_normal):
    """It has no parts, so no larger share is called for."""
    config = replace(make_config(), model=LinearAutoencoder("linear_autoencoder"))
    with pytest.raises(
        TrainingError,
        match=r"^readings.csv: expected at least 23 unbroken rows .* got 20 rows with 17 windows: use more readings or a shorter window$",
    ):
        prepare(make_table(make_normal(20)), config)


def test_the_stream_begins_with_what_switched_the_machine_on(make_normal):
    """With two levels a machine that runs is on, but nobody who begins to look between them can know it."""
    values = make_normal(400)
    values[::40] = (0, 6)
    values[1::40] = (90, 6)
    config = replace(make_config(), operating=Operating("c0 > 80", "c0 < 5", settle_s=120))
    data = prepare(make_table(values), config)
    stream = longest_stream(data.parts["calibration"], 20)
    assert stream.values[0].tolist() == [90, 6]
    assert stream.values[1:, 0].max() < 80
    assert len(stream.times) == len(stream.values) == 20
    _, in_state = Preparation(data.sections).usable(stream.values, stream.times)
    assert in_state[2:].all()


def test_a_rule_that_never_holds_is_refused(make_normal):
    """With the part, the rule and what the readings were."""
    values = with_pauses(make_normal(200), every=1000)
    config = replace(make_config(), operating=Operating("c0 > 50 and c1 < 1e3"))
    with pytest.raises(
        TrainingError,
        match=r"readings.csv: the fit part: expected rows in which operating.when = 'c0 > 50 and c1 < 1e3' holds, "
        r"got none in 140 rows: c0 goes from 0 to 2\d\.\d+, c1 goes from 5\.\d+ to 99",
    ):
        prepare(make_table(values), config)
    values[100:, 0] = 0
    rule = Operating("c0 > 5", settle_s=60)
    with pytest.raises(
        TrainingError, match=r"the early_stopping part: .* 'c0 > 5' holds and has held for 60 s, got none"
    ):
        prepare(make_table(values), replace(make_config(), operating=rule))


def test_too_few_rows_in_the_state_are_refused(make_normal):
    """The message says how many of the part's rows are off."""
    config = replace(make_config(), operating=Operating("c0 > 5"))
    with pytest.raises(TrainingError, match=r"calibration part: .* got 30 rows, 20 of them off, with 7 windows"):
        prepare(make_table(with_pauses(make_normal(200), every=40, rows=30)), config)


def test_a_rule_on_an_unknown_channel_is_refused(make_normal):
    """Also where the channels are whatever the table has."""
    config = replace(make_config(), operating=Operating("current > 0.5"))
    with pytest.raises(TrainingError, match=r"readings.csv: operating.when: unknown channel 'current', known: c0, c1"):
        prepare(make_table(make_normal(200)), config)


def test_medians_are_those_of_the_fit_part(make_normal):
    """Of what the device would take: valid, in state, not interpolated beyond what was asked; hand-written ones are kept."""
    values = with_pauses(make_normal(400))
    values[20, 1] = np.nan
    config = replace(make_config(), cleaning=Cleaning(missing="median"), operating=Operating("c0 > 5"))
    fit = values[:280][np.arange(280) % 50 >= 10]
    found = prepare(make_table(values), config).sections.cleaning
    np.testing.assert_allclose(found.medians, np.nanmedian(fit, axis=0))
    assert (found.missing, found.hold_limit) == ("median", 2)
    config = replace(config, cleaning=Cleaning(missing="median", medians=(1.0, 2.0)))
    assert prepare(make_table(values), config).sections.cleaning == config.cleaning


def test_stuck_limits_follow_the_longest_repeat(make_normal):
    """Of the fit part, with the machine in its state; a channel's own limit is kept, and no limit is below the window."""
    values = with_pauses(make_normal(400))
    values[20:26, 1] = 6.0
    values[23, 1] = np.nan
    values[300:330, 1] = 6.0  # not in the fit part
    config = replace(make_config(), sensors=Sensors(stuck_factor=3.5), operating=Operating("c0 > 5"))
    channels = prepare(make_table(values), config).sections.channels
    assert [channel.stuck_after for channel in channels] == [4, 18]  # 3.5 x 5 readings, rounded up
    own = prepare(make_table(values), config, [Channel("c0"), Channel("c1", stuck_after=9)]).sections.channels
    assert [channel.stuck_after for channel in own] == [4, 9]
    config = replace(config, sensors=Sensors())
    assert [channel.stuck_after for channel in prepare(make_table(values), config).sections.channels] == [None, None]


def test_faulty_sensors_shape_no_scaling(make_normal):
    """Values from a stuck sensor, and those that changed too fast, are left out of what the scaling is fitted to."""
    values = make_normal(200)
    expected = values[:140].copy()
    values[30:40, 0] = 60.0
    values[50, 1] = 100.0
    expected[30:40, 0] = expected[50, 1] = np.nan
    channels = [Channel("c0", stuck_after=3), Channel("c1", max_rate=0.1)]
    scaling = prepare(make_table(values), channels=channels).scaling
    expected[30:32, 0] = 60.0  # before it was known
    np.testing.assert_allclose(scaling.center, np.nanmean(expected, axis=0))


def test_short_holes_are_interpolated_before_fitting(make_normal):
    """In the fit and the early-stopping part; the calibration part is prepared as on the device."""
    values = make_normal(200)
    values[[20, 21, 22, 150, 151, 152, 180, 181, 182], 0] = np.nan
    plain, config = make_config(), make_config(interpolate=3)
    before, after = prepare(make_table(values), plain), prepare(make_table(values), config)
    lost = {name: len(after.parts[name].windows) - len(before.parts[name].windows) for name in PARTS}
    assert lost == {"fit": 4, "early_stopping": 4, "calibration": 0}
    line = after.parts["fit"].windows[20, :, 0] * after.scaling.scale[0] + after.scaling.center[0]
    assert np.diff(line).tolist() == pytest.approx([(values[23, 0] - values[19, 0]) / 4] * 3, rel=1e-4)
    assert np.isnan(longest_stream(after.parts["calibration"], 30).values[[10, 11, 12], 0]).all()


def test_irregular_readings_are_learned_from_the_grid(make_normal):
    """The scaling is fitted to the grid's rows, the windows are those of a detector, pauses are left out as ever."""
    rows = np.repeat(with_pauses(make_normal(400)), 2, axis=0)
    rows[1::2] += 1.0
    minutes = (2 * np.arange(800) + np.arange(800) % 3 / 4) / 4  # two readings a minute, at odd moments
    grid = Sampling(60, 180, Grid("mean"))
    config = replace(make_config(), sampling=grid, operating=Operating("c0 > 5"))
    table = make_table(rows, np.arange(800))
    table.times[:] = table.times[0] + np.round(minutes * MINUTE).astype(np.int64)
    data = prepare(table, config)
    fit = slice(0, 560)
    collected = GridRows(grid.grid, grid, config.cleaning, 2, 1)
    pairs = zip(table.values[fit].tolist(), table.times[fit].tolist(), strict=True)
    means = np.array([row.values for pair in pairs for row in collected.step(0, *pair)])
    assert len(means) == 279
    np.testing.assert_allclose(data.scaling.center, means[means[:, 0] > 5].mean(axis=0))
    windows, _, _ = Preparation(data.sections).windows_of(table.values[680:], table.times[680:])
    assert data.parts["calibration"].windows.tobytes() == windows.tobytes()
    assert len(windows) > 30
    stream = longest_stream(data.parts["calibration"], 1000)
    assert 70 < len(stream.times) < 84


def test_constant_channel_is_refused():
    """A channel that does not vary is named."""
    values = np.column_stack((np.arange(100.0), np.full(100, 2.5)))
    with pytest.raises(TrainingError, match=r"channel 'c1': expected readings that vary, got 2\.5 in all 70 rows"):
        prepare(make_table(values))


def test_a_constant_channel_with_a_resolution_is_taken(make_normal):
    """Its scale is the resolution; so it is for one that hardly varies, but not for one that is no input."""
    rng = np.random.default_rng(2)
    values = np.column_stack((make_normal(200)[:, 0], np.full(200, 2.5), rng.normal(0, 1e-6, 200)))
    channels = (Channel("c0", resolution=1e-3), Channel("c1", resolution=0.5), Channel("c2", resolution=0.1))
    data = prepare(make_table(values), channels=channels)
    assert data.scaling.scale[0] == prepare(make_table(values[:, :1])).scaling.scale[0]
    assert data.scaling.scale[1:] == (0.5, 0.1)
    assert not data.parts["fit"].windows[:, :, 1].any()
    assert np.abs(data.parts["fit"].windows[:, :, 2]).max() < 1e-4


def test_all_missing_is_refused():
    """A channel without a single reading is named, with the file."""
    values = np.column_stack((np.arange(100.0), np.full(100, np.nan)))
    with pytest.raises(TableError, match=r"readings.csv: expected readings for c1, got none: all 100 rows"):
        prepare(make_table(values))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (8, "the early_stopping part: expected at least 4 unbroken rows for one window, got 1 rows with 0 windows"),
        (
            60,
            "the calibration part: expected at least 23 unbroken rows for the 20 windows that a threshold of the kind "
            "percentile needs, got 9",
        ),
    ],
)
def test_too_few_rows_are_refused(make_normal, rows, message):
    """A part with too few rows is named, with how many are needed and how many there are."""
    with pytest.raises(TrainingError, match=message):
        prepare(make_table(make_normal(rows)))


@pytest.mark.parametrize(
    "rule", [PercentileRule(), SigmaRule("sigma"), TailRule("evt"), BudgetRule("budget", 1.0)], ids=str
)
def test_how_many_rows_are_enough_depends_on_the_rule(make_normal, rule):
    """Said before anything is trained: one window fewer than the rule needs is refused by its name."""
    config = replace(make_config(shares=Shares(0.25, 0.25, 0.5)), threshold=rule)
    rows = 2 * (rule.fewest_scores + 3)
    assert len(prepare(make_table(make_normal(rows)), config).parts["calibration"].windows) == rule.fewest_scores
    with pytest.raises(
        TrainingError, match=f"for the {rule.fewest_scores} windows that a threshold of the kind {rule.kind} needs"
    ):
        prepare(make_table(make_normal(rows - 2)), config)


@pytest.mark.parametrize("stride", [1, 2, 3])
def test_where_the_windows_begin_anew_is_known(make_normal, stride):
    """After a gap, after an interval left out, and at the start of a part; with a stride too."""
    minutes = np.arange(400) + 60 * (np.arange(400) >= 100)
    exclude = (Exclusion(START + timedelta(minutes=20), START + timedelta(minutes=29)),)
    data = prepare(make_table(make_normal(400), minutes), make_config(stride=stride, exclude=exclude))
    first, second = -(-17 // stride), -(-67 // stride)  # 20 rows before the interval, 70 between it and the gap
    assert np.flatnonzero(data.parts["fit"].begins).tolist() == [0, first, first + second]
    for name in PARTS[1:]:
        assert np.flatnonzero(data.parts[name].begins).tolist() == [0]


def test_exactly_enough_rows_are_taken(make_normal):
    """A part of exactly as many rows as are needed is enough."""
    shares = Shares(0.7, 0.07, 0.23)
    parts = prepare(make_table(make_normal(100)), make_config(shares=shares)).parts
    assert [len(part.windows) for part in parts.values()] == [67, 4, 20]


def test_nothing_between_start_and_end_is_refused(make_normal):
    """If the configured times miss the readings, the message says when the readings are."""
    with pytest.raises(TrainingError, match=r"got none: the 50 rows go from 2024-01-01T00:00:00\+00:00 to"):
        prepare(make_table(make_normal(50)), make_config(start=START + timedelta(days=1)))


def test_stream_is_the_last_of_the_longest_stretch(make_normal):
    """The kept stream does not reach across an excluded interval, and has no more rows than asked for."""
    exclude = (Exclusion(START + timedelta(minutes=180), START + timedelta(minutes=180)),)
    table = make_table(make_normal(200))
    part = prepare(table, make_config(exclude=exclude, shares=Shares(0.4, 0.3, 0.3))).parts["calibration"]
    assert [len(stretch.times) for stretch in part.stretches] == [41, 19]
    stream = longest_stream(part, 25)
    assert stream.times.tolist() == table.times[155:180].tolist()
    assert stream.values.tolist() == table.values[155:180].tolist()


def test_files_are_joined_in_order(workshop, make_normal):
    """Two files read as one give what one file with all rows gives."""
    values = make_normal(240)
    workshop.write_readings("a.csv", values=values[:100])
    workshop.write_readings("b.csv", values=values[100:], first_row=100)
    config = load_config(workshop.write_config(('["readings.csv"]', '["a.csv", "b.csv"]')))
    joined, sha256 = read_files(config, workshop.folder)
    whole, _ = read_files(load_config(workshop.write_config()), workshop.folder)
    assert joined.values.tobytes() == whole.values.tobytes()
    assert joined.times.tobytes() == whole.times.tobytes()
    assert list(sha256) == ["a.csv", "b.csv"]
    assert len(set(sha256.values())) == 2


def test_files_out_of_order_are_refused(workshop, make_normal):
    """Times must rise over the border of two files as well."""
    workshop.write_readings("a.csv", values=make_normal(50), first_row=49)
    workshop.write_readings("b.csv", values=make_normal(50))
    config = load_config(workshop.write_config(('["readings.csv"]', '["b.csv", "a.csv"]')))
    with pytest.raises(TableError, match=r"a.csv: expected readings after 2024-01-01T00:49:00.*, the last of .*b.csv"):
        read_files(config, workshop.folder)


def test_without_configured_channels_all_files_have_the_first_ones(workshop, make_normal):
    """A column that only the second file has is refused, not dropped; configured channels leave others out."""
    workshop.write_readings("a.csv", values=make_normal(50))
    more = np.column_stack((make_normal(50), np.arange(50.0)))
    workshop.write_readings("b.csv", values=more, first_row=50, channels=("flow", "pressure", "speed"))
    files = ('["readings.csv"]', '["a.csv", "b.csv"]')
    with pytest.raises(TableError, match=r"b\.csv: .*got one more: 'speed'"):
        read_files(load_config(workshop.write_config(files)), workshop.folder)
    chosen = ("[fit]", '[[channels]]\nname = "pressure"\n[fit]')
    table, _ = read_files(load_config(workshop.write_config(files, chosen)), workshop.folder)
    assert table.channels == ("pressure",)
    assert table.values.shape == (100, 1)


DERIVED = (Derived("rolling_std", "c0", 4), Derived("time_of_day"), Derived("rate", "c1"))


def test_derived_inputs_are_scaled_by_what_the_device_derives(make_normal):
    """Center and scale are those of the values within each stretch of the fit part; the time of day keeps its own measure."""
    values = make_normal(200)
    values[50, 0] = np.nan  # held
    exclude = (Exclusion(START + timedelta(minutes=69.5), START + timedelta(minutes=79.5)),)
    config = replace(make_config(exclude=exclude), derived=DERIVED, scaling=ScalingRule("standard", 8.0))
    scaling = prepare(make_table(values), config).scaling

    held = values.copy()
    held[50, 0] = held[49, 0]
    spreads, rates = [], []
    for rows in (range(70), range(80, 143)):  # 133 of the 190 rows that are used
        for end in rows[3:]:
            spreads.append(held[end - 3 : end + 1, 0].std())
            rates.append((held[end, 1] - held[end - 1, 1]) / 60)
    assert scaling.clip == 8.0
    assert scaling.center[2:] == pytest.approx((np.mean(spreads), 0, 0, np.mean(rates)))
    assert scaling.scale[2:] == pytest.approx((np.std(spreads), 1, 1, np.std(rates)))
    of_channels = prepare(make_table(values), make_config(exclude=exclude)).scaling
    assert (scaling.center[:2], scaling.scale[:2]) == (of_channels.center, of_channels.scale)


@pytest.mark.parametrize("is_input", [True, False])
def test_training_and_serving_derive_identically(make_normal, is_input):
    """As above, bit for bit, with derived inputs, a clip, and with or without the channels themselves."""
    values = make_normal(200)
    values[[175, 176, 180], 0] = np.nan
    values[184:188, 1] = np.nan
    table = make_table(values)
    channels = tuple(Channel(f"c{i}", is_input=is_input) for i in range(2))
    config = replace(
        make_config(shares=Shares(0.5, 0.15, 0.35)),
        derived=DERIVED,
        channels=channels,
        scaling=ScalingRule("robust", 0.5),
    )
    data = prepare(table, config, channels)
    engine = Recorder()
    Detector(manifest_of(config, table, data), engine).score(values[130:], table.datetimes[130:])
    windows = data.parts["calibration"].windows
    assert np.stack(engine.windows).tobytes() == windows.tobytes()
    assert windows.shape[2] == 4 + 2 * is_input
    assert np.abs(windows).max() == 0.5


@pytest.mark.parametrize("family", ["lstm_autoencoder", "linear_autoencoder"])
def test_everything_at_once_is_prepared_identically(make_normal, family):
    """Operating state, limits, medians, a grid, and inputs derived from all that: a detector with what was found makes the windows."""
    values = np.repeat(make_normal(300), 2, axis=0)
    values[1::2] += 0.5
    values[np.arange(600) % 150 < 30, 0] = 0.0  # off
    values[[100, 101, 480, 481, 520], 1] = np.nan
    values[[60, 500], 0] = 1e6
    table = make_table(values, np.arange(600))
    table.times[:] = table.times[0] + np.arange(600) * MINUTE // 2
    channels = (Channel("c0", high=100.0), Channel("c1", is_input=False))
    config = replace(
        make_config(shares=Shares(0.5, 0.15, 0.35)),
        model=make_config().model if family == "lstm_autoencoder" else LinearAutoencoder(family),
        channels=channels,
        sampling=Sampling(60, 180, Grid("mean")),
        cleaning=Cleaning(missing="median"),
        operating=Operating("c0 > 5", settle_s=60),
        sensors=Sensors(stuck_factor=5),
        derived=(Derived("rolling_std", "c1", 3), Derived("time_of_day", harmonics=2), Derived("difference", "c0")),
    )
    data = prepare(table, config, channels)
    assert data.sections.cleaning.medians is not None
    assert data.sections.channels[0].stuck_after is not None
    engine = Recorder()
    m = replace(
        manifest_of(config, table, data),
        channels=data.sections.channels,
        cleaning=data.sections.cleaning,
        operating=config.operating,
        sensors=config.sensors,
    )
    (stretch,) = data.last.stretches
    verdicts = Detector(m, engine).score(stretch.values, stretch.times.view("datetime64[us]"))
    assert np.stack(engine.windows).tobytes() == data.last.windows.tobytes()
    assert len(data.last.windows) == len(data.last.begins) == verdicts.scored.sum()
    assert data.last.windows.shape[2] == len(m.input_names) == 7
    assert 0 < data.last.rows_off < data.last.rows
    assert data.last.begins.sum() > 1


def test_the_longest_stretch_is_that_with_the_most_to_learn(make_normal):
    """Not the one in which the machine is mostly off."""
    values = make_normal(600)
    values[455:545, 0] = 0.0
    exclude = (Exclusion(START + timedelta(minutes=549.5), START + timedelta(minutes=550.5)),)
    shares = Shares(0.5, 0.25, 0.25)
    plain = prepare(make_table(values), make_config(shares=shares, exclude=exclude)).last
    config = replace(make_config(shares=shares, exclude=exclude), operating=Operating("c0 > 5"))
    judged = prepare(make_table(values), config).last
    assert [len(stretch.times) for stretch in judged.stretches] == [101, 49]
    assert plain.longest is plain.stretches[0]
    assert judged.longest is judged.stretches[1]


def test_a_median_of_nothing_is_refused(make_normal):
    """Of a channel that is no input and says nothing in the fit part."""
    values = make_normal(200)
    values[:150, 1] = np.nan
    channels = (Channel("c0"), Channel("c1", is_input=False))
    config = replace(make_config(), channels=channels, cleaning=Cleaning(missing="median"))
    with pytest.raises(
        TrainingError, match="the fit part: channel 'c1': expected readings to take the median of, got none"
    ):
        prepare(make_table(values), config, channels)


def test_a_constant_channel_that_is_no_input_is_no_fault(make_normal):
    """What is derived from it must vary."""
    values = np.column_stack((make_normal(200)[:, 0], np.full(200, 2.5)))
    channels = (Channel("c0"), Channel("c1", is_input=False))
    assert len(prepare(make_table(values), replace(make_config(), channels=channels), channels).scaling.center) == 1
    config = replace(make_config(), channels=channels, derived=(Derived("rolling_std", "c1", 3),))
    with pytest.raises(TrainingError, match=r"channel 'c1\.rolling_std_3': expected readings that vary, got 0 in all"):
        prepare(make_table(values), config, channels)


def test_too_few_rows_for_what_is_derived(make_normal):
    """The message counts the readings that pass before a derived value is there."""
    config = replace(make_config(), derived=(Derived("rolling_std", "c0", 40),))
    with pytest.raises(TrainingError, match="expected at least 43 unbroken rows for one window"):
        prepare(make_table(make_normal(200)), config)


def test_derived_from_no_channel_is_refused(make_normal):
    """With the table and its channels."""
    table = make_table(make_normal(20))
    config = replace(make_config(), derived=(Derived("rate", "flow"),))
    with pytest.raises(
        InputError, match=r"readings.csv: expected rate of one of the channels \['c0', 'c1'\], got 'flow'"
    ):
        describe_channels(config, table)


WAVEFORM = Waveform(1000.0, 16, {"b1": "g"}, features=("rms", "kurtosis"))


def test_raw_snapshots_are_read_as_their_features(workshop):
    """From an npz file and a folder, in order of time; what is said of a feature is kept, its unit is the waveform's."""
    samples = np.random.default_rng(1).normal(0, 1, (4, 16, 1))
    np.savez(workshop.folder / "a.npz", time=1.7e9 + np.arange(2), samples=samples[:2])
    (workshop.folder / "b").mkdir()
    for minute, snapshot in enumerate(samples[2:]):
        lines = ["b1", *map(repr, snapshot[:, 0].tolist())]
        (workshop.folder / "b" / f"2024-01-01T00-{minute:02}-00.csv").write_text("\n".join(lines))
    said = (Channel("kurtosis_b1", low=-3.0),)
    config = replace(make_config(), waveform=WAVEFORM, channels=said, data=Data(("a.npz", "b")))
    table, sha256 = read_files(config, workshop.folder)
    assert table.values[:, 0] == pytest.approx(np.sqrt(np.mean(samples[:, :, 0] ** 2, axis=1)))
    assert describe_channels(config, table) == (Channel("rms_b1", "g"), Channel("kurtosis_b1", "1", low=-3.0))

    assert list(sha256) == ["a.npz", "b"]
    file = workshop.folder / "b" / "2024-01-01T00-01-00.csv"
    file.write_text(file.read_text().replace("b1", "b1 "))
    assert read_files(config, workshop.folder)[1]["b"] != sha256["b"]

    wrong = replace(config, channels=(Channel("rms_b2"),))
    with pytest.raises(InputError, match=r"expected channels of the waveform \(rms_b1, kurtosis_b1\), got 'rms_b2'"):
        describe_channels(wrong, table)
    with pytest.raises(TableError, match=r"a\.npz: expected a table of readings, got snapshots, but no waveform"):
        read_files(replace(config, waveform=None, channels=None), workshop.folder)
