"""Sealing: what is in the bundle was proven, and nothing is left half-written."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from demo_run import REPOSITORY, Demo

import export.proof
import export.variants
from edge_runtime.bundle import Bundle, seal
from edge_runtime.cli import main
from edge_runtime.commands.verify import verify
from edge_runtime.errors import ExportError, OutputError, RunError
from edge_runtime.golden import read_golden
from edge_runtime.manifest import Grid, Operating, Sensors
from edge_runtime.opening import load
from edge_runtime.readings import STATUSES
from export import export_run
from export.source import Source
from export.variants import RECIPES, Recipe
from training import read_run, train

NUMPY = next(recipe for recipe in RECIPES if recipe.name == "numpy-float32")


@pytest.fixture
def demo(demo: Demo, tmp_path_factory: pytest.TempPathFactory) -> Demo:
    """A copy of the demo's files: an export writes into the run's report."""
    out = tmp_path_factory.mktemp("demo")
    shutil.copytree(demo.out, out, dirs_exist_ok=True)
    return replace(demo, out=out)


@pytest.fixture
def only_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Export the variant that converts in no time."""
    monkeypatch.setattr(export.variants, "RECIPES", (NUMPY,))


def _broken(name: str) -> Recipe:
    """A recipe whose model has lost its weights."""

    def convert(source: Source) -> bytes:
        with np.load(io.BytesIO(NUMPY.convert(source))) as archive:
            members = {key: array if key == "layers" else np.zeros_like(array) for key, array in archive.items()}
        buffer = io.BytesIO()
        np.savez(buffer, **members)
        return buffer.getvalue()

    return replace(NUMPY, name=name, file=f"{name}.npz", convert=convert)


def test_golden_readings_visit_every_status_and_both_decisions(demo: Demo) -> None:
    """A held value, a gap, an infinite value; scores below and above the threshold."""
    bundle = Bundle.read(demo.bundle)
    golden = read_golden(bundle)
    assert {STATUSES[code] for code in golden.status_codes} == {"scored", "warming_up", "gap", "out_of_range"}
    for scores in golden.scores.values():
        scored = scores[~np.isnan(scores)]
        assert len(scored) >= 10
        assert (scored > bundle.manifest.threshold.value).any()
        assert (scored < bundle.manifest.threshold.value).any()


@pytest.mark.parametrize("variant", ["numpy-float32", "tflite-float32", "onnx-float32"])
def test_another_models_weights_fail_verify(variant: str, demo: Demo, tmp_path: Path) -> None:
    """The file is whole and every hash is right, but the weights are shuffled: the golden readings tell."""
    bundle = Bundle.read(demo.bundle)
    entry = bundle.variant(variant)
    model = bytearray(bundle.members[entry.file])
    if variant == "numpy-float32":
        with np.load(io.BytesIO(model)) as archive:
            members = {
                k: a if k == "layers" else np.random.default_rng(1).permutation(a.ravel()).reshape(a.shape)
                for k, a in archive.items()
            }
        buffer = io.BytesIO()
        np.savez(buffer, **members)
        model = bytearray(buffer.getvalue())
    else:
        weight = np.ascontiguousarray(
            read_run(demo.run_directory).load_model().get_layer("reconstruction").get_weights()[0]
        )
        for stored in (weight, np.ascontiguousarray(weight.T)):
            at = bytes(model).find(stored.tobytes())
            if at >= 0:
                model[at : at + stored.nbytes] = np.random.default_rng(1).permutation(stored.ravel()).tobytes()
                break
        else:
            pytest.fail("the layer's weights are not in the file as they were trained")
    assert bundle.manifest.golden is not None
    models = {each.name: bundle.members[each.file] for each in bundle.manifest.variants} | {variant: bytes(model)}
    altered = seal(tmp_path / "altered.anomalite", bundle.manifest, models, bundle.members[bundle.manifest.golden.file])
    passed = {result.variant: result.passed for result in verify(altered)[0]}
    assert passed.pop(variant) is False
    assert all(passed.values())


@pytest.mark.usefixtures("only_numpy")
def test_a_variant_that_fails_parity_is_left_out_and_says_why(
    demo: Demo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others are sealed."""
    monkeypatch.setattr(export.variants, "RECIPES", (_broken("numpy-zeroed"), NUMPY))
    result = export_run(demo.run_directory, tmp_path / "out.anomalite")
    broken, good = result.outcomes
    assert "reconstruction off by" in str(broken.refused)
    assert good.refused is None
    assert [variant.name for variant in Bundle.read(result.path).manifest.variants] == ["numpy-float32"]


def test_no_variant_left_is_an_error_and_the_old_bundle_stays(
    demo: Demo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With every reason; nothing is written."""
    monkeypatch.setattr(export.variants, "RECIPES", (_broken("numpy-zeroed"),))
    target = tmp_path / "old.anomalite"
    target.write_bytes(b"the old one")
    with pytest.raises(ExportError, match="no variant passed parity: numpy-zeroed: reconstruction off by"):
        export_run(demo.run_directory, target)
    assert target.read_bytes() == b"the old one"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.usefixtures("only_numpy")
def test_an_interrupted_export_leaves_the_old_bundle(
    demo: Demo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C while proving."""
    target = tmp_path / "old.anomalite"
    target.write_bytes(b"the old one")

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(export.proof.Trials, "prove", interrupt)
    with pytest.raises(KeyboardInterrupt):
        export_run(demo.run_directory, target)
    assert target.read_bytes() == b"the old one"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.usefixtures("only_numpy")
def test_a_target_that_cannot_be_written_is_an_error(demo: Demo, tmp_path: Path) -> None:
    """It names the target."""
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"file/out\.anomalite: cannot be written"):
        export_run(demo.run_directory, tmp_path / "file" / "out.anomalite")


def test_an_engine_that_is_not_installed_leaves_its_variant_out(
    demo: Demo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What cannot be proven is not shipped, and the table says so."""
    onnx = next(recipe for recipe in RECIPES if recipe.name == "onnx-float32")
    monkeypatch.setattr(export.variants, "RECIPES", (onnx, NUMPY))
    monkeypatch.setattr(export.proof, "is_installed", lambda engine: engine == "numpy")
    result = export_run(demo.run_directory, tmp_path / "out.anomalite")
    assert result.outcomes[0].refused == "not proven: onnx is not installed"
    assert [variant.name for variant in result.bundle.manifest.variants] == ["numpy-float32"]


@pytest.mark.parametrize("name", ["model.keras", "normal_windows.npz"])
def test_a_run_directory_altered_after_training_is_refused(name: str, demo: Demo, tmp_path: Path) -> None:
    """It names the file."""
    copy = tmp_path / "run"
    shutil.copytree(demo.run_directory, copy)
    data = bytearray((copy / name).read_bytes())
    data[len(data) // 2] ^= 1
    (copy / name).write_bytes(data)
    with pytest.raises(RunError, match=f"{name}: the file was altered"):
        export_run(copy, tmp_path / "out.anomalite")
    assert not (tmp_path / "out.anomalite").exists()


@pytest.mark.usefixtures("only_numpy")
def test_the_same_run_gives_the_same_bytes(demo: Demo, tmp_path: Path) -> None:
    """Nothing in a bundle depends on when or where it was sealed."""
    first, second = (
        export_run(demo.run_directory, tmp_path / name).path.read_bytes() for name in ("a.anomalite", "b.anomalite")
    )
    assert first == second


def test_the_dense_family_goes_the_same_way(tmp_path: Path) -> None:
    """Nothing is built around one model: train, export every variant, score, and find the bearing's failure."""
    config = REPOSITORY / "examples" / "ims_bearing" / "dense.toml"
    run = train(config, tmp_path / "run")
    result = export_run(run, tmp_path / "dense.anomalite")
    assert [(outcome.name, outcome.refused) for outcome in result.outcomes] == [
        (recipe.name, None) for recipe in RECIPES if recipe.is_default and not recipe.only_lstm
    ]
    detector = load(result.path, engine="litert")
    values = run.stream_values
    assert not detector.score(values, run.stream_times.view("datetime64[us]")).anomalous.all()


def test_the_command_prints_the_parity_table(demo: Demo, tmp_path: Path) -> None:
    """A table for people, one object for machines, progress on standard error."""
    target = tmp_path / "cli.anomalite"
    command = [
        sys.executable,
        "-m",
        "edge_runtime.cli",
        "export",
        str(demo.run_directory),
        "--out",
        str(target),
        "--json",
    ]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["bundle"] == str(target)
    assert [variant["refused"] for variant in answer["variants"]] == [None] * sum(
        recipe.is_default for recipe in RECIPES
    )
    assert "converting and proving tflite-float32" in done.stderr
    assert target.exists()


def test_a_run_directory_that_is_none_is_one_line_and_status_2(tmp_path: Path) -> None:
    """Before TensorFlow is even started."""
    command = [sys.executable, "-m", "edge_runtime.cli", "export", str(tmp_path / "nothing")]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "expected a run directory, found nothing" in done.stderr


@pytest.mark.usefixtures("only_numpy")
@pytest.mark.parametrize("rows", [1, 18, 40])
def test_golden_readings_need_no_long_stretch(rows: int, demo: Demo, tmp_path: Path) -> None:
    """Where the calibration part is in pieces, its windows follow one another."""
    run = read_run(demo.run_directory)
    short = replace(run.normal, stream_values=run.stream_values[:rows], stream_times=run.stream_times[:rows])
    result = export_run(replace(run, normal=short), tmp_path / "out.anomalite")
    scored = ~np.isnan(read_golden(result.bundle).scores["numpy-float32"])
    assert scored.sum() >= 10


@pytest.mark.usefixtures("only_numpy")
def test_golden_readings_leave_time_to_settle(demo: Demo, tmp_path: Path) -> None:
    """A machine that has to settle after it switched on, and after a gap, is scored before the gap and after it."""
    run = read_run(demo.run_directory)
    channel = run.manifest.channel_names[0]
    rule = Operating(f"`{channel}` > -1e9", settle_s=20.5 * run.manifest.sampling.period_s)
    run = replace(run, manifest=replace(run.manifest, operating=rule))
    golden = read_golden(export_run(run, tmp_path / "out.anomalite").bundle)
    assert {STATUSES[code] for code in golden.status_codes} >= {"scored", "warming_up", "out_of_range", "off"}
    is_scored = ~np.isnan(golden.scores["numpy-float32"])
    gap = int(np.diff(golden.times).argmax())
    assert is_scored[: gap + 1].sum() >= 5
    assert is_scored[gap + 1 :].sum() >= 5


@pytest.mark.usefixtures("only_numpy")
def test_golden_readings_switch_a_machine_of_two_levels_on(demo: Demo, tmp_path: Path) -> None:
    """A starting current that is not seen again: the stream's first reading has it, and it comes again after the silence."""
    run = read_run(demo.run_directory)
    channel = run.manifest.channel_names[0]
    values = run.stream_values.copy()
    values[0, 0] = 2 * values[:, 0].max()
    rule = Operating(f"`{channel}` > {values[1:, 0].max() + 1e-6}", f"`{channel}` < -1e9")
    run = replace(
        run,
        manifest=replace(run.manifest, operating=rule),
        normal=replace(run.normal, stream_values=values),
    )
    golden = read_golden(export_run(run, tmp_path / "out.anomalite").bundle)
    is_scored = ~np.isnan(golden.scores["numpy-float32"])
    gap = int(np.diff(golden.times).argmax())
    assert is_scored[: gap + 1].sum() >= 5
    assert is_scored[gap + 1 :].sum() >= 5


@pytest.mark.usefixtures("only_numpy")
def test_golden_readings_pass_through_a_grid(demo: Demo, tmp_path: Path) -> None:
    """Each completes the row of the one before it; silent and stuck sensors are looked for."""
    run = read_run(demo.run_directory)
    sampling = replace(run.manifest.sampling, grid=Grid("mean"))
    run = replace(run, manifest=replace(run.manifest, sampling=sampling, sensors=Sensors()))
    golden = read_golden(export_run(run, tmp_path / "out.anomalite").bundle)
    assert {STATUSES[code] for code in golden.status_codes} == {
        "scored", "warming_up", "gap", "out_of_range", "collecting",
    }  # fmt: skip
    assert (~np.isnan(golden.scores["numpy-float32"])).sum() >= 10


SNAPSHOTS = """\
name = "shaft"
[data]
files = ["snapshots.npz"]
[sampling]
period_s = 600
longest_gap_s = 1800
[waveform]
sample_rate_hz = 1000
length = 64
features = ["rms", "kurtosis"]
bands = [[0, 200], [200, 500]]
[waveform.channels]
b1 = "g"
[[channels]]
name = "rms_b1"
is_input = false
[[derived]]
kind = "rolling_std"
channel = "rms_b1"
length = 8
[[derived]]
kind = "time_of_day"
[scaling]
kind = "robust"
clip = 10
[window]
length = 4
[model]
family = "dense_autoencoder"
hidden = [6]
[fit]
epochs = 2
"""


def test_a_detector_of_snapshots_from_end_to_end(
    tmp_path: Path, only_numpy: None, capsys: pytest.CaptureFixture[str]
) -> None:
    """Trained on raw snapshots with derived inputs and a clip, exported, verified, scored snapshot by snapshot, and evaluated."""
    samples = np.random.default_rng(1).integers(-2000, 2000, (260, 64, 1)).astype(np.int16)
    np.savez(tmp_path / "snapshots.npz", time=1.7e9 + 600 * np.arange(260), samples=samples, scale=0.001)
    (tmp_path / "train.toml").write_text(SNAPSHOTS)
    run = train(tmp_path / "train.toml", tmp_path / "run")
    bundle = export_run(run, tmp_path / "shaft.anomalite").bundle
    assert all(result.passed for result in verify(bundle)[0])
    golden = read_golden(bundle)
    assert (~np.isnan(golden.scores["numpy-float32"])).sum() > 10

    m = bundle.manifest
    inputs = (
        "kurtosis_b1",
        "band_0_200_b1",
        "band_200_500_b1",
        "rms_b1.rolling_std_8",
        "time_of_day.sin",
        "time_of_day.cos",
    )
    assert m.input_names == inputs
    assert m.scaling.clip == 10
    detector = load(tmp_path / "shaft.anomalite", engine="numpy")
    verdicts = [detector.update_snapshot(600.0 * row, each * 0.001) for row, each in enumerate(samples[:30])]
    assert [verdict.status for verdict in verdicts] == ["warming_up"] * 10 + ["scored"] * 20
    assert verdicts[-1].contributions is not None
    assert tuple(verdicts[-1].contributions) == inputs

    np.savez(tmp_path / "later.npz", time=1.8e9 + 600 * np.arange(60), samples=samples[:60], scale=0.001)
    capsys.readouterr()
    assert main(["evaluate", str(tmp_path / "shaft.anomalite"), str(tmp_path / "later.npz"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["statuses"]["scored"] == 60 - 10
