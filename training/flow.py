"""The whole of training: plan (configuration, data, target) -> fit -> calibrate -> run directory.

`plan` needs no TensorFlow and finds what is wrong with the input at once; `carry_out` does the work.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from edge_runtime.detector import Detector
from edge_runtime.errors import RunError, TrainingError
from edge_runtime.manifest import FORMAT as BUNDLE_FORMAT
from edge_runtime.manifest import Channel, Manifest, Provenance
from edge_runtime.readings import from_microseconds
from training.auto import Candidate, check_room, select
from training.calibrate import Calibration, HeldOut, answers, calibrate, fit_score
from training.config import Auto, Config, Model, parse_config, read_config
from training.cost import multiply_adds
from training.crossfit import cross_fitted
from training.data import NormalData, Part, Stretch, longest_stream, prepare_data, read_files, window_times
from training.extra import require_extra
from training.families import LinearAutoencoder, is_closed_form
from training.fit import Fitted, Progress
from training.inputs import describe_channels
from training.keras_engine import KerasEngine
from training.labelled import EvaluationTable, leave_out_training, read_evaluation_table
from training.models import estimates
from training.replace_directory import check_target
from training.report_sections import Trained, build_report
from training.run_directory import (
    FORMAT,
    MODEL,
    RECORD,
    EarlierRun,
    NormalReadings,
    PartRecord,
    Record,
    Run,
    read_run,
    write_run,
)
from training.trim import Trimmed, describe_dropped, fit_trimmed

MOST_WINDOWS = 4_000
"""Held-out windows kept in a run directory."""
STREAM_ROWS = 512
"""Held-out rows kept in a run directory, or four times what the first score needs if that is more."""


@dataclass(frozen=True, slots=True)
class Plan:
    """All that is known before training."""

    config: Config
    config_path: Path
    config_text: bytes
    channels: tuple[Channel, ...]
    data: NormalData
    data_sha256: dict[str, str]
    """Of each file, by its name in the configuration."""
    out: Path
    earlier: Run | None
    force: bool
    rows: int
    """Of the data files, before anything is left out."""
    test: EvaluationTable | None
    """What `[evaluation]` names."""
    whole: NormalData | None = None
    """For `auto`: all rows in one part, should a model in closed form be chosen."""


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


def plan(
    config_path: str | Path, out: str | Path | None = None, from_run: str | Path | None = None, force: bool = False
) -> Plan:
    """Read and check everything that training needs; arguments and errors as for `train`."""
    text = read_config(config_path)
    config = parse_config(text, str(config_path))
    target = Path(out) if out is not None else Path("runs") / config.name
    check_target(target, RECORD if force else None)
    earlier = None if from_run is None else read_run(from_run)
    table, sha256 = read_files(config, Path(config_path).parent)
    channels = describe_channels(config, table)
    if earlier is not None:
        _check_continues(earlier, config, channels)
    data = prepare_data(config, table, channels, None if earlier is None else earlier.manifest.scaling)
    whole = None
    if isinstance(config.model, Auto):
        check_room(_in_state(data), data.sections.readings_needed)
        if any(map(is_closed_form, config.models)):
            whole = prepare_data(config, table, channels, one_part=True)
    test = _evaluation_table(config, Path(config_path).parent, channels, data, sha256)
    path, rows = Path(config_path).absolute(), len(table.times)
    return Plan(config, path, text, channels, data, sha256, target, earlier, force, rows, test, whole)


def carry_out(plan: Plan, progress: Progress | None = None, announce: Callable[[str], None] = lambda line: None) -> Run:
    """Fit, calibrate and write the run directory; errors as for `train`. `announce` is told of each candidate of `auto`."""
    require_extra("anomalite train", "matplotlib", "jinja2")  # before the hours, not after them
    config = plan.config
    if isinstance(config.model, Auto):
        plan, trained = _choose(plan, progress, announce)
    else:
        trained = _fit(plan, config.model, progress)
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
        report=report,
        force=plan.force,
    )


@dataclass(frozen=True, slots=True)
class _Trained:
    """A model that is fitted and calibrated."""

    spec: Model
    model: Any
    calibration: Calibration
    manifest: Manifest
    record: Record


def _fit(plan: Plan, spec: Model, progress: Progress | None) -> _Trained:
    config, parts = plan.config, plan.data.parts
    is_cross_fitted = len(parts) == 1
    fitted, dropped = fit_trimmed(
        spec,
        config.fit,
        config.seed,
        parts["fit"].windows,
        plan.data.early_stopping.windows,
        start=None if plan.earlier is None else plan.earlier.load_model(),
        progress=progress,
    )
    for_score, for_threshold = _held_out(plan, spec, fitted)
    score = fit_score(for_score, config.score)
    calibration = calibrate(for_threshold, score, config.threshold, config.alarm, config.sampling.period_s)
    if is_cross_fitted:
        loss = float(np.mean((for_score.outputs - for_score.windows).astype(np.float64) ** 2))
        fitted = replace(fitted, history=(replace(fitted.history[0], held_out_loss=loss),))
    trimmed = None
    if dropped is not None:
        stride = 1 if is_cross_fitted else config.fit.stride
        times = window_times(plan.data, parts["fit"], stride)
        trimmed = describe_dropped(dropped, *times)
    record = _record(plan, fitted, trimmed)
    return _Trained(spec, fitted.model, calibration, _manifest(plan, spec, record, calibration), record)


def _held_out(plan: Plan, spec: Model, fitted: Fitted) -> tuple[HeldOut, HeldOut]:
    """Held-out answers for the score and for the threshold to be fitted to."""
    parts = plan.data.parts
    if len(parts) == 1 and isinstance(spec, LinearAutoencoder):
        held_out = cross_fitted(spec, parts["fit"], trim=plan.config.fit.trim, reach=plan.data.sections.readings_needed)
        return held_out, held_out
    return answers(fitted.model, parts["early_stopping"]), answers(fitted.model, parts["calibration"])


def _choose(plan: Plan, progress: Progress | None, announce: Callable[[str], None]) -> tuple[Plan, _Trained]:
    """Fit every candidate and choose one by injected faults; one in closed form is then fitted to all readings."""
    trained = []
    for number, spec in enumerate(plan.config.models, 1):
        announce(f"candidate {number} of {len(plan.config.models)}: {spec.family}")
        try:
            trained.append(_fit(plan, spec, progress))
        except TrainingError as fault:
            raise TrainingError(f"candidate {spec.family}: {fault}") from None
    candidates = [
        Candidate(
            model=each.spec,
            detector=Detector(each.manifest, KerasEngine(each.model)),
            parameters=each.record.parameters,
            multiply_adds=multiply_adds(each.model),
            seconds=each.record.seconds,
        )
        for each in trained
    ]
    selection = select(candidates, _in_state(plan.data), plan.data.sections.readings_needed, plan.config.seed)
    chosen = trained[selection.chosen]
    if plan.whole is not None and is_closed_form(chosen.spec):
        plan = replace(plan, data=plan.whole)
        chosen = _fit(plan, chosen.spec, progress)
    return plan, replace(chosen, record=replace(chosen.record, selection=selection))


def _in_state(data: NormalData) -> tuple[Stretch, ...]:
    """The early-stopping part's readings with the machine in the state to learn."""
    return data.early_stopping.in_state or data.early_stopping.stretches


def _evaluation_table(
    config: Config, folder: Path, channels: Sequence[Channel], data: NormalData, data_sha256: dict[str, str]
) -> EvaluationTable | None:
    """What to judge the detector by, read before training so that what is wrong with it is said at once."""
    given = config.evaluation
    if given is None:
        return None
    test = read_evaluation_table(
        folder / given.file,
        config.data.time_column,
        [channel.name for channel in channels],
        label=given.label,
        failure=given.failure,
        normal_until=given.normal_until,
        ignore_extra=True,
        waveform=config.waveform,
    )
    trained_to = from_microseconds(int(data.last.stretches[-1].times[-1]))
    return leave_out_training(test, data_sha256, trained_to)


def _check_continues(earlier: Run, config: Config, channels: Sequence[Channel]) -> None:
    """Raise `RunError` unless the earlier run's weights mean the same thing under this configuration."""
    before = earlier.manifest
    if isinstance(config.model, Auto):
        raise RunError(
            f"{earlier.path}: expected the run's own model to train on from it, {earlier.model.family}, got auto, which "
            "fits its candidates anew"
        )
    for what, expected, got in (
        ("model", earlier.model, config.model),
        (
            "channels",
            [(each.name, each.unit) for each in before.channels],
            [(each.name, each.unit) for each in channels],
        ),
        (
            "channels that are inputs",
            [each.name for each in before.channels if each.is_input],
            [each.name for each in channels if each.is_input],
        ),
        ("derived inputs", before.derived, config.derived),
        ("waveform", before.waveform, config.waveform),
        ("window length", before.window.length, config.window.length),
        ("kind of scaling", before.scaling.kind, config.scaling.kind),
        ("clip of the scaling", before.scaling.clip, config.scaling.clip),
    ):
        if expected != got:
            raise RunError(f"{earlier.path}: expected the run's own {what} to train on from it, {expected}, got {got}")


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


def _normal_readings(data: NormalData) -> NormalReadings:
    windows = data.last.windows
    kept = np.linspace(0, len(windows) - 1, min(len(windows), MOST_WINDOWS)).round().astype(np.int64)
    stream = longest_stream(data.last, max(STREAM_ROWS, 4 * data.sections.readings_needed))
    return NormalReadings(windows[kept], stream.values, stream.times)


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for package in ("anomalite", "numpy", "keras", "tensorflow"):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:  # run from a checkout; tensorflow as tensorflow-cpu or one's own build
            versions[package] = "not installed as a package"
    return versions
