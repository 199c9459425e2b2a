"""Training from a configuration to a run directory, from scratch and from an earlier run."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest

from edge_runtime.detector import Detector
from edge_runtime.errors import ExtraMissingError, RunError, TableError
from edge_runtime.tables import read_table
from training import read_run, train
from training.calibrate import calibrate, reconstruct
from training.data import prepare_data, read_files
from training.extra import import_extra, require_extra
from training.flow import plan


class KerasEngine:
    """The trained model itself as an engine, to score with the device's own flow."""

    best_batch = 64

    def __init__(self, model):
        self.model = model

    def run(self, windows):
        return reconstruct(self.model, windows)

    def close(self):
        pass


def weights_of(run):
    return [array.tobytes() for array in run.load_model().get_weights()]


def test_importing_training_imports_nothing_heavy():
    """`import training` needs numpy alone; TensorFlow and the rest wait until they are used."""
    heavy = "{'tensorflow', 'keras', 'tf_keras', 'pandas', 'matplotlib', 'rich'}"
    code = f"import training, training.cli, sys; print(sorted({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_same_seed_trains_the_same_detector(workshop, trained):
    """Training again with the same configuration and readings gives the same weights and threshold to the last bit."""
    again, before = train(workshop.config, workshop.folder / "again"), read_run(trained)
    assert weights_of(again) == weights_of(before)
    assert again.manifest.threshold == before.manifest.threshold
    assert again.record.history == before.record.history


def test_detector_scores_calibration_rows_as_training_did(trained):
    """The threshold was fitted to the scores that a detector gives to the same rows, bit for bit."""
    run = read_run(trained)
    model = run.load_model()
    table, _ = read_files(run.config, trained.parent)
    windows = prepare_data(run.config, table, run.manifest.channels).parts["calibration"].windows
    result = calibrate(model, windows, run.config.score, run.config.threshold)
    assert result.threshold == run.manifest.threshold
    verdicts = Detector(run.manifest, KerasEngine(model)).score(
        run.stream_values, run.stream_times.view("datetime64[us]")
    )
    assert verdicts.scores[verdicts.scored].tolist() == result.scores.tolist()
    assert not verdicts.anomalous.any()


def test_default_target_is_runs_name(workshop, monkeypatch):
    """Without `out` the run is written to runs/NAME in the current folder."""
    monkeypatch.chdir(workshop.folder)
    assert plan("train.toml").out.absolute() == workshop.folder / "runs" / "pump"


def test_interrupt_leaves_nothing(workshop):
    """Ctrl-C between two epochs leaves no run, nor a part of one."""
    before = sorted(workshop.folder.iterdir())

    def interrupt(number, epoch):
        if number == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(workshop.config, workshop.folder / "runs" / "pump", progress=interrupt)
    assert sorted(workshop.folder.iterdir()) == before


def test_faults_are_found_before_tensorflow_starts(workshop, monkeypatch):
    """An existing target and a bad table are refused at once, not after training."""
    monkeypatch.setattr("training.flow.fit", lambda *arguments, **options: pytest.fail("it went on to fit"))
    with pytest.raises(RunError, match="exists already"):
        train(workshop.config, workshop.folder)
    (workshop.folder / "readings.csv").write_text("time,flow\n2024-01-01,1\n2024-01-01,x\n")
    with pytest.raises(TableError, match="row 3"):
        train(workshop.config, workshop.folder / "run")


def test_train_on_keeps_weights_and_scaling(workshop, trained, make_normal):
    """With from_run the earlier weights and scaling are where it starts, the threshold is new, and the run records it."""
    workshop.write_config(("learning_rate = 0.01", "learning_rate = 1e-9"), ("epochs = 3", "epochs = 1"))
    workshop.write_readings(values=make_normal(240) * (1.05, 1.0))
    earlier, later = read_run(trained), train(workshop.config, workshop.folder / "run", from_run=trained)
    assert later.manifest.scaling == earlier.manifest.scaling
    for before, after in zip(earlier.load_model().get_weights(), later.load_model().get_weights(), strict=True):
        np.testing.assert_allclose(after, before, atol=1e-6)
    assert later.manifest.threshold != earlier.manifest.threshold
    assert later.record.earlier is not None
    assert later.record.earlier.path == str(trained)
    assert later.record.earlier.sha256 == earlier.record.files["model.keras"]
    assert later.record.earlier.data_sha256 == earlier.record.data_sha256 != later.record.data_sha256


def test_train_on_may_replace_the_run_it_starts_from(workshop, trained):
    """from_run and out may be the same directory, with force."""
    workshop.write_config(("epochs = 3", "epochs = 1"))
    target = shutil.copytree(trained, workshop.folder / "run")
    first = read_run(target)
    second = train(workshop.config, target, from_run=target, force=True)
    assert second.record.earlier is not None
    assert second.record.earlier.sha256 == first.record.files["model.keras"]
    assert read_run(target).record == second.record
    with pytest.raises(RunError, match=r"model.keras: the file was replaced after the run was read"):
        first.load_model()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("latent = 3", "latent = 4"), r"the run's own model .*latent=3.* got .*latent=4"),
        (("length = 4", "length = 5"), "the run's own window length to train on from it, 4, got 5"),
        (
            ("[fit]", '[[channels]]\nname = "flow"\n[fit]'),
            r"the run's own channels .*pressure.*, got \[\('flow', ''\)\]",
        ),
        (("[fit]", '[scaling]\nkind = "robust"\n[fit]'), "the run's own kind of scaling .* standard, got robust"),
        (("[fit]", "[scaling]\nclip = 4\n[fit]"), "the run's own clip of the scaling .* None, got 4.0"),
        (
            ("[fit]", '[[derived]]\nkind = "rate"\nchannel = "flow"\n[fit]'),
            "the run's own derived inputs .*kind='rate'",
        ),
        (
            ("[fit]", '[[channels]]\nname = "flow"\n[[channels]]\nname = "pressure"\nis_input = false\n[fit]'),
            r"the run's own channels that are inputs .*, got \['flow'\]",
        ),
    ],
)
def test_train_on_needs_the_same_form(workshop, trained, change, message):
    """Another model, window, scaling or other channels cannot go on from the run's weights: the message says what differs."""
    workshop.write_config(change)
    with pytest.raises(RunError, match=message):
        train(workshop.config, workshop.folder / "run", from_run=trained)


def test_missing_package_names_the_extra(monkeypatch):
    """A command without its packages says what to install."""
    monkeypatch.setitem(sys.modules, "rich", None)
    with pytest.raises(ExtraMissingError, match=r"anomalite train needs the package 'rich'.*anomalite\[train\]"):
        require_extra("anomalite train", "rich")
    with pytest.raises(ExtraMissingError, match=r"reading needs the package 'rich'"):
        import_extra("rich", "reading")


def test_example_readings_have_the_promised_split():
    """The IMS example uses the 445 rows of its protocol, all before 2004-02-16."""
    from pathlib import Path

    from training.config import load_config

    folder = Path(__file__).parents[2] / "examples" / "ims_bearing"
    config = load_config(folder / "train.toml")
    table, _ = read_files(config, folder)
    parts = prepare_data(config, table, config.channels).parts
    assert {name: (part.rows, len(part.windows)) for name, part in parts.items()} == {
        "fit": (312, 297),
        "early_stopping": (66, 51),
        "calibration": (67, 52),
    }
    whole = read_table(folder / "readings.csv", "timestamp", None)
    assert len(whole.times) == 984
    assert json.dumps(whole.channels) == '["mean_abs_b1", "mean_abs_b2", "mean_abs_b3", "mean_abs_b4"]'
