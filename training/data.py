"""From files of normal readings to the windows of three parts: fit, early stopping, calibration.

read and join -> cut to the wanted times -> leave out intervals -> split by rows, in order of time -> clean, derive, scale and window
each unbroken stretch with the device's own `Preparation`. No window reaches across a split or an interval left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
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
from edge_runtime.threshold_rules import ThresholdRule
from training.config import Config, Data
from training.data_digest import data_sha256
from training.families import is_closed_form
from training.inputs import NOTHING, fit_channels, fit_derived
from training.parquet import read_parquet
from training.usable import check_in_state, interpolated, switching_reading, usable_values, with_stuck_limits

PARTS = ("fit", "early_stopping", "calibration")
"""In order of time. A model in closed form is fitted to all rows, and has the first part only (`crossfit.py`)."""


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
    begins: npt.NDArray[np.bool_]
    """(B,): nothing unbroken leads from the window before to this one, as after a gap; scores are smoothed from here on."""
    in_state: tuple[Stretch, ...] | None = None
    """The pieces of the stretches in which the machine is in the state to learn; None: all of them."""
    interpolated: tuple[Stretch, ...] | None = None
    """The stretches as the windows were made of them, short gaps filled in; None: as measured."""
    switched_on: npt.NDArray[np.float64] | None = None
    """A reading (C,) that switches the machine on, where the state has two levels: between them it would never be seen on."""

    @property
    def rows(self) -> int:
        """How many readings it has."""
        return sum(len(stretch.times) for stretch in self.stretches)

    @property
    def longest(self) -> Stretch:
        """The stretch with the most readings to learn."""
        learned = self.stretches if self.in_state is None else self.in_state

        def count(stretch: Stretch) -> int:
            first, last = stretch.times[[0, -1]]
            return sum(len(each.times) for each in learned if first <= each.times[0] <= last)

        return max(self.stretches, key=count)

    @property
    def rows_off(self) -> int:
        """How many of them are left out, because the machine is not in the state to learn."""
        return 0 if self.in_state is None else self.rows - sum(len(stretch.times) for stretch in self.in_state)


@dataclass(frozen=True, slots=True)
class NormalData:
    """What a model is trained on."""

    scaling: Scaling
    parts: dict[str, Part]
    """By name, in order of time."""
    sections: PreparationSections
    """How the windows were prepared: the configuration, with all that was found in the fit part."""

    @property
    def last(self) -> Part:
        """The part that the threshold comes from."""
        return list(self.parts.values())[-1]

    @property
    def early_stopping(self) -> Part:
        """The part that says when to stop; where there is only one part, nothing has to be stopped, and it is that one."""
        return self.parts.get("early_stopping", self.last)


def prepare_data(
    config: Config,
    table: Table,
    channels: Sequence[Channel],
    scaling: Scaling | None = None,
    *,
    one_part: bool | None = None,
) -> NormalData:
    """Divide a table of normal readings into parts and prepare their windows.

    `channels` describe the table's columns. `scaling` is kept if given (to train on from an earlier run), else fitted to the
    fit part. `one_part` leaves all rows in the fit part (None: if the model is in closed form). Raises `TableError` and `TrainingError` for readings that no model or threshold can be fitted to.
    """
    one_part = is_closed_form(config.model) if one_part is None else one_part
    names = PARTS[:1] if one_part else PARTS
    stretches = dict(zip(names, split(table, config.data, len(names)), strict=True))
    sections = _sections(config, table, channels)
    judged = names if config.operating is not None else ("fit",)
    learned = {name: _interpolate(stretches[name], config.data.interpolate) for name in names[:-1]}
    learned[names[-1]] = stretches[names[-1]]  # its scores, which give the threshold, must be those of the device
    usable, in_state = {}, {}
    for name in judged:
        pairs = [usable_values(sections, each.values, each.times) for each in learned[name]]
        usable[name], in_state[name] = [values for values, _ in pairs], [rows for _, rows in pairs]
    if config.operating is not None:
        for name in judged:
            rows = np.concatenate([stretch.values for stretch in stretches[name]])
            source = f"{table.source}: the {name} part"
            check_in_state(config.operating, source, table.channels, rows, np.concatenate(in_state[name]))
    try:  # even if an earlier scaling is kept: a channel that does not vary is an error in either case
        of_channels = fit_channels(config.scaling, channels, np.concatenate(usable["fit"]))
        sections = _fitted(sections, usable["fit"])
        fitted = fit_derived(sections._replace(scaling=of_channels), learned["fit"])
    except TrainingError as fault:
        raise TrainingError(f"{table.source}: the fit part: {fault}") from None
    sections = sections._replace(scaling=fitted if scaling is None else scaling)
    strides = {name: config.fit.stride if name == "fit" and len(names) > 1 else 1 for name in names}
    parts = {
        name: Part(
            name,
            stretches[name],
            *_windows(sections, learned[name], strides[name]),
            None if config.operating is None else _in_state(stretches[name], in_state[name]),
            tuple(learned[name]),
            switching_reading(config.operating, table.channels, [each.values for each in stretches[name]]),
        )
        for name in names
    }
    for part in parts.values():
        rule = config.threshold if part.name == names[-1] else None
        place = table.source if len(names) == 1 else f"{table.source}: the {part.name} part"
        share = "" if len(names) == 1 else ", a larger share"
        _check_enough(part, sections.readings_needed, rule, place, f"use more readings{share} or a shorter window")
    return NormalData(sections.scaling, parts, sections)


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
        sha256[file] = data_sha256(path)
    return _join(tables), sha256


def split(table: Table, data: Data, parts: int = len(PARTS)) -> tuple[tuple[Stretch, ...], ...]:
    """Cut the table to the configured times and divide its rows among `PARTS`, in order of time, or leave them in one part.

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
    borders = (0, first_held_out, first_calibration, len(times)) if parts > 1 else (0, len(times))
    return tuple(_stretches(times[begin:end], values[begin:end], passed[begin:end]) for begin, end in pairwise(borders))


def window_times(data: NormalData, part: Part, stride: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The times (B,) in microseconds of the first and the last reading of each of the part's windows.

    They are worked out anew, because only a trimmed fit asks for them.
    """
    preparation = Preparation(data.sections)
    first, last = [], []
    for stretch in part.interpolated or part.stretches:
        ends = preparation.windows_of(stretch.values, stretch.times)[1][::stride]
        first.append(stretch.times[np.maximum(ends - data.sections.window.length + 1, 0)])
        last.append(stretch.times[ends])
    return np.concatenate(first), np.concatenate(last)


def longest_stream(part: Part, rows: int) -> Stretch:
    """The last readings of the part's longest stretch with the machine in the state to learn, at most `rows` of them.

    Where the state has two levels, the first of them is the one that switched the machine on.
    """
    longest = max(part.in_state or part.stretches, key=lambda stretch: len(stretch.times))
    times, values = longest.times[-rows:], longest.values[-rows:]
    if part.switched_on is not None:
        values = np.concatenate((part.switched_on[None], values[1:]))
    return Stretch(times, values)


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


def _sections(config: Config, table: Table, channels: Sequence[Channel]) -> PreparationSections:
    """How the readings are to be prepared; their scaling is not known yet."""
    if config.operating is not None:
        try:
            config.operating.check_channels(table.channels)
        except ValueError as fault:
            raise TrainingError(f"{table.source}: {fault}") from None
    measured = PreparationSections(tuple(channels), config.sampling, config.cleaning, NOTHING, config.window)
    return measured._replace(operating=config.operating, sensors=config.sensors, derived=config.derived)


def _fitted(sections: PreparationSections, usable: Sequence[npt.NDArray[np.float64]]) -> PreparationSections:
    """The sections with the limits and medians found in the usable values (N, C) of the fit part's stretches."""
    sensors, cleaning = sections.sensors, sections.cleaning
    if sensors is not None and sensors.stuck_factor is not None:
        limited = with_stuck_limits(sections.channels, usable, sensors.stuck_factor, sections.window.length)
        sections = sections._replace(channels=limited)
    if cleaning.missing == "median" and cleaning.medians is None:
        rows = np.concatenate(usable)
        if (missing := np.flatnonzero(np.isnan(rows).all(axis=0))).size:
            name = sections.channels[missing[0]].name
            raise TrainingError(f"channel {name!r}: expected readings to take the median of, got none")
        medians = tuple(np.nanmedian(rows, axis=0).tolist())
        sections = sections._replace(cleaning=replace(cleaning, medians=medians))
    return sections


def _interpolate(stretches: Sequence[Stretch], rows: int) -> tuple[Stretch, ...]:
    """The stretches as they are learned."""
    if rows == 0:
        return tuple(stretches)
    return tuple(Stretch(each.times, interpolated(each.values, each.times, rows)) for each in stretches)


def _in_state(stretches: Sequence[Stretch], in_state: Sequence[npt.NDArray[np.bool_]]) -> tuple[Stretch, ...]:
    """The pieces of the stretches whose rows are in the state to learn, each of `in_state` (N,)."""
    found = []
    for stretch, is_on in zip(stretches, in_state, strict=True):
        cuts = np.flatnonzero(np.diff(is_on)) + 1
        pieces = zip(np.split(stretch.times, cuts), np.split(stretch.values, cuts), np.split(is_on, cuts), strict=True)
        found += [Stretch(times, readings) for times, readings, on in pieces if on.any()]
    return tuple(found)


def _windows(
    sections: PreparationSections, stretches: Sequence[Stretch], stride: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """Every `stride`th full window (B, T, F) of each stretch, and whether the window restarted since the one before (B,)."""
    preparation = Preparation(sections)
    windows, begins = [], []
    for stretch in stretches:
        found, _, is_first = preparation.windows_of(stretch.values, stretch.times)
        windows.append(found[::stride])
        begins.append(np.diff(np.cumsum(is_first)[::stride], prepend=0) > 0)
    return np.concatenate(windows), np.concatenate(begins)


def _check_enough(part: Part, readings_needed: int, rule: ThresholdRule | None, place: str, remedy: str) -> None:
    """Raise `TrainingError` unless the part has a window, and enough of them for the threshold's rule if it comes from here."""
    needed = 1 if rule is None else rule.fewest_scores
    if len(part.windows) >= needed:
        return
    what = "one window" if rule is None else f"the {needed} windows that a threshold of the kind {rule.kind} needs"
    off = f", {part.rows_off} of them off," if part.rows_off else ""
    raise TrainingError(
        f"{place}: expected at least {readings_needed + needed - 1} unbroken rows for {what}, "
        f"got {part.rows} rows{off} with {len(part.windows)} windows: {remedy}"
    )
