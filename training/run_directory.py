"""The run directory: all that a training run leaves behind, written whole or not at all.

model.keras           the trained model, weights of the best epoch
manifest.json         what the device will know, without model variants: those come with export
config.toml           the configuration, as it was
normal_windows.npz    held-out normal windows and a stretch of held-out readings, for proving the exported variants
quantization.npz      the weights and ranges fine-tuned for int8, if the configuration asks for them
labelled_windows.npz  windows of the labelled readings that the configuration names, if any, for the same
training.json         what is needed to repeat the run, and what came of it, with the hashes of the files above
loss.csv, loss.png    the losses of every epoch
report.html           the run for people; export adds the exported variants, so that it is not hashed
report.json           what is in it
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_runtime.errors import InputError, OutputError, RunError, SchemaError
from edge_runtime.files import write_whole
from edge_runtime.manifest import Manifest
from edge_runtime.schema import decode, encode
from training.auto import Selection
from training.config import Auto, Config, Model, parse_config
from training.extra import import_extra, import_keras
from training.fit import Epoch
from training.labelled import LabelledWindows
from training.models import copy_model
from training.quantization import Quantization, read_quantization, write_quantization
from training.quantize import QuantizationGain
from training.replace_directory import replace_directory
from training.report import plot_loss
from training.report_page import Report, write_report
from training.trim import Trimmed

FORMAT = 1
"""The format of run directories that this version reads and writes."""
MODEL, MANIFEST, CONFIG, NORMAL, LABELLED, QUANTIZATION, RECORD = (
    "model.keras",
    "manifest.json",
    "config.toml",
    "normal_windows.npz",
    "labelled_windows.npz",
    "quantization.npz",
    "training.json",
)
HASHED = (MODEL, MANIFEST, CONFIG, NORMAL)
"""The files that every run has and whose hashes `training.json` holds, beside those of the files that only some have."""


OPTIONAL = (LABELLED, QUANTIZATION)
"""The files that only some runs have; hashed too."""


@dataclass(frozen=True, slots=True)
class PartRecord:
    """One part of the data: fit, early_stopping or calibration."""

    first: datetime
    """Its first reading."""
    last: datetime
    """Its last reading."""
    rows: int
    windows: int


@dataclass(frozen=True, slots=True)
class EarlierRun:
    """The run whose weights this one started from."""

    path: str
    trained_at: str
    sha256: str
    """Of its model."""
    data_sha256: dict[str, str]
    """Of the files it was trained on."""


@dataclass(frozen=True, slots=True)
class Record:
    """`training.json`: what is needed to repeat the run, and what came of it."""

    format: int
    name: str
    config_path: str
    """Where the configuration was; the data files' names are relative to its folder."""
    trained_at: str
    """ISO 8601, UTC."""
    seed: int
    parameters: int
    """How many trained numbers the model has."""
    seconds: float
    """Spent on fitting."""
    best_epoch: int
    """From 1; the model has its weights."""
    history: tuple[Epoch, ...]
    parts: dict[str, PartRecord]
    """By name: where the data was split."""
    data_sha256: dict[str, str]
    """Of the data files, by their names in the configuration."""
    versions: dict[str, str]
    """Python and library versions."""
    earlier: EarlierRun | None = None
    """The run this one went on from (`--from`)."""
    trimmed: Trimmed | None = None
    """What was dropped from the fit part, where `fit.trim` asks for it."""
    quantized: QuantizationGain | None = None
    """What fine-tuning for int8 brought, where `[quantize]` asks for it."""
    selection: Selection | None = None
    """What the family was chosen by, where it is `auto`."""
    files: dict[str, str] = field(default_factory=dict)
    """The sha256 of each of `HASHED` and of what else is there to be trusted; filled in on writing."""


@dataclass(frozen=True, slots=True)
class NormalReadings:
    """Held-out normal readings."""

    calibration: npt.NDArray[np.float32]
    """(B, T, F): prepared windows of the calibration part, evenly spaced, as the model is given them."""
    stream_values: npt.NDArray[np.float64]
    """(N, C): a stretch of the calibration part as it was measured, NaN where missing."""
    stream_times: npt.NDArray[np.int64]
    """(N,): its times in microseconds since 1970 UTC."""


@dataclass(frozen=True, slots=True)
class Run:
    """A run directory that is complete and unaltered."""

    path: Path
    manifest: Manifest
    config: Config
    record: Record
    normal: NormalReadings
    labelled: LabelledWindows | None = None
    """None without labelled readings in the configuration."""
    quantization: Quantization | None = None
    """None without `[quantize]` in the configuration."""

    @property
    def model(self) -> Model:
        """The model's family and settings: the configured ones, or those that `auto` chose."""
        return _model(self.config, self.record, str(self.path / RECORD))

    @property
    def calibration_windows(self) -> npt.NDArray[np.float32]:
        """Held-out normal windows (B, T, F), prepared."""
        return self.normal.calibration

    @property
    def stream_values(self) -> npt.NDArray[np.float64]:
        """A stretch of held-out readings (N, C) as measured."""
        return self.normal.stream_values

    @property
    def stream_times(self) -> npt.NDArray[np.int64]:
        """Its times (N,) in microseconds since 1970 UTC."""
        return self.normal.stream_times

    def load_model(self) -> Any:
        """The trained model in Keras 3. Raises `ExtraMissingError`, and `RunError` if it is not the one that was read."""
        keras = import_keras("loading a trained model")
        if _sha256(self.path / MODEL) != self.record.files[MODEL]:
            raise RunError(f"{self.path / MODEL}: the file was replaced after the run was read: read the run again")
        try:
            return keras.saving.load_model(self.path / MODEL, compile=False)
        except (OSError, ValueError, TypeError) as fault:
            raise RunError(f"{self.path / MODEL}: cannot be loaded with Keras {keras.__version__}: {fault}") from None

    def load_twin(self, model: Any = None) -> Any:
        """The layers and weights of `model` (None: loads it) in `tf_keras`, from which TensorFlow Lite converts; raises as `load_model`."""
        tf_keras = import_extra("tf_keras", "loading a trained model's twin")
        return copy_model(self.model, self.load_model() if model is None else model, tf_keras)


def write_run(
    path: str | Path,
    *,
    model: Any,
    manifest: Manifest,
    config: bytes,
    normal: NormalReadings,
    record: Record,
    labelled: LabelledWindows | None = None,
    quantization: Quantization | None = None,
    report: Report | None = None,
    force: bool = False,
) -> Run:
    """Write a run directory and read it back.

    It appears whole or not at all: built in a folder next to it and renamed, and that folder is removed whatever goes wrong.
    Raises `RunError` if `path` exists (with `force`: unless it is a run directory, which is then replaced), `OutputError`.
    """
    with replace_directory(path, RECORD if force else None) as folder:
        try:
            model.save(folder / MODEL)
            plot_loss(record.history, folder / "loss.png")
        except OSError as fault:
            raise OutputError(f"{path}: cannot be written: {fault.strerror or fault}") from None
        write_whole(folder / MANIFEST, _json(manifest))
        write_whole(folder / CONFIG, config)
        write_whole(folder / NORMAL, _pack(normal))
        if labelled is not None:
            write_whole(folder / LABELLED, _npz(windows=labelled.windows, labels=labelled.labels))
        if quantization is not None:
            write_whole(folder / QUANTIZATION, write_quantization(quantization))
        write_whole(folder / "loss.csv", _loss_csv(record.history))
        if report is not None:
            write_report(folder, report)
        names = [*HASHED, *(name for name in OPTIONAL if (folder / name).exists())]
        write_whole(folder / RECORD, _json(replace(record, files={name: _sha256(folder / name) for name in names})))
    return read_run(path)


def read_run(path: str | Path) -> Run:
    """Read a run directory. Raises `RunError` naming what is missing, altered or from another version."""
    folder = Path(path)
    record = _read_record(folder)
    for name in (*HASHED, *(each for each in OPTIONAL if each in record.files or (folder / each).exists())):
        found = _sha256(folder / name)
        if record.files.get(name) != found:
            raise RunError(
                f"{folder / name}: the file was altered: expected sha256 {record.files.get(name)}, got {found}"
            )
    try:
        manifest = decode(Manifest, json.loads((folder / MANIFEST).read_bytes()), str(folder / MANIFEST))
        config = parse_config((folder / CONFIG).read_bytes(), str(folder / CONFIG))
    except InputError as fault:
        raise RunError(str(fault)) from None
    except ValueError as fault:
        raise RunError(f"{folder / MANIFEST}: expected JSON, got: {fault}") from None
    _model(config, record, str(folder / RECORD))
    labelled = _unpack_labelled(folder / LABELLED) if LABELLED in record.files else None
    quantization = None
    if QUANTIZATION in record.files:
        try:
            quantization = read_quantization((folder / QUANTIZATION).read_bytes())
        except RunError as fault:
            raise RunError(f"{folder / QUANTIZATION}: {fault}") from None
    return Run(folder, manifest, config, record, _unpack(folder / NORMAL), labelled, quantization)


def _model(config: Config, record: Record, source: str) -> Model:
    if not isinstance(config.model, Auto):
        return config.model
    if record.selection is None:
        raise RunError(f"{source}: expected a selection, because the configuration's family is auto, found none")
    return record.selection.model


def _read_record(folder: Path) -> Record:
    if not folder.is_dir():
        raise RunError(f"{folder}: expected a run directory, found {'a file' if folder.exists() else 'nothing'}")
    for name in (RECORD, *HASHED):
        if not (folder / name).is_file():
            raise RunError(f"{folder}: expected a run directory with a file {name!r}, found none")
    source = str(folder / RECORD)
    try:
        data = json.loads((folder / RECORD).read_bytes())
        if isinstance(data, dict) and data.get("format", FORMAT) != FORMAT:
            raise RunError(
                f"{source}: expected format {FORMAT}, got {data['format']!r}: train it again with this version"
            )
        return decode(Record, data, source)
    except (OSError, SchemaError) as fault:
        raise RunError(str(fault)) from None
    except (ValueError, RecursionError) as fault:
        raise RunError(f"{source}: expected JSON, got: {fault}") from None


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as fault:
        raise RunError(f"{path}: cannot be read: {fault.strerror}") from None


def _json(value: Any) -> bytes:
    return json.dumps(encode(value), indent=1, allow_nan=False).encode()


def _pack(normal: NormalReadings) -> bytes:
    return _npz(calibration=normal.calibration, stream_values=normal.stream_values, stream_times=normal.stream_times)


def _npz(**arrays: npt.NDArray[Any]) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]  # the names could be those of its options, but are not
    return buffer.getvalue()


def _unpack(path: Path) -> NormalReadings:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return NormalReadings(arrays["calibration"], arrays["stream_values"], arrays["stream_times"])
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as fault:
        raise RunError(f"{path}: expected held-out readings, got: {fault}") from None


def _unpack_labelled(path: Path) -> LabelledWindows:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            labelled = LabelledWindows(arrays["windows"], arrays["labels"])
        if labelled.windows.ndim != 3 or labelled.labels.shape != labelled.windows.shape[:1]:
            raise ValueError(f"windows {labelled.windows.shape} and labels {labelled.labels.shape}")
        return labelled
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as fault:
        raise RunError(f"{path}: expected labelled windows, got: {fault}") from None


def _loss_csv(history: Sequence[Epoch]) -> bytes:
    lines = [f"{number},{epoch.loss!r},{epoch.held_out_loss!r}" for number, epoch in enumerate(history, 1)]
    return "\n".join(("epoch,loss,held_out_loss", *lines, "")).encode()
