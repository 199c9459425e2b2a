"""Tables to judge a detector by: labels are found or asked for, and what was trained on does not count."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import handmade
import numpy as np
import pytest

from edge_runtime.digest import sha256
from edge_runtime.errors import TableError
from edge_runtime.manifest import Waveform
from edge_runtime.opening import load
from edge_runtime.readings import from_microseconds
from training.data_digest import data_sha256
from training.labelled import judge, labelled_windows, leave_out_training, read_evaluation_table

LENGTH, ROWS = 4, 40


@pytest.fixture
def file(tmp_path):
    """Readings of two channels, one a second, the last ten labelled."""
    values, times = handmade.stream(ROWS, 2)
    lines = ["time,c0,c1,anomaly"]
    for row, (time, (a, b)) in enumerate(zip(times.tolist(), values.tolist(), strict=True)):
        lines.append(f"{time / 1e6},{a!r},{b!r},{int(row >= 30)}")
    path = tmp_path / "labelled.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def detector(tmp_path):
    return load(handmade.sealed(tmp_path / "small.anomalite", handmade.manifest(LENGTH, 2)), engine="numpy")


def rename(file, label):
    file.write_text(file.read_text().replace("anomaly", label, 1))


def read(file, **options):
    return read_evaluation_table(file, "time", ["c0", "c1"], **options)


def test_labels_are_found_by_their_usual_name(file):
    """A column `anomaly` is the labels; another one has to be named; without one there are none."""
    assert read(file).labels.tolist() == [False] * 30 + [True] * 10
    rename(file, "fault")
    assert read(file, label="fault").labels.sum() == 10
    assert read(file, ignore_extra=True).labels is None
    with pytest.raises(TableError, match="got one more: 'fault'"):
        read(file)
    with pytest.raises(TableError, match="expected a column of labels 'anomaly', got the columns time, c0, c1, fault"):
        read(file, label="anomaly")


def test_a_channel_is_no_label(file):
    """Nor is the time; and a channel that happens to be called `anomaly` is a channel."""
    for label, what in (("c0", "a channel"), ("time", "the time")):
        with pytest.raises(TableError, match=f"expected a column of labels, got '{label}', which is {what}"):
            read(file, label=label)
    assert read_evaluation_table(file, "time", ["c0", "c1", "anomaly"]).labels is None


def test_what_cannot_be_read(file, tmp_path):
    """A file that is not there; a channel without any value."""
    with pytest.raises(TableError, match="cannot be read"):
        read(tmp_path / "none.csv")
    file.write_text("time,c0,c1\n1,2,\n2,3,\n")
    with pytest.raises(TableError, match="expected readings for c1, got none"):
        read(file)


def test_another_file_counts_whole(file):
    """Whatever its times are."""
    test = read(file)
    assert leave_out_training(test, {"a.csv": "0" * 64}, datetime(2100, 1, 1, tzinfo=UTC)) is test
    assert test.is_counted.all()


def test_of_a_file_that_was_trained_on_only_what_comes_after_counts(file, detector):
    """Those readings warm the window up, so that the first one that counts has a score, and give labels and verdicts of one length."""
    whole = read(file)
    assert whole.sha256 == sha256(file.read_bytes())
    trained_to = from_microseconds(int(whole.table.times[19]))
    test = leave_out_training(whole, {"b.csv": whole.sha256}, trained_to)
    assert test.is_counted.tolist() == [False] * 20 + [True] * 20
    verdicts, evaluation = judge(detector, test)
    everything, _ = judge(detector, whole)
    np.testing.assert_array_equal(verdicts.scores, everything.scores[20:])
    assert verdicts.scored.all()
    assert evaluation.readings == len(test.labels) == 20
    assert [event.readings for event in evaluation.labelled.events] == [10]
    with pytest.raises(TableError, match="expected readings that the model was not trained on, got none"):
        leave_out_training(whole, {"b.csv": whole.sha256}, from_microseconds(int(whole.table.times[-1])))


def test_failure_and_normal_until_are_handed_on(file, detector):
    """For a run to failure without labels."""
    rename(file, "note")
    times = read(file, ignore_extra=True).table.times
    failure, until = (from_microseconds(int(times[row])) for row in (39, 20))
    _, evaluation = judge(detector, read(file, failure=failure, normal_until=until, ignore_extra=True))
    assert evaluation.normal_by == "normal_until"
    assert evaluation.false_alarms.readings == 20 - (LENGTH - 1)
    assert evaluation.failure is not None


def test_snapshots_are_read_as_their_features(tmp_path):
    """From a file or a folder, as in training, with the same hash; they have no labels, and need a waveform."""
    waveform = Waveform(1000.0, 16, {"b1": "g"}, features=("rms",))
    file, folder = tmp_path / "a.npz", tmp_path / "b"
    samples = np.random.default_rng(1).normal(0, 1, (3, 16, 1))
    np.savez(file, time=1.7e9 + np.arange(3), samples=samples)
    folder.mkdir()
    for minute, snapshot in enumerate(samples):
        lines = ["b1", *map(repr, snapshot[:, 0].tolist())]
        (folder / f"2024-01-01T00-{minute:02}-00.csv").write_text("\n".join(lines))
    for path in (file, folder):
        test = read_evaluation_table(path, "time", ["rms_b1"], waveform=waveform)
        assert test.table.values[:, 0] == pytest.approx(np.sqrt(np.mean(samples[:, :, 0] ** 2, axis=1)))
        assert test.sha256 == data_sha256(path)
        assert test.labels is None
        with pytest.raises(TableError, match="expected a table of readings, got snapshots, but no waveform"):
            read_evaluation_table(path, "time", ["rms_b1"])
        with pytest.raises(TableError, match="expected a table for the column of labels 'fault', got snapshots"):
            read_evaluation_table(path, "time", ["rms_b1"], waveform=waveform, label="fault")


def test_windows_of_labelled_readings_are_those_the_device_prepares(file):
    """(B, T, F), each with the label of its last reading; only of readings that count, and none without labels."""
    sections = handmade.manifest(LENGTH, 2).preparation
    test = read(file)
    labelled = labelled_windows(test, sections)
    assert labelled.windows.shape == (ROWS - LENGTH + 1, LENGTH, 2)
    assert np.allclose(labelled.windows[5], test.table.values[5 : 5 + LENGTH], atol=1e-5)
    assert labelled.labels.tolist() == test.table.labels[LENGTH - 1 :].tolist()
    counted = replace(test, is_counted=np.arange(ROWS) >= 30)
    assert len(labelled_windows(counted, sections).windows) == 10
    rename(file, "fault")
    assert labelled_windows(read(file, ignore_extra=True), sections) is None
