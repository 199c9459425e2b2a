"""Training from a configuration to a run directory, from scratch and from an earlier run."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest

from edge_runtime.cli import main
from edge_runtime.detector import Detector
from edge_runtime.errors import ExtraMissingError, RunError, TableError
from edge_runtime.manifest import Operating, Sensors
from edge_runtime.tables import read_table
from training import read_run, train
from training.calibrate import answers, calibrate, fit_score, reconstruct
from training.cli import describe, summary
from training.crossfit import cross_fitted
from training.data import prepare_data, read_files
from training.extra import import_extra, require_extra
from training.planning import plan

MODEL = 'family = "dense_autoencoder"\nhidden = [6]\nlatent = 3'
EPOCH = np.datetime64("2024-01-01T00:00:00", "us")


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
    part = prepare_data(run.config, table, run.manifest.channels).parts["calibration"]
    result = calibrate(answers(model, part), run.manifest.score, run.config.threshold, run.config.alarm, 60)
    assert result.threshold == run.manifest.threshold
    verdicts = Detector(run.manifest, KerasEngine(model)).score(
        run.stream_values, run.stream_times.view("datetime64[us]")
    )
    assert verdicts.scores[verdicts.scored].tolist() == result.scores.tolist()
    assert not verdicts.anomalous.any()


def test_a_fitted_score_and_a_budget_from_configuration_to_manifest(workshop, make_normal, capsys):
    """The whitening comes from the early-stopping part, the budget is in the manifest, and the summary says what it is worth."""
    values = make_normal(1200)
    workshop.write_readings(values=values)
    workshop.write_config(
        (
            "[fit]",
            '[score]\nkind = "mahalanobis"\nsmoothing = 0.5\n[threshold]\nkind = "budget"\ndays = 0.25\n'
            "[alarm]\nk = 2\nn = 3\n[fit]",
        )
    )
    run = train(workshop.config, workshop.folder / "run")
    m, model = run.manifest, run.load_model()
    table, _ = read_files(run.config, workshop.folder)
    parts = prepare_data(run.config, table, m.channels).parts
    assert m.score == fit_score(answers(model, parts["early_stopping"]), run.config.score)
    assert (m.score.kind, m.score.smoothing, len(m.score.whitening)) == ("mahalanobis", 0.5, 2)
    verdicts = Detector(m, KerasEngine(model)).score(run.stream_values, run.stream_times.view("datetime64[us]"))
    result = calibrate(answers(model, parts["calibration"]), m.score, run.config.threshold, m.alarm, 60)
    assert verdicts.scores[verdicts.scored].tolist() == result.scores.tolist()
    assert (m.threshold.kind, m.threshold.days, m.threshold) == ("budget", 0.25, result.threshold)
    assert m.threshold.false_alarms.days == pytest.approx(177 / 1440)
    lines = describe(run)
    assert any(re.fullmatch(r"threshold +\S+ = at most one false alarm in 0\.25 days", line) for line in lines)
    assert any(
        re.match(r"false alarms +at most one in 0\.25 days \(95 %: .*\), from 2\.95 hours", line) for line in lines
    )
    assert summary(run)["false_alarms"]["clusters"] >= 10


def test_what_was_found_in_the_readings_is_in_the_manifest(workshop, make_normal, capsys):
    """Operating state, limits of sensors and medians: a detector with the manifest prepares as training did."""
    values = make_normal(240)
    values[np.arange(240) % 60 < 20] = (0, 0)
    values[100, 1] = np.nan
    workshop.write_readings(values=values)
    sections = (
        '[operating]\nwhen = "flow > 5"\nsettle_s = 60\n[cleaning]\nmissing = "median"\n[sensors]\nstuck_factor = 5\n'
    )
    config = workshop.write_config(("[fit]", f"{sections}[fit]"), ("length = 4", "length = 3"))
    assert main(["train", str(config), "--out", str(workshop.folder / "run")]) == 0
    assert "left out because the machine is off or settling: 86 of 240 rows" in capsys.readouterr().err
    run = read_run(workshop.folder / "run")
    m = run.manifest
    assert m.operating == Operating("flow > 5", settle_s=60)
    assert m.sensors == Sensors(stuck_factor=5)
    assert m.cleaning.medians == pytest.approx((20, 6), abs=1)
    assert [channel.stuck_after for channel in m.channels] == [5, 5]
    verdicts = Detector(m, KerasEngine(run.load_model())).score(
        values, np.arange(240) * np.timedelta64(60, "s") + EPOCH
    )
    is_on = np.arange(240) % 60 >= 21
    assert [verdict.status == "off" for verdict in verdicts] == (~is_on).tolist()
    assert verdicts.scored.sum() == 4 * 37


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
    monkeypatch.setattr("training.trained.fit_trimmed", lambda *arguments, **options: pytest.fail("it went on to fit"))
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


def test_train_on_computes_a_linear_model_anew(workshop, make_normal):
    """In the earlier run's scaling: the components are those of the new readings, and may be of another number."""
    workshop.write_config((MODEL, 'family = "linear_autoencoder"\nvariance = 0.9'))
    earlier = train(workshop.config, workshop.folder / "earlier")
    noise = np.random.default_rng(3).normal(0, (3, 0.5), (240, 2))
    workshop.write_readings(values=make_normal(240) + noise)
    later = train(workshop.config, workshop.folder / "later", from_run=earlier.path)
    assert later.manifest.scaling == earlier.manifest.scaling
    assert later.record.parameters > earlier.record.parameters
    assert len(later.record.history) == 1


def test_a_linear_model_is_fitted_to_all_rows_and_calibrated_by_cross_fitting(workshop):
    """One part; as many held-out scores as windows; the threshold from those, not from what the model has seen."""
    workshop.write_config((MODEL, 'family = "linear_autoencoder"\nfolds = 4'))
    run = train(workshop.config, workshop.folder / "run")
    assert {name: (part.rows, part.windows) for name, part in run.record.parts.items()} == {"fit": (240, 237)}
    table, _ = read_files(run.config, workshop.folder)
    held_out = cross_fitted(run.config.model, prepare_data(run.config, table, run.manifest.channels).parts["fit"])
    score = run.manifest.score
    result = calibrate(held_out, score, run.config.threshold, run.config.alarm, 60)
    assert result.threshold == run.manifest.threshold
    assert len(result.scores) == 237
    error = float(np.mean((held_out.outputs - held_out.windows).astype(np.float64) ** 2))
    assert run.record.history[0].held_out_loss == error > run.record.history[0].loss


def test_a_forecaster_says_how_many_readings_it_estimates(workshop):
    """The manifest has its horizon, the scores are those of a detector, and the run goes on from itself."""
    workshop.write_config((MODEL, 'family = "lstm_forecaster"\nunits = 3\nhorizon = 2\nskip = true'))
    run = train(workshop.config, workshop.folder / "run")
    assert (run.manifest.estimates, run.manifest.output_shape) == (2, (2, 2))
    verdicts = Detector(run.manifest, KerasEngine(run.load_model())).score(
        run.stream_values, run.stream_times.view("datetime64[us]")
    )
    assert not verdicts.anomalous.any()
    assert float(np.percentile(verdicts.scores[verdicts.scored], 99)) == pytest.approx(run.manifest.calibration["99"])
    later = train(workshop.config, workshop.folder / "later", from_run=run.path)
    linear = [each.load_model().get_layer("regression").get_weights()[0].tobytes() for each in (run, later)]
    assert linear[0] == linear[1]


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


def test_a_constant_channel_with_a_resolution_is_anomalous_from_there_on(workshop, make_normal):
    """A tenth of the resolution is nothing; many times the resolution is a change that normal readings never showed."""
    values = np.column_stack((make_normal(240), np.full(240, 5.0)))
    workshop.write_readings(values=values, channels=("flow", "pressure", "valve"))
    channels = '[[channels]]\nname = "flow"\n\n[[channels]]\nname = "pressure"\n\n[[channels]]\nname = "valve"\nresolution = 0.1\n\n'
    workshop.write_config((MODEL, 'family = "linear_autoencoder"'), ("[sampling]", channels + "[sampling]"))
    run = train(workshop.config, workshop.folder / "run")
    detector = Detector(run.manifest, KerasEngine(run.load_model()))

    def scores(change):
        changed = values[-30:] + np.array([0, 0, change])
        verdicts = detector.score(changed, run.stream_times[-30:].view("datetime64[us]"))
        return verdicts.scores[verdicts.scored], verdicts.anomalous[verdicts.scored]

    plain, _ = scores(0.0)
    assert np.allclose(scores(0.01)[0], plain, atol=0.01)
    assert not scores(0.01)[1].any()
    assert scores(1.0)[1].all()
