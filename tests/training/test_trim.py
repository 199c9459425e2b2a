"""Fitting again without the windows that a first fit gets most wrong."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from training import read_run, train
from training.cli import describe
from training.config import Fit, LinearAutoencoder
from training.trim import MOST_INTERVALS, Dropped, describe_dropped, fit_trimmed, mean_squares

LENGTH = 8
LINEAR = LinearAutoencoder("linear_autoencoder", components=4)


def make_readings(rows, rng, faulty_size, faulty_times):
    """A made-up machine (rows, 3) that scatters by `faulty_size` for six readings now and then; and when it does (rows,)."""
    phase = 2 * np.pi * np.arange(rows) / 17 + rng.uniform(0, 6)
    values = np.column_stack((np.sin(phase), np.cos(phase), np.sin(phase + 1))) + rng.normal(0, 0.1, (rows, 3))
    is_faulty = np.zeros(rows, np.bool_)
    for start in rng.integers(0, rows - 6, faulty_times):
        is_faulty[start : start + 6] = True
    values[is_faulty] += rng.normal(0, faulty_size, (is_faulty.sum(), 3))
    return values, is_faulty


def windows_of(values, is_faulty):
    starts = range(len(values) - LENGTH + 1)
    windows = np.stack([values[i : i + LENGTH] for i in starts]).astype(np.float32)
    return windows, np.array([is_faulty[i : i + LENGTH].any() for i in starts])


@pytest.fixture(scope="module")
def contaminated():
    """Fit windows of which 6 % hold a fault, held-out normal ones, and test windows with small faults and their labels."""
    rng = np.random.default_rng(0)
    fit_windows, is_faulty = windows_of(*make_readings(2_000, rng, 20.0, 9))
    held_out, _ = windows_of(*make_readings(400, rng, 0.0, 0))
    test, labels = windows_of(*make_readings(2_000, rng, 0.25, 20))
    return fit_windows, is_faulty, held_out, test, labels


def test_trimming_helps_on_contaminated_data(contaminated):
    """Faults in the fit part make the model worse at finding others; without the windows that hold them it is as good again."""
    windows, is_faulty, held_out, test, labels = contaminated
    assert 0.04 < is_faulty.mean() < 0.08
    found = {}
    for trim in (0.0, 0.1):
        fitted, dropped = fit_trimmed(LINEAR, Fit(trim=trim), 1, windows, held_out)
        found[trim] = average_precision_score(labels, mean_squares(fitted.model, test))
    clean, _ = fit_trimmed(LINEAR, Fit(), 1, windows[~is_faulty], held_out)
    best = average_precision_score(labels, mean_squares(clean.model, test))
    assert found[0.1] > found[0.0] + 0.05
    assert found[0.1] > best - 0.02
    assert dropped.is_dropped[is_faulty].all()


def test_the_stated_share_with_the_largest_residuals_goes(contaminated):
    """Exactly the share is dropped, and no window that stays has a larger residual than one that goes."""
    windows, _, held_out, _, _ = contaminated
    _, dropped = fit_trimmed(LINEAR, Fit(trim=0.1), 1, windows, held_out)
    assert dropped.is_dropped.sum() == round(0.1 * len(windows))
    assert dropped.residuals[dropped.is_dropped].min() >= dropped.residuals[~dropped.is_dropped].max()


def test_no_trim_drops_nothing(contaminated):
    """By default, and with a share of less than half a window, there is one fit and nothing dropped."""
    windows, _, held_out, _, _ = contaminated
    assert fit_trimmed(LINEAR, Fit(), 1, windows, held_out)[1] is None
    assert fit_trimmed(LINEAR, Fit(trim=1e-4), 1, windows, held_out)[1] is None


def test_mean_squares_are_plain_means(contaminated):
    """The residuals are those of plain numpy, also over several chunks."""
    windows, _, held_out, _, _ = contaminated
    fitted, _ = fit_trimmed(LINEAR, Fit(), 1, windows, held_out)
    plain = np.mean((fitted.model.predict_on_batch(windows) - windows) ** 2, axis=(1, 2))
    assert mean_squares(fitted.model, windows) == pytest.approx(plain, rel=1e-4, abs=1e-7)


def test_description_names_the_longest_times():
    """What was dropped is described by runs of windows in a row; of many only the longest are kept, in order of time."""
    is_dropped = np.zeros(200, np.bool_)
    is_dropped[::5] = True
    is_dropped[100:140] = True
    last = (np.arange(200) + 3) * 60_000_000
    trimmed = describe_dropped(Dropped(np.arange(200.0), is_dropped), last - 180_000_000, last)
    assert (trimmed.windows, trimmed.of) == (is_dropped.sum(), 200)
    assert trimmed.first == datetime(1970, 1, 1, tzinfo=UTC)
    assert trimmed.last == datetime(1970, 1, 1, 3, 18, tzinfo=UTC)
    assert (trimmed.least_residual, trimmed.median_residual) == (0.0, 99.5)
    assert len(trimmed.intervals) == MOST_INTERVALS
    (longest,) = [each for each in trimmed.intervals if each.windows > 1]
    assert longest.windows == 41
    assert longest.first == datetime(1970, 1, 1, 1, 40, tzinfo=UTC)
    assert longest.last == datetime(1970, 1, 1, 2, 23, tzinfo=UTC)
    assert [each.first for each in trimmed.intervals] == sorted(each.first for each in trimmed.intervals)


def test_run_records_what_was_dropped(workshop, make_normal):
    """A stretch of odd readings in the fit part is found, and the record and the summary say when it was."""
    values = make_normal(240)
    values[60:64, 0] += 20
    workshop.write_readings(values=values)
    workshop.write_config(("epochs = 3", "epochs = 3\ntrim = 0.042"))
    run = train(workshop.config, workshop.folder / "run")
    trimmed = run.record.trimmed
    assert trimmed == read_run(run.path).record.trimmed
    assert (trimmed.windows, trimmed.of) == (7, 165)
    assert trimmed.intervals[0].windows == 7  # every window with one of the four readings
    assert trimmed.first == datetime(2024, 1, 1, 0, 57, tzinfo=UTC)
    assert trimmed.last == datetime(2024, 1, 1, 1, 6, tzinfo=UTC)
    assert any(
        line.startswith("trimmed")
        and "7 of 165 fit windows dropped, 2024-01-01 00:57:00 to 2024-01-01 01:06:00" in line
        for line in describe(run)
    )


def test_stride_and_gaps_keep_the_times_right(workshop, make_normal):
    """With a stride, and stretches apart, the times are still those of the windows that were dropped."""
    values = make_normal(240)
    values[120:124, 0] += 20
    workshop.write_readings(values=values)
    workshop.write_config(
        ("epochs = 3", "epochs = 3\ntrim = 0.05\nstride = 4"),
        ("[sampling]", "exclude = [{ start = 2024-01-01T00:10:00, end = 2024-01-01T00:21:00 }]\n\n[sampling]"),
    )
    trimmed = train(workshop.config, workshop.folder / "run").record.trimmed
    assert trimmed.windows == 2  # the second stretch begins at 22 minutes, so its windows end at 25, 29, ... 121, 125
    assert trimmed.first == datetime(2024, 1, 1, 1, 58, tzinfo=UTC)
    assert trimmed.last == datetime(2024, 1, 1, 2, 5, tzinfo=UTC)
