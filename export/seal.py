"""Run directory -> bundle: convert every variant, prove each through the device runtime, seal what passed."""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_runtime.bundle import Bundle, seal
from edge_runtime.commands.verify import verify
from edge_runtime.engines import is_installed
from edge_runtime.errors import ExportError, OutputError
from edge_runtime.files import write_whole
from edge_runtime.golden import GoldenReadings, write_golden
from edge_runtime.manifest import ParityCheck, Variant
from edge_runtime.opening import load
from export.parity import Reference, Windows, check_parity, over_budget, parity_windows
from export.report import complete_report
from export.variants import RECIPES, Recipe
from training.calibrate import reconstruct
from training.run_directory import Run, read_run

Say = Callable[[str], None]

UNPROVEN = "tflite"
"""tflite-runtime runs LiteRT's files, but needs numpy below 2, which TensorFlow does not: `anomalite verify` on the device proves it."""


@dataclass(frozen=True)
class VariantOutcome:
    """What became of one variant."""

    name: str
    engines: tuple[str, ...]
    """The engines it was proven with."""
    size: int
    """Bytes; 0 if it does not convert."""
    parity: dict[str, ParityCheck]
    """By set of windows; the worst of the engines."""
    refused: str | None
    """Why it is not in the bundle; None if it is."""


@dataclass(frozen=True)
class ExportResult:
    """What was sealed, and what was left out."""

    path: Path
    bundle: Bundle
    outcomes: tuple[VariantOutcome, ...]


def export_run(
    run: Run | str | Path,
    out: str | Path | None = None,
    say: Say = lambda line: None,
    variants: Sequence[str] | None = None,
) -> ExportResult:
    """Export a run, or the run directory of that name, to one verified file.

    `out` defaults to `NAME.anomalite` in the current folder; an existing file is replaced once the new one is proven. `say` is
    told what is going on. `variants` names those to make (None: all). Raises `RunError`, `ExportError` if no variant passes or
    there is none of that name, `OutputError`.
    """
    recipes = _recipes(variants)
    run = run if isinstance(run, Run) else read_run(run)
    manifest = run.manifest
    target = Path(out) if out is not None else Path(f"{manifest.name}.anomalite")
    if not (target.parent.is_dir() and os.access(target.parent, os.W_OK)):
        raise OutputError(f"{target}: cannot be written: {target.parent} is no folder that can be written to")
    say("loading the trained model")
    model = run.load_model()
    twin = run.load_twin(model)
    reference = Reference(manifest, partial(reconstruct, model))
    windows = parity_windows(reference, run.calibration_windows, manifest.provenance.seed)

    with tempfile.TemporaryDirectory() as folder:
        trial = Path(folder) / "trial.anomalite"
        passed: list[tuple[Variant, bytes]] = []
        outcomes = []
        for recipe in recipes:
            say(f"converting and proving {recipe.name}")
            outcome, data = _prove(recipe, model, twin, reference, windows, trial)
            outcomes.append(outcome)
            if data is not None:
                passed.append((_variant(recipe, outcome.parity), data))
        if not passed:
            reasons = "; ".join(f"{outcome.name}: {outcome.refused}" for outcome in outcomes)
            raise ExportError(f"{run.path}: no variant passed parity: {reasons}")
        say("sealing")
        models = {variant.name: data for variant, data in passed}
        whole = replace(manifest, variants=tuple(variant for variant, _ in passed))
        values, times = golden_readings(run)
        golden = _expect(seal(trial, whole, models, None), values, times)
        bundle = seal(trial, whole, models, write_golden(golden))
        failed = [result for result in verify(bundle)[0] if not result.passed and result.engine != UNPROVEN]
        if failed:
            raise ExportError(f"{target}: {failed[0].variant} on {failed[0].engine} does not repeat its golden scores")
        write_whole(target, trial.read_bytes())
    result = ExportResult(target, Bundle.read(target), tuple(outcomes))
    complete_report(run.path, result, say)
    return result


def _recipes(variants: Sequence[str] | None) -> tuple[Recipe, ...]:
    known = [recipe.name for recipe in RECIPES]
    for name in variants or ():
        if name not in known:
            raise ExportError(f"expected variants among {', '.join(known)}, got {name!r}")
    return tuple(recipe for recipe in RECIPES if variants is None or recipe.name in variants)


def _prove(
    recipe: Recipe, model: Any, twin: Any, reference: Reference, windows: dict[str, Windows], trial: Path
) -> tuple[VariantOutcome, bytes | None]:
    """Convert one variant and compare it, sealed and read back, with the trained model; its bytes if it passed."""
    engines = _proving_engines(recipe.engines)
    if not engines:
        return VariantOutcome(
            recipe.name, (), 0, {}, f"not proven: {' or '.join(recipe.engines)} is not installed"
        ), None
    manifest = reference.manifest
    try:
        data = recipe.convert(model, twin, manifest.window_shape)
    except ExportError as fault:
        return VariantOutcome(recipe.name, engines, 0, {}, str(fault)), None
    seal(trial, replace(manifest, variants=(_variant(recipe, {}),)), {recipe.name: data}, None)
    checks = []
    for engine in engines:
        detector = load(trial, engine=engine)
        checks.append(check_parity(reference, detector, windows))
        detector.close()
    parity = {name: _worst([check[name] for check in checks]) for name in windows}
    refused = over_budget(parity, recipe.budget)
    return VariantOutcome(recipe.name, engines, len(data), parity, refused), data if refused is None else None


def _proving_engines(engines: tuple[str, ...]) -> tuple[str, ...]:
    """Those that can be asked here."""
    return tuple(engine for engine in engines if engine != UNPROVEN and is_installed(engine))


def _worst(checks: list[ParityCheck]) -> ParityCheck:
    return ParityCheck(
        checks[0].windows,
        max(check.reconstruction for check in checks),
        max(check.score for check in checks),
        max(check.flipped for check in checks),
    )


def _variant(recipe: Recipe, parity: dict[str, ParityCheck]) -> Variant:
    return Variant(recipe.name, recipe.file, recipe.engines, "", 0, recipe.tolerance, parity)


def golden_readings(run: Run) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """A stretch of held-out readings (N, C) and their times (N,), made to visit every path of the preparation.

    One value is missing (held), one is infinite, a long silence restarts the window, and the last third is shifted, so that it
    is decided otherwise. The readings follow one another evenly, and again from the start where there are not enough. Where the
    machine has to settle, there is time for it, at the beginning and after the silence. Where its state has two levels, the first
    reading is one that switches it on, and so is the one after the silence.
    """
    sampling, operating = run.manifest.sampling, run.manifest.operating
    settling = 0 if operating is None else math.ceil(operating.settle_s / sampling.period_s)
    needed = run.manifest.preparation.readings_needed
    length = needed + settling
    rows = 4 * needed + 16 + 2 * settling
    values = np.resize(_held(run.stream_values), (rows, len(run.manifest.channels)))
    times = run.stream_times[0] + round(sampling.period_s * 1e6) * np.arange(rows)
    spread = values.std(axis=0)
    values[length + 1, 0] = np.nan
    values[length + 3, -1] = np.inf
    last = slice(-((rows - 2 * settling) // 3), None)
    values[last] += np.linspace(0, 12, len(values[last]))[:, None] * spread
    restart = length + run.manifest.window.length
    times[restart:] += round(2e6 * sampling.longest_gap_s)
    if operating is not None and operating.until is not None:
        values[restart] = values[0]
    return values, times


def _held(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Readings (N, C) with each missing value replaced by the channel's last one, or by its first."""
    rows = np.where(np.isnan(values), -1, np.arange(len(values))[:, None])
    first = (rows >= 0).argmax(axis=0)
    return np.asarray(np.take_along_axis(values, np.maximum(np.maximum.accumulate(rows, axis=0), first), axis=0))


def _expect(bundle: Bundle, values: npt.NDArray[np.float64], times: npt.NDArray[np.int64]) -> GoldenReadings:
    """What each variant of the bundle answers to the readings, on the first engine that runs it here."""
    scores: dict[str, npt.NDArray[np.float64]] = {}
    for variant in bundle.manifest.variants:
        engine = _proving_engines(variant.engines)[0]
        detector = load(bundle.source, engine=engine, variant=variant.name)
        verdicts = detector.score(values, times.view("datetime64[us]"))
        detector.close()
        scores[variant.name] = verdicts.scores
    return GoldenReadings(values, times, verdicts.status_codes, scores)
