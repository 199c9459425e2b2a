"""The whole of training: plan (configuration, data, target) -> fit -> calibrate -> run directory.

`plan` needs no TensorFlow and finds what is wrong with the input at once; `carry_out` does the work.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from training.config import Auto
from training.data import NormalData, longest_stream
from training.extra import require_extra
from training.fit import Progress
from training.labelled import labelled_windows
from training.planning import Plan, plan
from training.quantize import fine_tune
from training.report_sections import Trained, build_report
from training.run_directory import (
    NormalReadings,
    Run,
    write_run,
)
from training.trained import choose_model, fit_model

MOST_WINDOWS = 4_000
"""Held-out windows kept in a run directory."""
STREAM_ROWS = 512
"""Held-out rows kept in a run directory, or four times what the first score needs if that is more."""


def train(
    config_path: str | Path,
    out: str | Path | None = None,
    from_run: str | Path | None = None,
    force: bool = False,
    progress: Progress | None = None,
) -> Run:
    """Train a detector as a TOML configuration says and write a run directory.

    `out` defaults to `runs/NAME` in the current folder; `from_run` is a run directory whose weights and scaling to go on from;
    `force` replaces a run directory that is there already; `progress` is told of every epoch. Raises `InputError`,
    `TrainingError`, `RunError`, `OutputError`, `ExtraMissingError`; whatever is raised, Ctrl-C too, no half run is left behind.
    """
    return carry_out(plan(config_path, out, from_run, force), progress)


def carry_out(plan: Plan, progress: Progress | None = None, announce: Callable[[str], None] = lambda line: None) -> Run:
    """Fit, calibrate and write the run directory; errors as for `train`. `announce` is told of each candidate of `auto`."""
    require_extra("anomalite train", "matplotlib", "jinja2")  # before the hours, not after them
    config = plan.config
    if isinstance(config.model, Auto):
        plan, trained = choose_model(plan, progress, announce)
    else:
        trained = fit_model(plan, config.model, progress)
    quantization = None
    if config.quantize is not None:
        announce("fine-tuning for int8")
        parts = plan.data.parts["fit"].windows, plan.data.early_stopping.windows
        quantization, gain = fine_tune(trained.model, *parts, config.quantize, config.seed)
        trained = replace(trained, record=replace(trained.record, quantized=gain))
    report = build_report(
        Trained(
            config,
            trained.manifest,
            trained.record,
            plan.rows,
            plan.data.last,
            trained.calibration,
            trained.model,
            plan.test,
        )
    )
    return write_run(
        plan.out,
        model=trained.model,
        manifest=trained.manifest,
        config=plan.config_text,
        normal=_normal_readings(plan.data),
        record=trained.record,
        labelled=None if plan.test is None else labelled_windows(plan.test, plan.data.sections),
        quantization=quantization,
        report=report,
        force=plan.force,
    )


def _normal_readings(data: NormalData) -> NormalReadings:
    windows = data.last.windows
    kept = np.linspace(0, len(windows) - 1, min(len(windows), MOST_WINDOWS)).round().astype(np.int64)
    stream = longest_stream(data.last, max(STREAM_ROWS, 4 * data.sections.readings_needed))
    return NormalReadings(windows[kept], stream.values, stream.times)
