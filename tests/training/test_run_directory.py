"""A run directory is complete and unaltered, or refused; it appears whole or not at all."""

from __future__ import annotations

import json
import resource
import shutil

import numpy as np
import pytest

import training.run_directory
from edge_runtime.errors import OutputError, RunError
from edge_runtime.prepare import Preparation
from edge_runtime.tables import read_table
from training.data import prepare_data, read_files
from training.replace_directory import check_target, replace_directory
from training.report_page import read_report
from training.run_directory import HASHED, RECORD, NormalReadings, read_run, write_run

FILES = {
    "model.keras",
    "manifest.json",
    "config.toml",
    "normal_windows.npz",
    "training.json",
    "loss.csv",
    "loss.png",
} | {
    "report.html",
    "report.json",
}


@pytest.fixture
def copy(trained, tmp_path):
    """A copy of the trained run that a test may damage."""
    return shutil.copytree(trained, tmp_path / "copy")


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def rewrite(run, path, force=False):
    """Write the run again to another place."""
    return write_run(
        path,
        model=run.load_model(),
        manifest=run.manifest,
        config=(run.path / "config.toml").read_bytes(),
        normal=run.normal,
        record=run.record,
        report=read_report(run.path),
        force=force,
    )


def test_holds_what_is_needed_to_repeat_the_run(trained):
    """The run says what was trained on what, with which seed and versions, and what came of it, epoch by epoch."""
    assert {path.name for path in trained.iterdir()} == FILES
    run = read_run(trained)
    record, manifest = run.record, run.manifest
    assert (trained / "config.toml").read_bytes() == (trained.parent / "train.toml").read_bytes()
    assert record.config_path == str(trained.parent / "train.toml")
    assert record.seed == manifest.provenance.seed == run.config.seed == 7
    assert {name: (part.rows, part.windows) for name, part in record.parts.items()} == {
        "fit": (168, 165),
        "early_stopping": (36, 33),
        "calibration": (36, 33),
    }
    assert record.parts["fit"].last < record.parts["early_stopping"].first
    assert record.data_sha256 == manifest.provenance.data_sha256
    assert set(record.versions) == {"python", "anomalite", "numpy", "keras", "tensorflow"}
    assert record.parameters == run.load_model().count_params() == manifest.parameters
    lines = (trained / "loss.csv").read_text().splitlines()
    assert lines[0] == "epoch,loss,held_out_loss"
    assert [float(line.split(",")[2]) for line in lines[1:]] == [epoch.held_out_loss for epoch in record.history]
    assert (trained / "loss.png").read_bytes().startswith(b"\x89PNG")
    assert manifest.variants == ()
    assert manifest.threshold.value > 0


def test_kept_windows_are_the_calibration_windows(trained):
    """The held-out windows, prepared again, are the bits that the threshold was fitted to; the stream is as measured."""
    run = read_run(trained)
    m = run.manifest
    table, _ = read_files(run.config, trained.parent)
    part = prepare_data(run.config, table, m.channels).parts["calibration"]
    again, _, _ = Preparation(m.preparation).windows_of(run.stream_values, run.stream_times)
    assert again.tobytes() == part.windows.tobytes() == run.calibration_windows.tobytes()
    rows = np.searchsorted(table.times, run.stream_times)
    assert run.stream_values.tobytes() == table.values[rows].tobytes()
    assert len(rows) == part.rows == 36


def test_twin_has_the_trained_weights(trained):
    """The tf_keras twin of a run reconstructs what the trained model does."""
    run = read_run(trained)
    windows = run.calibration_windows[:3]
    np.testing.assert_allclose(
        run.load_twin().predict_on_batch(windows), run.load_model().predict_on_batch(windows), atol=1e-5
    )


@pytest.mark.parametrize("name", HASHED)
def test_altered_file_is_refused(copy, name):
    """One changed byte in a hashed file is found, and the file named."""
    data = bytearray((copy / name).read_bytes())
    data[len(data) // 2] ^= 1
    (copy / name).write_bytes(data)
    with pytest.raises(RunError, match=rf"{name}: the file was altered: expected sha256 \w{{64}}, got \w{{64}}$"):
        read_run(copy)


@pytest.mark.parametrize("name", [RECORD, *HASHED])
def test_missing_file_is_refused(copy, name):
    """A run that lacks a file is refused with the file's name."""
    (copy / name).unlink()
    with pytest.raises(RunError, match=f"copy: expected a run directory with a file '{name}', found none"):
        read_run(copy)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected JSON"),
        ("[]", "expected a table, got a list"),
        ('{"format": 2}', "expected format 1, got 2: train it again"),
        ('{"format": 1}', "expected the key 'name', found none"),
    ],
)
def test_damaged_record_is_refused(copy, text, message):
    """A record that cannot be read is a `RunError` that names the file."""
    (copy / RECORD).write_text(text)
    with pytest.raises(RunError, match=f"training.json: {message}"):
        read_run(copy)


def test_what_is_no_run_is_refused(tmp_path):
    """Nothing, and a file, are said to be so."""
    with pytest.raises(RunError, match="expected a run directory, found nothing"):
        read_run(tmp_path / "none")
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match="expected a run directory, found a file"):
        read_run(tmp_path / "file")


def test_rewritten_run_reads_back(trained, tmp_path):
    """What is written is what is read, in a folder that is made for it, with nothing next to it."""
    run = read_run(trained)
    again = rewrite(run, tmp_path / "deep" / "run")
    assert again.manifest == run.manifest
    assert again.record.history == run.record.history
    assert again.normal.calibration.tobytes() == run.normal.calibration.tobytes()
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["run"]


def test_existing_run_is_refused_without_force(trained, copy):
    """An existing run is left as it is, bit for bit, and the message says what to do."""
    before = contents(copy)
    with pytest.raises(RunError, match=r"copy: exists already: choose another --out, or --force to replace it"):
        rewrite(read_run(trained), copy)
    assert contents(copy) == before


def test_force_replaces_a_run(trained, copy):
    """With force an earlier run is replaced as a whole: nothing of it is left."""
    (copy / "leftover.txt").touch()
    rewrite(read_run(trained), copy, force=True)
    assert {path.name for path in copy.iterdir()} == FILES
    assert [path.name for path in copy.parent.iterdir()] == ["copy"]


@pytest.mark.parametrize("kind", ["folder", "file", "link"])
def test_force_replaces_nothing_else(trained, tmp_path, kind):
    """With force, too, a folder with other things in it, a file and a link stay."""
    target = tmp_path / "precious"
    if kind == "folder":
        target.mkdir()
        (target / "thesis.txt").write_text("years of work")
    elif kind == "file":
        target.write_text("years of work")
    else:
        target.symlink_to(trained)
    with pytest.raises(RunError, match=r"precious: expected .* to replace, found .*: left as it is"):
        rewrite(read_run(trained), target, force=True)
    assert target.is_symlink() if kind == "link" else target.exists()
    assert [path.name for path in tmp_path.iterdir()] == ["precious"]


@pytest.mark.parametrize("fault", [KeyboardInterrupt, OSError(28, "No space left on device"), ZeroDivisionError])
@pytest.mark.parametrize("exists", [False, True])
def test_failed_write_leaves_nothing(trained, copy, monkeypatch, fault, exists):
    """Whatever interrupts the writing, what was there is untouched and nothing half-written is left."""
    target = copy if exists else copy.parent / "new"
    run, before = read_run(trained), contents(copy)

    def fail(history, path):
        path.write_bytes(b"half")
        raise fault

    monkeypatch.setattr(training.run_directory, "plot_loss", fail)
    expected = OutputError if isinstance(fault, OSError) else fault
    with pytest.raises(expected) as caught:
        rewrite(run, target, force=True)
    assert [path.name for path in copy.parent.iterdir()] == ["copy"]
    assert contents(copy) == before
    if expected is OutputError:
        assert str(caught.value) == f"{target}: cannot be written: No space left on device"


@pytest.mark.parametrize("largest", [3_000, 30_000])
def test_full_disk_leaves_nothing(trained, tmp_path, largest):
    """When a file cannot be written to its end (here: a limit on file sizes) it says so and leaves nothing."""
    run = read_run(trained)
    run.load_model()  # what it imports may write caches
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest, hard))
    try:
        with pytest.raises(OutputError, match=r"^.*/run: cannot be written: .*$"):
            rewrite(run, tmp_path / "run")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []


def test_old_run_returns_if_the_new_one_cannot_take_its_place(tmp_path, monkeypatch):
    """If the last rename fails, the run that was there has its name back."""
    target = tmp_path / "run"
    target.mkdir()
    (target / "mark").write_text("old")
    monkeypatch.setattr("training.replace_directory._sync", shutil.rmtree)  # the new folder vanishes before the renames
    with pytest.raises(OutputError, match="run: cannot be written: No such file"):  # noqa: SIM117
        with replace_directory(target, "mark") as folder:
            (folder / "mark").write_text("new")
    assert (target / "mark").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_unwritable_target_is_found_before_training(tmp_path):
    """A target below a file is refused by the check that training makes first."""
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"file/run: cannot be written: .*/file is not a directory"):
        check_target(tmp_path / "file" / "run")


def test_damaged_windows_are_refused(trained, tmp_path):
    """Held-out readings that cannot be unpacked are a `RunError`, not a traceback."""
    run = read_run(trained)
    target = tmp_path / "run"
    rewrite(run, target)
    (target / "normal_windows.npz").write_bytes(b"no zip")
    record = json.loads((target / RECORD).read_text())
    record["files"]["normal_windows.npz"] = training.run_directory._sha256(target / "normal_windows.npz")
    (target / RECORD).write_text(json.dumps(record))
    with pytest.raises(RunError, match=r"normal_windows\.npz: expected held-out readings, got"):
        read_run(target)
    assert isinstance(run.normal, NormalReadings)


def test_stream_covers_the_calibration_part(trained):
    """The stream's readings are the calibration part's own."""
    run = read_run(trained)
    table = read_table(trained.parent / "readings.csv", "time", None)
    assert run.stream_times.tolist() == table.times[-36:].tolist()
