"""Proving one variant: converted, sealed, read back through the device runtime, and compared with the trained model."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from statistics import median

import numpy as np
import numpy.typing as npt

from edge_runtime.bundle import Bundle, seal
from edge_runtime.detector import Detector
from edge_runtime.engines import is_installed
from edge_runtime.errors import EngineError, ExportError
from edge_runtime.manifest import (
    Manifest,
    MovingQuantileThreshold,
    ParityCheck,
    Requires,
    SpotThreshold,
    Variant,
)
from edge_runtime.opening import open_variant
from edge_runtime.readings import Verdicts
from export.outcome import VariantOutcome
from export.parity import (
    ParitySet,
    Reference,
    check_parity,
    fitting_threshold,
    flips_over_budget,
    over_budget,
    parity_sets,
    representative_windows,
)
from export.source import Source
from export.tflite_graph import operator_versions
from export.variants import Recipe
from training.calibrate import reconstruct
from training.export_settings import Budget
from training.extra import import_extra
from training.run_directory import Run

UNPROVEN = "tflite"
"""tflite-runtime runs LiteRT's files, but needs numpy below 2, which TensorFlow does not: `anomalite verify` on the device proves it."""
SINGLE = 32
"""Windows that are also asked for one by one: alone and in a batch they must be answered alike."""


@dataclass(frozen=True)
class Proven:
    """A variant with what it takes to seal it."""

    outcome: VariantOutcome
    variant: Variant
    data: bytes
    open: Callable[[Bundle], Detector] | None
    """Opens it as it was proven; None if it does not convert."""

    def answer(self, bundle: Bundle, values: npt.NDArray[np.float64], times: npt.NDArray[np.int64]) -> Verdicts:
        """What it answers to readings (N, C) at `times` (N,) in microseconds, read from the bundle."""
        assert self.open is not None
        detector = self.open(bundle)
        verdicts = detector.score(values, times.view("datetime64[us]"))
        detector.close()
        return verdicts


def read_source(run: Run) -> Source:
    """The run's trained model and the windows it is quantized by. Raises `RunError`, `ExtraMissingError`, `ExportError`."""
    return Source(
        spec=run.model,
        model=run.load_model(),
        shape=run.manifest.window_shape,
        representative=representative_windows(run.calibration_windows, run.manifest.provenance.seed),
        fine_tuned=run.quantization,
        import_twin=lambda: import_extra("tf_keras", "anomalite export"),
    )


class Trials:
    """The trained model of a run, against which variants are proven one after the other."""

    def __init__(self, run: Run, source: Source, trial: Path) -> None:
        """`trial`: where a bundle with each one is written and read back."""
        self._run, self._source, self._trial = run, source, trial
        self._manifest: Manifest = run.manifest
        self._seed = run.manifest.provenance.seed
        self._reference = Reference(run.manifest, partial(reconstruct, source.model))

    @cached_property
    def sets(self) -> dict[str, ParitySet]:
        """What parity is measured on."""
        return parity_sets(self._reference, self._run.calibration_windows, self._seed, self._run.labelled)

    def prove(self, recipe: Recipe) -> Proven:
        """Convert one variant and compare it, sealed and read back, with the trained model."""
        engines = _proving_engines(recipe.engines)
        if not engines:
            return _not_made(recipe, (), f"not proven: {' or '.join(recipe.engines)} is not installed")
        try:
            data = recipe.convert(self._source)
        except ExportError as fault:
            return _not_made(recipe, engines, str(fault))
        operators = operator_versions(data) if "litert" in recipe.engines else {}
        variant = replace(variant_of(recipe, self._source.has_lstm), requires=Requires(operators))
        budget: Budget = getattr(self._run.config.export.budgets, recipe.arithmetic)
        try:
            variant, refused = self._judge(recipe, variant, data, engines, budget)
        except (EngineError, ExportError) as fault:  # a model that is refused, or that answers what is no number
            return _not_made(recipe, engines, str(fault))
        if refused is None and recipe.simulate is not None:
            refused = self._file_refused(variant, data, engines[0])
        outcome = VariantOutcome(recipe.name, engines, len(data), variant.parity, refused, variant.threshold)
        if recipe.simulate is None:
            detector = open_variant(self._sealed(variant, data), engines[0], variant)
            outcome = replace(outcome, microseconds=_microseconds(detector, self.sets["normal"].windows[:1]))
            detector.close()
        return Proven(outcome, variant, data, partial(self._open, recipe, variant, engines[0]))

    def _file_refused(self, variant: Variant, data: bytes, engine: str) -> str | None:
        """Why the file itself is refused, calculated here in float32, of a variant whose own arithmetic was simulated."""
        plain = replace(variant, half=False, threshold=None)
        detector = open_variant(self._sealed(plain, data), engine, plain)
        refused = over_budget(check_parity(detector, self.sets), self._run.config.export.budgets.float32)
        detector.close()
        return None if refused is None else f"in float32: {refused}"

    def _judge(
        self, recipe: Recipe, variant: Variant, data: bytes, engines: tuple[str, ...], budget: Budget
    ) -> tuple[Variant, str | None]:
        """The variant with its parity record, and why it is refused; with its own threshold where only that helps."""
        variant = replace(variant, parity=self._check(recipe, variant, data, engines))
        refused = over_budget(variant.parity, budget)
        adapts = isinstance(self._manifest.threshold, (MovingQuantileThreshold, SpotThreshold))
        if refused is None or adapts or not flips_over_budget(variant.parity, budget):
            return variant, refused
        detector = self._open(recipe, variant, engines[0], self._sealed(variant, data))
        own = fitting_threshold(self._reference, detector, self._run.calibration_windows, self._seed)
        detector.close()
        calibrated = replace(variant, threshold=own)
        calibrated = replace(calibrated, parity=self._check(recipe, calibrated, data, engines))
        if over_budget(calibrated.parity, budget) is None:
            return calibrated, None
        return variant, refused

    def _check(self, recipe: Recipe, variant: Variant, data: bytes, engines: tuple[str, ...]) -> dict[str, ParityCheck]:
        bundle = self._sealed(variant, data)
        checks = []
        for engine in engines:
            detector = self._open(recipe, variant, engine, bundle)
            _check_alone(detector, self.sets["normal"].windows[:SINGLE])
            checks.append(check_parity(detector, self.sets))
            detector.close()
        return {name: _worst([check[name] for check in checks]) for name in self.sets}

    def _sealed(self, variant: Variant, data: bytes) -> Bundle:
        return seal(self._trial, replace(self._manifest, variants=(variant,)), {variant.name: data}, None)

    def _open(self, recipe: Recipe, variant: Variant, engine: str, bundle: Bundle) -> Detector:
        """The sealed variant, or where this CPU calculates otherwise than those it is meant for, their simulation."""
        if recipe.simulate is None:
            return open_variant(bundle, engine, bundle.variant(variant.name))
        return Detector(bundle.manifest.for_variant(variant), recipe.simulate(self._source), engine_name="simulation")


def _proving_engines(engines: tuple[str, ...]) -> tuple[str, ...]:
    """Those that can be asked here."""
    return tuple(engine for engine in engines if engine != UNPROVEN and is_installed(engine))


def _not_made(recipe: Recipe, engines: tuple[str, ...], reason: str) -> Proven:
    return Proven(VariantOutcome(recipe.name, engines, 0, {}, reason), variant_of(recipe), b"", None)


def variant_of(recipe: Recipe, has_lstm: bool = True) -> Variant:
    """What the manifest says of a variant before it is proven; `has_lstm`: whether the model has LSTM layers."""
    return Variant(
        recipe.name,
        recipe.file,
        recipe.engines,
        sha256="",
        size=0,
        tolerance=recipe.tolerance,
        boards=recipe.boards if has_lstm else recipe.boards_without_lstm,
        half=recipe.arithmetic == "float16",
        largest_batch=recipe.largest_batch,
    )


def _worst(checks: list[ParityCheck]) -> ParityCheck:
    changes = [check.average_precision for check in checks if check.average_precision is not None]
    return ParityCheck(
        checks[0].windows,
        float(np.max([check.reconstruction for check in checks])),  # a NaN stays one
        float(np.max([check.score for check in checks])),
        max(check.flipped for check in checks),
        max(changes) if changes else None,
    )


def _check_alone(detector: Detector, windows: npt.NDArray[np.float32]) -> None:
    """Raise `ExportError` unless windows (B, T, F) are scored alone as they are in a batch."""
    together = detector.score_windows(windows)[0]
    alone = np.concatenate([detector.score_windows(windows[i : i + 1])[0] for i in range(len(windows))])
    difference = float((np.abs(together - alone) / np.maximum(alone, np.finfo(float).tiny)).max())
    if not difference < 1e-3:
        raise ExportError(
            f"{detector.engine_name}: {detector.variant_name}: expected the same scores for windows alone and in a batch, "
            f"got {difference:.2%} between them"
        )


def _microseconds(detector: Detector, window: npt.NDArray[np.float32], blocks: int = 40, calls: int = 10) -> float:
    """The median time of one window (1, T, F) through the engine, over blocks of calls."""
    run = detector.engine.run
    taken = []
    for _ in range(blocks):
        start = time.perf_counter()
        for _ in range(calls):
            run(window)
        taken.append((time.perf_counter() - start) / calls * 1e6)
    return median(taken)
