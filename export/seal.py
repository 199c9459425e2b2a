"""Run directory -> bundle: convert every variant, prove each through the device runtime, seal what passed."""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edge_runtime.bundle import Bundle, seal
from edge_runtime.commands.verify import verify
from edge_runtime.errors import ExportError, OutputError
from edge_runtime.files import write_whole
from edge_runtime.golden import GoldenReadings, write_golden
from export import arm
from export.outcome import VariantOutcome
from export.proof import UNPROVEN, Trials, read_source
from export.report import complete_report
from export.variants import choose_recipes
from training.run_directory import Run, read_run

Say = Callable[[str], None]

COUNTED_BOARDS = (4, 5)
"""The Raspberry Pis that instructions are counted for: one without half precision, one with it."""


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
    root: Path | None = None,
) -> ExportResult:
    """Export a run, or the run directory of that name, to one verified file.

    `out` defaults to `NAME.anomalite` in the current folder; an existing file is replaced once the new one is proven. `say` is
    told what is going on. `variants` names those to make (None: the default ones). `root` is an ARM userland (`arm.py`) to count each one's
    instructions in, which takes about ten seconds a variant. Raises `RunError`, `ExportError` if no variant passes or
    there is none of that name, `OutputError`.
    """
    run = run if isinstance(run, Run) else read_run(run)
    recipes = choose_recipes(variants, run.model.family.startswith("lstm"), run.manifest.window.length)
    manifest = run.manifest
    target = Path(out) if out is not None else Path(f"{manifest.name}.anomalite")
    if not (target.parent.is_dir() and os.access(target.parent, os.W_OK)):
        raise OutputError(f"{target}: cannot be written: {target.parent} is no folder that can be written to")
    say("loading the trained model")
    source = read_source(run)
    with tempfile.TemporaryDirectory() as folder:
        trial = Path(folder) / "trial.anomalite"
        trials = Trials(run, source, trial)
        proven = []
        for recipe in recipes:
            say(f"converting and proving {recipe.name}")
            proven.append(trials.prove(recipe))
        outcomes = tuple(each.outcome for each in proven)
        passed = [each for each in proven if each.outcome.refused is None]
        if not passed:
            reasons = "; ".join(f"{outcome.name}: {outcome.refused}" for outcome in outcomes)
            raise ExportError(f"{run.path}: no variant passed parity: {reasons}")
        say("sealing")
        models = {each.variant.name: each.data for each in passed}
        whole = replace(manifest, variants=tuple(each.variant for each in passed))
        values, times = golden_readings(run)
        unproven = seal(trial, whole, models, None)
        scores = {each.variant.name: each.answer(unproven, values, times) for each in passed}
        status_codes = next(iter(scores.values())).status_codes
        golden = GoldenReadings(values, times, status_codes, {name: each.scores for name, each in scores.items()})
        bundle = seal(trial, whole, models, write_golden(golden))
        failed = [result for result in verify(bundle)[0] if not result.passed and result.engine != UNPROVEN]
        if failed:
            raise ExportError(f"{target}: {failed[0].variant} on {failed[0].engine} does not repeat its golden scores")
        write_whole(target, trial.read_bytes())
    bundle = Bundle.read(target)
    if root is not None:
        say("counting ARM instructions")
        try:
            outcomes = tuple(_counted(outcome, bundle, root) for outcome in outcomes)
        except ExportError as fault:  # the bundle is sealed and does not depend on it
            say(f"instructions are not counted: {fault}")
    result = ExportResult(target, bundle, outcomes)
    complete_report(run.path, result, say)
    return result


def _counted(outcome: VariantOutcome, bundle: Bundle, root: Path) -> VariantOutcome:
    """The outcome with its instructions a window, on the boards and with the first engine that the root has."""
    here = arm.installed(root)
    engines = [engine for engine in outcome.engines if engine in here]
    if outcome.refused is not None or not engines:
        return outcome
    counts = {
        f"Pi {board}": arm.instructions(root, Path(bundle.source), engines[0], outcome.name, board) / 1000
        for board in COUNTED_BOARDS
    }
    return replace(outcome, instructions=counts)


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
