"""The parity gate: what it compares, and that it refuses a model that is not the trained one."""

from __future__ import annotations

import io
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from demo_run import Demo

from edge_runtime.bundle import seal
from edge_runtime.errors import ExportError
from edge_runtime.manifest import Channel, ParityCheck, Score, Variant, Window
from edge_runtime.opening import load
from export import numpy_weights
from export.parity import NEAR, ParitySet, Reference, check_parity, over_budget, parity_sets
from training import Run, read_run
from training.calibrate import reconstruct
from training.export_settings import Float32Budget, Int8Budget


@pytest.fixture(scope="module")
def run(demo: Demo) -> Run:
    """The demo's run."""
    return read_run(demo.run_directory)


@pytest.fixture(scope="module")
def reference(run: Run) -> Reference:
    """Its trained model in Keras."""
    return Reference(run.manifest, partial(reconstruct, run.load_model()))


@pytest.fixture(scope="module")
def sets(reference: Reference, run: Run) -> dict[str, ParitySet]:
    """What parity is measured on."""
    return parity_sets(reference, run.calibration_windows, seed=1)


@pytest.fixture(scope="module")
def weights(run: Run) -> bytes:
    """The trained model for the numpy engine."""
    return numpy_weights.convert(run.load_model(), run.manifest.window_shape)


def _check(run: Run, model: bytes, sets: dict[str, ParitySet], path: Path) -> dict[str, ParityCheck]:
    variant = Variant("numpy-float32", "model.npz", ("numpy",), "", 0, 1e-3)
    seal(path, replace(run.manifest, variants=(variant,)), {variant.name: model}, None)
    return check_parity(load(path), sets)


def _altered(model: bytes, change: str) -> bytes:
    """The model with all kernels zeroed, or the numbers of one kernel in another order."""
    with np.load(io.BytesIO(model)) as archive:
        members = dict(archive)
    for name, weight in members.items():
        if name.endswith(".kernel") and change == "zeroed":
            members[name] = np.zeros_like(weight)
        elif name == "reconstruction.kernel":
            members[name] = np.random.default_rng(1).permutation(weight.ravel()).reshape(weight.shape)
    buffer = io.BytesIO()
    np.savez(buffer, **members)
    return buffer.getvalue()


def test_at_least_a_thousand_windows_lie_near_the_threshold(reference: Reference, sets: dict[str, ParitySet]) -> None:
    """By the trained model's own score, on both sides."""
    ratio = sets["near_threshold"].scores / reference.manifest.threshold.value
    assert len(ratio) >= 1000
    assert np.abs(ratio - 1).max() <= NEAR
    assert min((ratio < 0.95).mean(), (ratio > 1.05).mean()) > 0.2


def test_held_out_windows_without_a_way_to_the_threshold_are_an_error(run: Run, reference: Reference) -> None:
    """A threshold out of reach cannot be proven."""
    far = replace(run.manifest, threshold=replace(run.manifest.threshold, value=1e9))
    with pytest.raises(ExportError, match="expected at least 1000 windows within 20% of the threshold"):
        parity_sets(Reference(far, reference.reconstruct), run.calibration_windows, seed=1)


def test_the_trained_weights_pass(run: Run, weights: bytes, sets: dict[str, ParitySet], tmp_path: Path) -> None:
    """Within float32 rounding, no decision flipped far from the threshold."""
    checks = _check(run, weights, sets, tmp_path / "trial.anomalite")
    assert over_budget(checks, Float32Budget()) is None
    assert max(check.score for check in checks.values()) < 1e-4


@pytest.mark.parametrize("change", ["zeroed", "shuffled"])
def test_other_weights_are_refused(
    change: str, run: Run, weights: bytes, sets: dict[str, ParitySet], tmp_path: Path
) -> None:
    """Zeroed, and shuffled in the last layer only."""
    checks = _check(run, _altered(weights, change), sets, tmp_path / "trial.anomalite")
    refused = over_budget(checks, Float32Budget())
    assert refused is not None
    assert "normal windows" in refused


@pytest.mark.parametrize(
    ("check", "says"),
    [
        (ParityCheck(100, 0.0, 0.0, 0), None),
        (ParityCheck(100, 0.1, 0.0, 0), "reconstruction off by 0.1"),
        (ParityCheck(100, float("nan"), 0.0, 0), "reconstruction off by nan"),
        (ParityCheck(100, 0.0, 0.1, 0), "score off by 10.00%"),
        (ParityCheck(100, 0.0, 0.0, 1), "1 decisions flipped"),
        (ParityCheck(100, 0.0, 0.0, 0, 0.01), "average precision off by 0.01 (allowed 0.001)"),
    ],
)
def test_each_limit_of_the_budget_counts(check: ParityCheck, says: str | None) -> None:
    """And a NaN is over every limit."""
    refused = over_budget({"normal": check}, Float32Budget())
    assert refused is None if says is None else says in str(refused)


def test_disturbed_and_labelled_windows_share_their_budget() -> None:
    """Few labelled ones cannot tell one in a thousand; normal ones are judged alone, since there a flip is a false alarm."""
    checks = {
        "normal": ParityCheck(400, 0.0, 0.0, 0),
        "disturbed": ParityCheck(4000, 0.0, 0.0, 3),
        "labelled": ParityCheck(300, 0.0, 0.0, 1),
    }
    assert over_budget(checks, Int8Budget()) is None
    more = checks | {"labelled": ParityCheck(300, 0.0, 0.0, 2)}
    assert "5 decisions flipped (allowed 0.1%) on 4300 disturbed or labelled windows" in str(
        over_budget(more, Int8Budget())
    )
    false_alarm = checks | {"normal": ParityCheck(400, 0.0, 0.0, 1)}
    assert "1 decisions flipped (allowed 0.1%) on 400 normal windows" in str(over_budget(false_alarm, Int8Budget()))


@pytest.mark.parametrize("channels", [1, 8, 20, 52])
def test_enough_windows_come_near_the_threshold_whatever_the_number_of_channels(channels: int, run: Run) -> None:
    """One disturbed channel of many moves the mean little; a model that reconstructs zero stands for any."""
    rng = np.random.default_rng(channels)
    normal = rng.normal(size=(60, 32, channels)).astype(np.float32)
    names = tuple(Channel(f"c{i}") for i in range(channels))
    scaling = replace(run.manifest.scaling, center=(0.0,) * channels, scale=(1.0,) * channels)
    threshold = replace(run.manifest.threshold, value=1.5 * float(np.abs(normal).mean()))
    manifest = replace(
        run.manifest, channels=names, scaling=scaling, threshold=threshold, window=Window(32), score=Score()
    )
    reference = Reference(manifest, np.zeros_like)
    near = parity_sets(reference, normal, seed=1)["near_threshold"].windows
    assert len(near) >= 1000
    assert np.abs(reference.scores(near) / threshold.value - 1).max() <= NEAR
