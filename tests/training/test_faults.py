"""Made-up faults: what they change, what they leave alone, and the labels that say which is which."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from edge_runtime.errors import TrainingError
from training.faults import FAULTS, disturb, faults_for, inject

SPREAD = (0.5, 20.0, 3.0)


def make_windows(count=200):
    return np.random.default_rng(1).normal(size=(count, 8, 3)) * SPREAD


def make_stream(rows=400):
    rng = np.random.default_rng(1)
    season = np.sin(2 * np.pi * np.arange(rows) / 24)[:, None]
    return (season + 0.2 * rng.normal(size=(rows, 3))) * SPREAD


def put(name, seed=2, values=None, **options):
    """A stream with faults of 12 readings and at least 20 normal ones between."""
    values = make_stream() if values is None else values
    return inject(values, SPREAD, np.random.default_rng(seed), name, **{"duration": 12, "between": 20, **options})


@pytest.mark.parametrize("name", FAULTS)
def test_stream_changes_only_where_it_is_labelled(name):
    """Outside of the labelled channels and rows every reading stays as it was to the last bit, and the input is not touched."""
    values = make_stream()
    before = values.copy()
    stream = put(name, values=values)
    assert (values == before).all()
    assert (stream.values[~stream.channel_labels] == values[~stream.channel_labels]).all()
    assert (stream.labels == stream.channel_labels.any(axis=1)).all()
    assert stream.channel_labels.sum(axis=1).max() == 1


@pytest.mark.parametrize("name", FAULTS)
def test_every_labelled_fault_is_there(name):
    """Each fault changes its own rows; most of them too, but for those that leave some readings as they are by nature."""
    values, stream = make_stream(), put(name, size=4.0)
    shares = []
    for each in stream.faults:
        change = stream.values[each.start : each.stop, each.channel] - values[each.start : each.stop, each.channel]
        assert change.any()
        shares.append(np.mean(change != 0))
    assert np.mean(shares) > (0.3 if name == "dropped" else 0.9)


@pytest.mark.parametrize("name", FAULTS)
def test_duration_and_normal_time_between(name):
    """Faults last as long as stated (a point: one reading) with at least the stated normal time before, between and after."""
    stream = put(name)
    length = 1 if FAULTS[name].kind == "point" else 12
    assert len(stream.faults) == (400 - 20) // 32
    edges = [0, *(edge for each in stream.faults for edge in (each.start, each.stop)), 400]
    assert {each.stop - each.start for each in stream.faults} == {length}
    assert min(np.diff(edges)[::2]) >= 20
    assert stream.labels.sum() == length * len(stream.faults)
    assert {each.channel for each in stream.faults} <= {0, 1, 2}


@pytest.mark.parametrize("name", FAULTS)
def test_same_seed_same_stream(name):
    """The seed decides everything; another seed gives another stream."""
    first, again, other = (put(name, seed) for seed in (3, 3, 4))
    assert first.values.tobytes() == again.values.tobytes() != other.values.tobytes()
    assert first.faults == again.faults != other.faults


@pytest.mark.parametrize("name", FAULTS)
def test_size_zero_vanishes_where_the_table_says_so(name):
    """A fault of size 0 leaves the readings as they are, but for those that are a fault at any size."""
    changed = (put(name, size=0.0).values != make_stream()).any()
    assert changed == (not FAULTS[name].vanishes)


@pytest.mark.parametrize("name", FAULTS)
def test_missing_readings_stay_missing_and_are_not_labelled(name):
    """A reading that was never taken cannot be faulty, and a fault brings no new gaps, with a hole in every channel."""
    values = make_stream()
    values[np.random.default_rng(7).random(values.shape) < 0.3] = np.nan
    values[100:160, 1] = np.nan
    stream = put(name, values=values, size=4.0)
    assert (np.isnan(stream.values) == np.isnan(values)).all()
    assert not (stream.channel_labels & np.isnan(values)).any()
    assert stream.labels.any()


@pytest.mark.parametrize("name", [name for name, fault in FAULTS.items() if fault.kind == "contextual"])
def test_contextual_faults_stay_within_the_normal_range(name):
    """What is odd about a contextual fault is where it is, not its value: no reading leaves its channel's range."""
    values, stream = make_stream(), put(name, size=10.0)
    assert (stream.values >= values.min(axis=0)).all()
    assert (stream.values <= values.max(axis=0)).all()


def test_kinds_cover_all_three():
    """There are faults of each kind."""
    assert {fault.kind for fault in FAULTS.values()} == {"point", "contextual", "collective"}


def test_sizes_are_in_spreads_between_the_given_ones():
    """A shift by s spreads moves each channel by s of its own; two numbers are the range that sizes are drawn from."""
    values = make_stream()
    for size, least, most in ((2.0, 2.0, 2.0), ((1.0, 5.0), 1.0, 5.0)):
        stream = put("level_shift", size=size)
        moved = np.abs(stream.values - values) / SPREAD
        found = moved[stream.channel_labels]
        assert found.min() >= least - 1e-9
        assert found.max() <= most + 1e-9
    assert found.std() > 0.5


def test_broken_correlation_is_the_channel_at_another_time():
    """The faulty readings are the same channel's readings of some other, not overlapping, time in a row; the others stay."""
    values, stream = make_stream(), put("broken_correlation")
    for each in stream.faults:
        found = stream.values[each.start : each.stop, each.channel]
        ring = np.concatenate((values[:, each.channel], values[:11, each.channel]))
        places = [row for row in range(400) if (ring[row : row + 12] == found).all()]
        assert len(places) == 1
        assert 12 <= abs(places[0] - each.start) <= 388


def test_lost_season_flattens():
    """With the whole swing lost the readings lie on the mean of the time around."""
    series = np.sin(2 * np.pi * np.arange(240) / 24)
    flat = FAULTS["lost_season"](series, 96, 5.0, np.random.default_rng(0), 144)
    assert flat[96:144] == pytest.approx(np.zeros(48), abs=1e-9)
    half = FAULTS["lost_season"](series, 96, 0.5, np.random.default_rng(0), 144)
    assert np.abs(half[96:144]).max() == pytest.approx(0.5)


def test_clipped_cuts_the_peaks_on_one_side():
    """A positive size cuts off the top by so much, a negative one the bottom."""
    series = np.array([0.0, 1, 5, 3, -4, 2])
    assert FAULTS["clipped"](series, 1, 3.0, np.random.default_rng(0))[1:].tolist() == [1, 2, 2, -4, 2]
    assert FAULTS["clipped"](series, 1, -3.0, np.random.default_rng(0))[1:].tolist() == [1, 5, 3, -1, 2]


def test_out_of_place_moves_to_the_farther_end():
    """A low reading rises and a high one falls, up to the end of the range."""
    series = np.array([0.0, 10, 1, 9, 6])
    moved = FAULTS["out_of_place"](series, 2, -4.5, np.random.default_rng(0))
    assert moved.tolist() == [0, 10, 5.5, 4.5, 1.5]
    assert FAULTS["out_of_place"](series, 2, 50.0, np.random.default_rng(0)).tolist() == [0, 10, 10, 0, 0]


def test_channels_that_do_not_vary_are_left_alone():
    """A spread of 0 keeps faults out of a channel."""
    stream = inject(make_stream(), (0.5, 0.0, 0.0), np.random.default_rng(0), duration=5, between=5)
    assert {each.channel for each in stream.faults} == {0}
    assert {each.fault for each in stream.faults} == set(FAULTS)


def test_one_channel_has_no_correlation_to_break():
    """With one channel the faults that need several are left out of the turns, and refused by name."""
    assert set(FAULTS) - set(faults_for(1)) == {"broken_correlation"}
    stream = inject(make_stream()[:, :1], SPREAD[:1], np.random.default_rng(0), duration=5, between=5)
    assert {each.fault for each in stream.faults} == set(faults_for(1))
    with pytest.raises(TrainingError, match="expected channels for the fault broken_correlation, got 1, 1 of which"):
        inject(make_stream()[:, :1], SPREAD[:1], np.random.default_rng(0), "broken_correlation")
    with pytest.raises(TrainingError, match="got 3, 0 of which vary"):
        inject(make_stream(), (0, 0, 0), np.random.default_rng(0))


def test_too_few_rows_say_how_many():
    """A stream with room for exactly one fault has one; a row less is refused with the number needed."""
    assert len(put("drift", values=make_stream(52)).faults) == 1
    with pytest.raises(TrainingError, match="expected at least 52 rows for one fault, got 51"):
        put("drift", values=make_stream(51))


@pytest.mark.parametrize("name", FAULTS)
def test_fault_disturbs_one_channel(name):
    """Exactly one channel of each window changes, by an amount that fits its spread, and the input stays as it is."""
    windows = make_windows()
    before = windows.copy()
    change = disturb(windows, SPREAD, np.random.default_rng(2), name) - windows
    assert (windows == before).all()
    assert ((change != 0).any(axis=1).sum(axis=1) == 1).all()
    sizes = np.abs(change).max(axis=1) / SPREAD
    assert sizes.max() < 50
    assert np.median(sizes.max(axis=1)) > 1


SHAPES = {  # of a window of zeros: what comes from the onset, at step 2, on
    "spike": [6, 0, 0, 0],
    "level_shift": [6, 6, 6, 6],
    "drift": [1.5, 3, 4.5, 6],
    "stuck": [7, 7, 7, 7],
}


@pytest.mark.parametrize(("name", "expected"), SHAPES.items())
def test_shape_of_a_fault(name, expected):
    """Before the onset nothing changes; after it each fault has its own shape."""
    series = np.ones(6) * [1, 1, 1, 0, 0, 0] if name == "stuck" else np.zeros(6)
    disturbed = FAULTS[name](series, 2, 6.0, np.random.default_rng(0))
    assert disturbed[:2].tolist() == series[:2].tolist()
    assert disturbed[2:] == pytest.approx(expected)


def test_noise_scatters_from_the_onset_on():
    """Noise leaves the readings before the onset alone and scatters the others around theirs."""
    change = FAULTS["noise"](np.zeros(4_000), 1_000, -2.0, np.random.default_rng(0))
    assert not change[:1_000].any()
    assert change[1_000:].std() == pytest.approx(2, rel=0.05)
    assert change[1_000:].mean() == pytest.approx(0, abs=0.2)


def test_dropped_falls_to_one_value():
    """About half of the readings, the first among them, fall to one value below all others."""
    series = np.random.default_rng(3).normal(size=2_000)
    dropped = FAULTS["dropped"](series, 1_000, 2.0, np.random.default_rng(0))
    fell = dropped[1_000:] != series[1_000:]
    assert fell[0]
    assert fell.mean() == pytest.approx(0.5, abs=0.05)
    assert set(dropped[1_000:][fell]) == {series.min() - 2.0}


def test_faults_take_turns_and_repeat_with_the_seed():
    """Without a name the faults take turns; the same seed gives the same windows, another one others."""
    windows = make_windows(10)
    first, again, other = (disturb(windows, SPREAD, np.random.default_rng(seed)) for seed in (3, 3, 4))
    assert first.tobytes() == again.tobytes() != other.tobytes()
    touched = ((first - windows) != 0).any(axis=2).sum(axis=1)
    assert touched[0] == touched[5] == 1  # the spikes


PAGE = (Path(__file__).parents[2] / "docs" / "faults.md").read_text()


@pytest.mark.parametrize("name", FAULTS)
def test_page_has_every_fault_with_its_kind(name):
    """The documentation's table is the code's."""
    assert f"| `{name}` | {FAULTS[name].kind} |" in PAGE


def test_example_of_the_page_runs():
    """The page's Python gives what its comments say."""
    (block,) = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    names = {}
    exec(block, names)  # noqa: S102 - the page's own code
    stream = names["stream"]
    assert stream.values.shape == stream.channel_labels.shape == (1000, 3)
    assert stream.labels.shape == (1000,)
    assert len(stream.faults) == (1000 - 60) // 90
