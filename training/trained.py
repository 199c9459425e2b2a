"""One model fitted and calibrated, or the one that `auto` chooses, with its manifest and its record."""

from __future__ import annotations

import platform
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from edge_runtime.detector import Detector
from edge_runtime.errors import TrainingError
from edge_runtime.manifest import FORMAT as BUNDLE_FORMAT
from edge_runtime.manifest import Manifest, Provenance
from edge_runtime.readings import from_microseconds
from training.auto import Candidate, select
from training.calibrate import Calibration, HeldOut, answers, calibrate, fit_score
from training.config import Model
from training.cost import multiply_adds
from training.crossfit import cross_fitted
from training.data import Part, window_times
from training.families import LinearAutoencoder, is_closed_form
from training.fit import Fitted, Progress
from training.inputs import least_residuals
from training.keras_engine import KerasEngine
from training.models import estimates
from training.planning import Plan, in_state
from training.run_directory import (
    FORMAT,
    MODEL,
    EarlierRun,
    PartRecord,
    Record,
    Run,
)
from training.trim import Trimmed, describe_dropped, fit_trimmed


@dataclass(frozen=True, slots=True)
class FittedModel:
    """A model that is fitted and calibrated."""

    spec: Model
    model: Any
    calibration: Calibration
    manifest: Manifest
    record: Record


def fit_model(plan: Plan, spec: Model, progress: Progress | None) -> FittedModel:
    """Fit one model as the configuration says, then its score and its threshold. Raises `TrainingError`."""
    config, parts = plan.config, plan.data.parts
    is_cross_fitted = len(parts) == 1
    fitted, dropped = fit_trimmed(
        spec,
        config.fit,
        config.seed,
        parts["fit"].windows,
        plan.data.early_stopping.windows,
        start=None if plan.earlier is None else plan.earlier.load_model(),
        progress=None if is_cross_fitted else progress,
    )
    for_score, for_threshold = _held_out(plan, spec, fitted)
    score = fit_score(for_score, config.score, least_residuals(plan.data.sections))
    calibration = calibrate(for_threshold, score, config.threshold, config.alarm, config.sampling.period_s)
    if is_cross_fitted:
        loss = float(np.mean((for_score.outputs - for_score.windows).astype(np.float64) ** 2))
        fitted = replace(fitted, history=(replace(fitted.history[0], held_out_loss=loss),))
        if progress is not None:
            progress(1, fitted.history[0])
    trimmed = None
    if dropped is not None:
        stride = 1 if is_cross_fitted else config.fit.stride
        times = window_times(plan.data, parts["fit"], stride)
        trimmed = describe_dropped(dropped, *times)
    record = _record(plan, fitted, trimmed)
    return FittedModel(spec, fitted.model, calibration, _manifest(plan, spec, record, calibration), record)


def _held_out(plan: Plan, spec: Model, fitted: Fitted) -> tuple[HeldOut, HeldOut]:
    """Held-out answers for the score and for the threshold to be fitted to."""
    parts = plan.data.parts
    if len(parts) == 1 and isinstance(spec, LinearAutoencoder):
        held_out = cross_fitted(spec, parts["fit"], trim=plan.config.fit.trim, reach=plan.data.sections.readings_needed)
        return held_out, held_out
    return answers(fitted.model, parts["early_stopping"]), answers(fitted.model, parts["calibration"])


def choose_model(plan: Plan, progress: Progress | None, announce: Callable[[str], None]) -> tuple[Plan, FittedModel]:
    """Fit every candidate and choose one by injected faults; one in closed form is then fitted to all readings."""
    trained = []
    for number, spec in enumerate(plan.config.models, 1):
        announce(f"candidate {number} of {len(plan.config.models)}: {spec.family}")
        try:
            trained.append(fit_model(plan, spec, progress))
        except TrainingError as fault:
            raise TrainingError(f"candidate {spec.family}: {fault}") from None
    candidates = [
        Candidate(
            model=each.spec,
            # The readings to judge by are those in the state to learn: nothing has to settle, or to switch on, before them.
            detector=Detector(replace(each.manifest, operating=None), KerasEngine(each.model)),
            parameters=each.record.parameters,
            multiply_adds=multiply_adds(each.model),
            seconds=each.record.seconds,
        )
        for each in trained
    ]
    selection = select(candidates, in_state(plan.data), plan.data.sections.readings_needed, plan.config.seed)
    chosen = trained[selection.chosen]
    if plan.whole is not None and is_closed_form(chosen.spec):
        plan = replace(plan, data=plan.whole)
        chosen = fit_model(plan, chosen.spec, progress)
    return plan, replace(chosen, record=replace(chosen.record, selection=selection))


def _record(plan: Plan, fitted: Fitted, trimmed: Trimmed | None) -> Record:
    return Record(
        format=FORMAT,
        name=plan.config.name,
        config_path=str(plan.config_path),
        trained_at=datetime.now(UTC).isoformat(timespec="seconds"),
        seed=plan.config.seed,
        parameters=int(fitted.model.count_params()),
        seconds=round(fitted.seconds, 3),
        best_epoch=fitted.best_epoch,
        history=fitted.history,
        parts={name: _part_record(part) for name, part in plan.data.parts.items()},
        data_sha256=plan.data_sha256,
        versions=_versions(),
        earlier=None if plan.earlier is None else _earlier_run(plan.earlier),
        trimmed=trimmed,
    )


def _earlier_run(run: Run) -> EarlierRun:
    return EarlierRun(str(run.path), run.record.trained_at, run.record.files[MODEL], run.record.data_sha256)


def _part_record(part: Part) -> PartRecord:
    first, last = part.stretches[0].times[0], part.stretches[-1].times[-1]
    return PartRecord(from_microseconds(int(first)), from_microseconds(int(last)), part.rows, len(part.windows))


def _manifest(plan: Plan, spec: Model, record: Record, calibration: Calibration) -> Manifest:
    config, best = plan.config, record.history[record.best_epoch - 1]
    return Manifest(
        format=BUNDLE_FORMAT,
        name=config.name,
        family=spec.family,
        parameters=record.parameters,
        time_column=config.data.time_column,
        channels=plan.data.sections.channels,
        sampling=config.sampling,
        cleaning=plan.data.sections.cleaning,
        scaling=plan.data.scaling,
        window=config.window,
        operating=config.operating,
        sensors=config.sensors,
        score=calibration.score,
        threshold=calibration.threshold,
        alarm=config.alarm,
        calibration=calibration.quantiles,
        derived=config.derived,
        waveform=config.waveform,
        provenance=Provenance(
            trained_at=record.trained_at,
            seed=config.seed,
            data_sha256=record.data_sha256,
            trained_from=record.parts["fit"].first.isoformat(),
            trained_to=list(record.parts.values())[-1].last.isoformat(),
            versions=record.versions,
            metrics={
                **{f"{name}_windows": float(part.windows) for name, part in record.parts.items()},
                "epochs": float(len(record.history)),
                "best_epoch": float(record.best_epoch),
                "seconds": record.seconds,
                "loss": best.loss,
                "held_out_loss": best.held_out_loss,
            },
        ),
        estimates=estimates(spec),
    )


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for package in ("anomalite", "numpy", "keras", "tensorflow"):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:  # run from a checkout; tensorflow as tensorflow-cpu or one's own build
            versions[package] = "not installed as a package"
    return versions
