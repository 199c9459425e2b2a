"""From files of normal readings to the windows of three parts: fit, early stopping, calibration.

read and join -> cut to the wanted times -> leave out intervals -> split by rows, in order of time -> clean, derive, scale and window
each unbroken stretch with the device's own `Preparation`. No window reaches across a split or an interval left out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edge_runtime.errors import TableError, TrainingError
from edge_runtime.manifest import Channel, PreparationSections, Scaling
from edge_runtime.prepare import Preparation
from edge_runtime.readings import from_microseconds, to_microseconds
from edge_runtime.snapshots import read_snapshots
from edge_runtime.tables import Table, check_not_all_missing, holds_snapshots, read_table
from edge_runtime.threshold import FEWEST_SCORES
from training.config import Config, Data
from training.inputs import fit_channels, fit_derived
from training.parquet import read_parquet

PARTS = ("fit", "early_stopping", "calibration")
"""In order of time."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """Rows of one part with nothing left out between them."""

    times: npt.NDArray[np.int64]
    """(N,) microseconds since 1970 UTC, rising."""
    values: npt.NDArray[np.float64]
    """(N, C) as measured, NaN where missing."""


@dataclass(frozen=True, slots=True)
class Part:
    """One of the three parts."""

    name: str
    """One of `PARTS`."""
    stretches: tuple[Stretch, ...]
    windows: npt.NDArray[np.float32]
    """(B, T, F) prepared, in order of time."""

    @property
    def rows(self) -> int:
        """How many readings it has."""
        return sum(len(stretch.times) for stretch in self.stretches)


@dataclass(frozen=True, slots=True)
class NormalData:
    """What a model is trained on."""

    scaling: Scaling
    parts: dict[str, Part]
    """By name, in order of time."""


def prepare_data(
    config: Config, table: Table, channels: Sequence[Channel], scaling: Scaling | None = None
) -> NormalData:
    """Divide a table of normal readings into parts and prepare their windows.

    `channels` describe the table's columns. `scaling` is kept if given (to train on from an earlier run), else fitted to the
    fit part. Raises `TableError` and `TrainingError` for readings that no model or threshold can be fitted to.
    """
    stretches = dict(zip(PARTS, split(table, config.data), strict=True))
    try:  # even if an earlier scaling is kept: a channel that does not vary is an error in either case
        fit_rows = only_valid(np.concatenate([stretch.values for stretch in stretches["fit"]]), channels)
        of_channels = fit_channels(config.scaling, channels, fit_rows)
        fitted = fit_derived(_sections(config, channels, of_channels), stretches["fit"])
    except TrainingError as fault:
        raise TrainingError(f"{table.source}: the fit part: {fault}") from None
    scaling = fitted if scaling is None else scaling
    strides = {name: config.fit.stride if name == "fit" else 1 for name in PARTS}
    parts = {
        name: Part(name, stretches[name], _windows(config, channels, scaling, stretches[name], strides[name]))
        for name in PARTS
    }
    for part in parts.values():
        _check_enough(part, _sections(config, channels, scaling).readings_needed, table.source)
    return NormalData(scaling, parts)


def read_files(config: Config, folder: Path) -> tuple[Table, dict[str, str]]:
    """Read and join the configured files, relative to `folder`.

    Returns the table and each file's sha256, by its name in the configuration.

    Without configured channels the first file's columns are the channels, and the other files must have the same. Raises
    `TableError`, also for a file that does not begin after the one before it ends.
    """
    channels = config.channels if config.waveform is None else config.waveform.columns
    names = None if channels is None else tuple(channel.name for channel in channels)
    ignore_extra = names is not None
    tables: list[Table] = []
    sha256 = {}
    for file in config.data.files:
        path = folder / file
        if holds_snapshots(path):
            table = read_snapshots(path, config.waveform)
        else:
            read = read_parquet if path.suffix == ".parquet" else read_table
            table = read(path, config.data.time_column, names, ignore_extra=ignore_extra)
        names = table.channels
        tables.append(table)
        sha256[file] = _sha256(path)
    return _join(tables), sha256


def split(table: Table, data: Data) -> tuple[tuple[Stretch, ...], ...]:
    """Cut the table to the configured times and divide its rows among `PARTS`, in order of time.

    Raises `TableError` if a channel has no value in what is left, and `TrainingError` if nothing is left.
    """
    is_used = np.ones(len(table.times), np.bool_)
    if data.start is not None:
        is_used &= table.times >= to_microseconds(data.start)
    if data.end is not None:
        is_used &= table.times <= to_microseconds(data.end)
    excluded_before = np.zeros(len(table.times), np.int64)  # how many intervals left out have passed
    for each in data.exclude:
        start, end = to_microseconds(each.start), to_microseconds(each.end)
        is_used &= (table.times < start) | (table.times > end)
        excluded_before += table.times > end
    if not is_used.any():
        first, last = (from_microseconds(int(time)).isoformat() for time in table.times[[0, -1]])
        raise TrainingError(
            f"{table.source}: expected readings between start and end and outside of what is excluded, got none: "
            f"the {len(table.times)} rows go from {first} to {last}"
        )
    times, values, passed = table.times[is_used], table.values[is_used], excluded_before[is_used]
    check_not_all_missing(Table(table.source, table.channels, times, values))
    first_held_out = round(data.shares.fit * len(times))
    first_calibration = round((data.shares.fit + data.shares.early_stopping) * len(times))
    borders = (0, first_held_out, first_calibration, len(times))
    return tuple(_stretches(times[begin:end], values[begin:end], passed[begin:end]) for begin, end in pairwise(borders))


def only_valid(values: npt.NDArray[np.float64], channels: Sequence[Channel]) -> npt.NDArray[np.float64]:
    """A copy of `values` (N, C) with NaN in place of what is outside its channel's valid range, as the device treats it."""
    low = [-np.inf if channel.low is None else channel.low for channel in channels]
    high = [np.inf if channel.high is None else channel.high for channel in channels]
    return np.where((values >= low) & (values <= high), values, np.nan)


def longest_stream(part: Part, rows: int) -> Stretch:
    """The last readings of the part's longest stretch, at most `rows` of them."""
    longest = max(part.stretches, key=lambda stretch: len(stretch.times))
    return Stretch(longest.times[-rows:], longest.values[-rows:])


def _join(tables: Sequence[Table]) -> Table:
    for before, after in pairwise(tables):
        if after.times[0] <= before.times[-1]:
            last, first = (from_microseconds(int(time)).isoformat() for time in (before.times[-1], after.times[0]))
            raise TableError(
                f"{after.source}: expected readings after {last}, the last of {before.source}, got {first}: "
                "list the files in order of time"
            )
    times = np.concatenate([table.times for table in tables])
    values = np.concatenate([table.values for table in tables])
    return Table(", ".join(table.source for table in tables), tables[0].channels, times, values)


def _stretches(
    times: npt.NDArray[np.int64], values: npt.NDArray[np.float64], passed: npt.NDArray[np.int64]
) -> tuple[Stretch, ...]:
    """Cut where `passed` (N,), the intervals left out so far, changes."""
    cuts = np.flatnonzero(np.diff(passed)) + 1
    pieces = zip(np.split(times, cuts), np.split(values, cuts), strict=True)
    return tuple(Stretch(moments, readings) for moments, readings in pieces)


def _sections(config: Config, channels: Sequence[Channel], scaling: Scaling) -> PreparationSections:
    return PreparationSections(
        tuple(channels), config.sampling, config.cleaning, scaling, config.window, derived=config.derived
    )


def _sha256(path: Path) -> str:
    """Of a file, or of the names and hashes of a folder's CSV files."""
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.suffix.lower() == ".csv")
        return hashlib.sha256("".join(f"{file.name} {_sha256(file)}\n" for file in files).encode()).hexdigest()
    with path.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _windows(
    config: Config, channels: Sequence[Channel], scaling: Scaling, stretches: Sequence[Stretch], stride: int
) -> npt.NDArray[np.float32]:
    """Every `stride`th full window (B, T, F) of each stretch."""
    preparation = Preparation(_sections(config, channels, scaling))
    found = [preparation.windows_of(stretch.values, stretch.times)[0][::stride] for stretch in stretches]
    return np.concatenate(found)


def _check_enough(part: Part, readings_needed: int, source: str) -> None:
    """Raise `TrainingError` unless the part has a window, and the calibration part enough of them for a threshold."""
    needed = FEWEST_SCORES if part.name == "calibration" else 1
    if len(part.windows) >= needed:
        return
    what = "one window" if needed == 1 else f"the {needed} windows that a threshold needs"
    raise TrainingError(
        f"{source}: the {part.name} part: expected at least {readings_needed + needed - 1} unbroken rows for {what}, "
        f"got {part.rows} rows with {len(part.windows)} windows: use more readings, a larger share or a shorter window"
    )
