"""Tables to judge a detector by: labels, or a run to failure, and which of their readings count."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edge_runtime.detector import Detector
from edge_runtime.errors import TableError
from edge_runtime.manifest import PreparationSections, Waveform
from edge_runtime.prepare import Preparation
from edge_runtime.readings import Verdicts, to_microseconds
from edge_runtime.tables import Table, check_not_all_missing, column_names, holds_snapshots, read_table
from training.data_digest import data_sha256
from training.evaluate import Evaluation, evaluate_verdicts, take

LABEL = "anomaly"
"""The column of labels, unless another one is named."""
MOST_WINDOWS = 4_000
"""Labelled windows kept in a run directory."""


@dataclass(frozen=True, slots=True)
class EvaluationTable:
    """Readings that a detector is judged by, and that it has not learned from."""

    table: Table
    sha256: str
    is_counted: npt.NDArray[np.bool_]
    """(N,): false for readings up to the end of training, where the table is one the model was trained on."""
    failure: datetime | None
    normal_until: datetime | None

    @property
    def labels(self) -> npt.NDArray[np.bool_] | None:
        """Of the readings that count, (M,); None without labels."""
        return None if self.table.labels is None else self.table.labels[self.is_counted]


@dataclass(frozen=True, slots=True)
class LabelledWindows:
    """Prepared windows of an evaluation table, for proving the exported variants."""

    windows: npt.NDArray[np.float32]
    """(B, T, F), scaled."""
    labels: npt.NDArray[np.bool_]
    """(B,): whether the window's last reading is anomalous."""


def labelled_windows(test: EvaluationTable, sections: PreparationSections) -> LabelledWindows | None:
    """Windows of the readings that count, evenly spaced, at most `MOST_WINDOWS`; None without labels, or without any window."""
    if test.table.labels is None:
        return None
    preparation = Preparation(sections)
    times = test.table.times.tolist()
    found, rows = [], []
    for row, (values, time) in enumerate(zip(test.table.values.tolist(), times, strict=True)):
        _, _, window = preparation.step(0, values, time)
        if window is not None and test.is_counted[row]:
            found.append(window[0].copy())
            rows.append(row)
    if not found:
        return None
    kept = np.linspace(0, len(found) - 1, min(len(found), MOST_WINDOWS)).round().astype(np.int64)
    return LabelledWindows(np.stack(found)[kept], test.table.labels[np.array(rows)[kept]])


def read_evaluation_table(
    path: str | Path,
    time_column: str,
    channels: Sequence[str],
    *,
    label: str | None = None,
    failure: datetime | None = None,
    normal_until: datetime | None = None,
    ignore_extra: bool = False,
    waveform: Waveform | None = None,
) -> EvaluationTable:
    """Read a CSV or JSON lines file, or raw snapshots, to judge a detector by; all of its readings count.

    `label` names the column of labels; None takes `LABEL` if there is one. `waveform` says what snapshots to expect; they have no
    labels. Raises `TableError`.
    """
    if holds_snapshots(path):
        if label is not None:
            raise TableError(f"{path}: expected a table for the column of labels {label!r}, got snapshots")
        from edge_runtime.snapshots import read_snapshots

        table = read_snapshots(path, waveform)
    else:
        if label is None and LABEL in column_names(path) and LABEL not in channels:
            label = LABEL
        if label is not None and label in (time_column, *channels):
            what = "the time" if label == time_column else "a channel"
            raise TableError(f"{path}: expected a column of labels, got {label!r}, which is {what}")
        table = read_table(path, time_column, channels, ignore_extra=ignore_extra, label=label)
    check_not_all_missing(table)
    try:
        digest = data_sha256(Path(path))
    except OSError as fault:
        raise TableError(f"{path}: cannot be read: {fault.strerror}") from None
    return EvaluationTable(table, digest, np.ones(len(table.times), np.bool_), failure, normal_until)


def leave_out_training(test: EvaluationTable, data_sha256: Mapping[str, str], trained_to: datetime) -> EvaluationTable:
    """The same table, counting only what comes after training if it is one of the files that were trained on.

    Raises `TableError` if nothing is left.
    """
    if test.sha256 not in data_sha256.values():
        return test
    is_counted = test.table.times > to_microseconds(trained_to)
    if not is_counted.any():
        raise TableError(
            f"{test.table.source}: expected readings that the model was not trained on, got none: it was trained on this "
            f"file up to its last reading"
        )
    return EvaluationTable(test.table, test.sha256, is_counted, test.failure, test.normal_until)


def judge(detector: Detector, test: EvaluationTable) -> tuple[Verdicts, Evaluation]:
    """Score the table from its first reading and evaluate the readings that count; returns their verdicts too.

    Readings that were trained on fill the window before the first one that counts, as they would have on the machine. Raises
    `EngineError` and, as `evaluate_verdicts`, `InputError`.
    """
    verdicts = take(detector.score(test.table.values, test.table.datetimes), test.is_counted)
    evaluation = evaluate_verdicts(verdicts, test.labels, failure=test.failure, normal_until=test.normal_until)
    return verdicts, evaluation
