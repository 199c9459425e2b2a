"""Our detectors, as a user gets them: `train` a configuration, `export` it to one sealed file, score with the runtime."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.detection.series import Series
from edge_runtime import Verdicts, load
from edge_runtime.bundle import Bundle
from edge_runtime.detector import Detector
from edge_runtime.engines import is_installed
from edge_runtime.readings import from_microseconds
from export import export_run
from training.calibrate import reconstruct
from training.config import Shares
from training.flow import carry_out
from training.planning import plan
from training.run_directory import Run

TRAINED = "keras"
"""What the trained model says before any conversion, through the same runtime."""


def config_text(
    series: Series, sampling: tuple[float, float], settings: str, model: str, seed: int, resolution: float | None = None
) -> str:
    """The training configuration: what the data set says about itself, its one configuration, and the model.

    `resolution` is that of every channel; without one, channels that do not vary have to be left out.
    """
    period, gap = sampling
    names = varying(series) if resolution is None else series.channels
    known = "" if resolution is None else f"resolution = {resolution}\n"
    channels = "".join(f'[[channels]]\nname = "{name}"\n{known}\n' for name in names)
    return (
        f'name = "benchmark"\nseed = {seed}\n\n[data]\nfiles = ["train.csv"]\ntime_column = "time"\n\n{channels}'
        f"[sampling]\nperiod_s = {period}\nlongest_gap_s = {gap}\n\n{settings.strip()}\n\n{model.strip()}\n"
    )


def varying(series: Series) -> list[str]:
    """The channels that vary in what the weights are fitted to: another tells a model nothing, and training refuses it."""
    train = series.values[series.train]
    fitted = train[: round(Shares().fit * len(train))]
    return [name for name, column in zip(series.channels, fitted.T, strict=True) if column.min() < column.max()]


def verdicts(
    series: Series, config: str, folder: Path, variants: Sequence[str] | None
) -> tuple[dict[str, Verdicts], dict[str, Any]]:
    """Train, export and score a series in an empty folder; `variants` names those to export (None: all).

    Returns the verdicts on every row by variant, and what is worth knowing of the training.
    """
    _write_table(folder / "train.csv", series)
    (folder / "train.toml").write_text(config)
    run = carry_out(plan(folder / "train.toml", folder / "run"))
    bundle = export_run(run, folder / "benchmark.anomalite", variants=variants).bundle
    used = [series.channels.index(name) for name in run.manifest.channel_names]
    values, times = series.values[:, used], series.times.view("datetime64[us]")
    answers = {TRAINED: _keras_detector(run).score(values, times)}
    for variant in bundle.manifest.variants:
        engine = next(engine for engine in variant.engines if is_installed(engine))
        detector = load(bundle.source, engine=engine, variant=variant.name)
        answers[variant.name] = detector.score(values, times)
        detector.close()
    return answers, _facts(run, bundle)


class _KerasEngine:
    """The trained model behind the runtime's engine interface."""

    best_batch = 256

    def __init__(self, model: Any) -> None:
        self._run = partial(reconstruct, model)

    def run(self, windows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """The model's output (B, K, F) for `windows` (B, T, F)."""
        return self._run(windows)

    def close(self) -> None:
        """Nothing to give back."""


def _keras_detector(run: Run) -> Detector:
    return Detector(run.manifest, _KerasEngine(run.load_model()), engine_name="keras")


def _facts(run: Run, bundle: Bundle) -> dict[str, Any]:
    return {
        "family": run.manifest.family,
        "parameters": run.record.parameters,
        "seconds": run.record.seconds,
        "epochs": len(run.record.history),
        "variants": {variant.name: variant.size for variant in bundle.manifest.variants},
    }


def _write_table(path: Path, series: Series) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("time", *series.channels))
        rows = zip(series.times[series.train].tolist(), series.values[series.train].tolist(), strict=True)
        writer.writerows((from_microseconds(time).isoformat(), *map(repr, numbers)) for time, numbers in rows)
