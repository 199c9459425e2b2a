"""Proving one variant: its own threshold where only that helps, and what no threshold can mend."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from demo_run import Demo

from edge_runtime.manifest import MovingQuantileThreshold
from export import quantized
from export.proof import Proven, Trials, read_source
from export.source import Source
from export.variants import RECIPES, Recipe
from training import Run, read_run
from training.calibrate import reconstruct
from training.labelled import LabelledWindows

NUMPY = next(recipe for recipe in RECIPES if recipe.name == "numpy-float32")
Change = Callable[[npt.NDArray[np.float32]], npt.NDArray[np.float32]]


@pytest.fixture(scope="module")
def run(demo: Demo) -> Run:
    """The demo's run."""
    return read_run(demo.run_directory)


@pytest.fixture(scope="module")
def generous(run: Run) -> Run:
    """The same run, if its configuration allowed any reconstruction: what counts is the decisions."""
    budgets = run.config.export.budgets
    budgets = replace(budgets, int8=replace(budgets.int8, reconstruction=9.0))
    return replace(run, config=replace(run.config, export=replace(run.config.export, budgets=budgets)))


@pytest.fixture(scope="module")
def source(run: Run) -> Source:
    """Its trained model."""
    return read_source(run)


def altered(member: str, change: Change, arithmetic: str = "int8") -> Recipe:
    """The numpy variant with one member changed, judged by the budget of the given arithmetic."""

    def convert(source: Source) -> bytes:
        with np.load(io.BytesIO(NUMPY.convert(source))) as archive:
            members = dict(archive)
        members[member] = change(members[member])
        buffer = io.BytesIO()
        np.savez(buffer, **members)
        return buffer.getvalue()

    return replace(NUMPY, convert=convert, arithmetic=arithmetic)  # type: ignore[arg-type]


def prove(run: Run, source: Source, recipe: Recipe, folder: Path) -> Proven:
    return Trials(run, source, folder / "trial.anomalite").prove(recipe)


class Exaggerating:
    """The trained model, its residuals larger by one factor: with an absolute error so are its scores."""

    best_batch = 64

    def __init__(self, model: Any, factor: float) -> None:
        self._model, self._factor = model, factor

    def run(self, windows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        return windows + np.float32(self._factor) * (reconstruct(self._model, windows) - windows)

    def close(self) -> None:
        """Nothing to give back."""


def test_scores_that_are_all_higher_get_a_higher_threshold(generous: Run, source: Source, tmp_path: Path) -> None:
    """By the bundle's own one in thirty decisions near it would flip; by the variant's hardly one does."""
    recipe = replace(NUMPY, arithmetic="int8", simulate=lambda source: Exaggerating(source.model, 1.012))
    proven = prove(generous, source, recipe, tmp_path)
    assert proven.outcome.refused is None
    assert proven.variant.threshold == proven.outcome.threshold
    assert proven.outcome.threshold == pytest.approx(1.012 * generous.manifest.threshold.value, rel=1e-3)
    assert proven.outcome.parity["near_threshold"].flipped <= 2


def test_no_threshold_mends_more_than_flipped_decisions(run: Run, source: Source, tmp_path: Path) -> None:
    """Scores half as high again are over the budget whatever decides; nor is the variant then left with a threshold."""
    recipe = replace(NUMPY, arithmetic="int8", simulate=lambda source: Exaggerating(source.model, 1.5))
    proven = prove(run, source, recipe, tmp_path)
    assert proven.outcome.threshold is None
    assert "off by" in str(proven.outcome.refused)


def test_a_threshold_that_adapts_is_left_to_itself(generous: Run, source: Source, tmp_path: Path) -> None:
    """It follows the scores on the device; none is calibrated for the variant."""
    moving = MovingQuantileThreshold("moving_quantile", 99.0, 1.5, 0.01, 3, 2.0, generous.manifest.threshold.value)
    recipe = replace(NUMPY, arithmetic="int8", simulate=lambda source: Exaggerating(source.model, 1.012))
    adapting = replace(generous, manifest=replace(generous.manifest, threshold=moving))
    proven = prove(adapting, source, recipe, tmp_path)
    assert proven.outcome.threshold is None
    assert "decisions flipped" in str(proven.outcome.refused)


@pytest.mark.parametrize("arithmetic", ["float32", "float16", "int8"])
def test_a_scale_that_was_halved_is_refused(arithmetic: str, run: Run, source: Source, tmp_path: Path) -> None:
    """Whatever the budget: half of a kernel's scale makes another model."""
    recipe = altered("decoder_1.recurrent", lambda kernel: kernel / 2, arithmetic)
    refused = prove(run, source, recipe, tmp_path).outcome.refused
    assert refused is not None
    assert " off by " in refused or "flipped" in refused


def test_a_halved_scale_of_an_int8_file_is_refused(run: Run, source: Source, tmp_path: Path) -> None:
    """One scale of the unrolled int8 file is half of what it should be. A budget that lets the whole file through refuses it."""
    budgets = run.config.export.budgets
    budgets = replace(budgets, int8=replace(budgets.int8, reconstruction=0.5, flipped=0.01))
    run = replace(run, config=replace(run.config, export=replace(run.config.export, budgets=budgets)))
    recipe = next(recipe for recipe in RECIPES if recipe.name == "tflite-unrolled-int8")

    def damaged(source: Source) -> bytes:
        name, whole = "decoder_1/candidate_in_weights", source.quantization
        halved = replace(whole, constants={**whole.constants, name: whole.constants[name] / 2})
        return quantized.convert(source.model, source.shape, halved)

    assert prove(run, source, recipe, tmp_path).outcome.refused is None
    refused = prove(run, source, replace(recipe, convert=damaged), tmp_path).outcome.refused
    assert refused is not None
    assert " off by " in refused or "flipped" in refused


def test_labelled_windows_are_proven_too(run: Run, source: Source, tmp_path: Path) -> None:
    """Where the run has some: decisions, and the change of the average precision."""
    windows = run.calibration_windows.copy()
    labels = np.arange(len(windows)) % 3 == 0
    windows[labels] += 3
    labelled = replace(run, labelled=LabelledWindows(windows, labels))
    parity = prove(labelled, source, NUMPY, tmp_path).outcome.parity
    assert parity["labelled"].windows == len(windows)
    assert parity["labelled"].average_precision == 0.0
    assert parity["disturbed"].average_precision == 0.0
    assert "labelled" not in prove(run, source, NUMPY, tmp_path).outcome.parity


def test_an_engine_whose_answer_depends_on_the_batch_is_refused(
    run: Run, source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Alone and among others a window is scored alike, or the variant may not be batched."""
    from edge_runtime.engines.numpy import NumpyEngine

    answer = NumpyEngine.run
    monkeypatch.setattr(NumpyEngine, "run", lambda self, windows: answer(self, windows) * (1 + 0.01 * len(windows)))
    refused = prove(run, source, NUMPY, tmp_path).outcome.refused
    assert "expected the same scores for windows alone and in a batch" in str(refused)


def test_a_model_that_answers_no_number_is_left_out(run: Run, source: Source, tmp_path: Path) -> None:
    """One variant that is broken does not keep the others from being exported."""
    recipe = altered("reconstruction.bias", lambda bias: bias * np.float32("nan"))
    assert "expected a finite score, got nan" in str(prove(run, source, recipe, tmp_path).outcome.refused)
