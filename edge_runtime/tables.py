"""Tables and streams of readings: CSV and JSON lines, read strictly.

A row that cannot be read is an error that names file, row and column; nothing is skipped. The first line of a CSV file
names the columns; the separator is the comma, semicolon or tab it holds most of. A JSON line is an object with the same
names. An empty cell, `nan`, `NA` or null is a missing value.
"""

from __future__ import annotations

import os
import sys
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from os import PathLike
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_runtime.errors import ReadingError, TableError
from edge_runtime.readings import Reading, from_microseconds, to_microseconds

MISSING = frozenset(("", "nan", "na", "n/a", "null", "none"))
"""What stands for a missing value, in lower case."""


TRUTH = {"0": 0.0, "0.0": 0.0, "false": 0.0, "1": 1.0, "1.0": 1.0, "true": 1.0}
"""What stands for a normal and for an anomalous reading, in lower case."""


@dataclass(frozen=True)
class Table:
    """Readings as columns."""

    source: str
    """What to call it in messages."""
    channels: tuple[str, ...]
    times: npt.NDArray[np.int64]
    """(N,) microseconds since 1970 UTC, rising unless read in any order."""
    values: npt.NDArray[np.float64]
    """(N, C), NaN where missing."""
    labels: npt.NDArray[np.bool_] | None = None
    """(N,): which readings are labelled anomalous; None if no labels were asked for."""

    @property
    def datetimes(self) -> npt.NDArray[np.datetime64]:
        """The times (N,) as datetime64[us]."""
        return self.times.view("datetime64[us]")


def read_table(
    path: str | PathLike[str],
    time_column: str,
    channels: Sequence[str] | None,
    *,
    ignore_extra: bool = False,
    label: str | None = None,
    any_order: bool = False,
) -> Table:
    """Read a CSV or JSON lines file.

    `channels` are the columns wanted, in order (None: all but the time); `label` is a column of labels besides them, 0, 1, true
    or false; `any_order` takes late and repeated times too. Raises `TableError` for a file that is missing or empty, a column
    that is missing or, unless `ignore_extra`, not asked for, a cell that is no number or infinite, or a time that is not later
    than the one before.
    """
    source = str(path)
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            rows = ReadingRows(
                file, source, time_column, channels, ignore_extra=ignore_extra, label=label, any_order=any_order
            )
            times, numbers = array("q"), array("d")
            for time, values in rows:
                times.append(time)
                numbers.extend(values)
    except OSError as fault:
        raise TableError(f"{source}: cannot be read: {fault.strerror}") from None
    except UnicodeDecodeError as fault:
        raise TableError(f"{source}: expected UTF-8 text, got the byte {fault.object[fault.start]:#04x}") from None
    if not times:
        raise TableError(f"{source}: expected rows of readings, got none below the column names")
    table = np.frombuffer(numbers, np.float64).reshape(len(times), -1)
    moments = np.frombuffer(times, np.int64)
    if label is None:
        return Table(source, rows.channels, moments, table)
    return Table(source, rows.channels[:-1], moments, table[:, :-1], table[:, -1] == 1)


def column_names(path: str | PathLike[str]) -> tuple[str, ...]:
    """The columns that the first line of a CSV or JSON lines file names; none if it cannot tell. Raises `TableError`."""
    import csv
    import json

    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            first = next((line for line in file if line.strip()), "")
        if first.lstrip().startswith("{"):
            return tuple(json.loads(first))
        return tuple(name.strip() for name in next(csv.reader([first], delimiter=_separator(first)), []))
    except OSError as fault:
        raise TableError(f"{path}: cannot be read: {fault.strerror}") from None
    except (csv.Error, ValueError, RecursionError):  # reading the table says what is wrong with it
        return ()


def holds_snapshots(path: str | PathLike[str]) -> bool:
    """Whether the path leads, by its form, to raw snapshots, which `snapshots.py` reads, and not to a table."""
    return os.fspath(path).endswith(".npz") or os.path.isdir(path)


def check_not_all_missing(table: Table) -> None:
    """Raise `TableError` naming the channels that have no value in any row."""
    empty = [name for name, column in zip(table.channels, table.values.T, strict=True) if np.isnan(column).all()]
    if empty:
        which = "any channel" if len(empty) == len(table.channels) else ", ".join(empty)
        raise TableError(
            f"{table.source}: expected readings for {which}, got none: "
            f"all {len(table.times)} rows are missing the value"
        )


class ReadingRows:
    """Iterates the rows of an open CSV or JSON lines stream as they arrive: `(microseconds, values)`."""

    def __init__(
        self,
        lines: Iterable[str],
        source: str,
        time_column: str,
        channels: Sequence[str] | None,
        *,
        ignore_extra: bool = False,
        label: str | None = None,
        any_order: bool = False,
    ) -> None:
        """`label`: a column of labels, which comes after the channels, as 0.0 and 1.0."""
        self.channels = (*(channels or ()), *(() if label is None else (label,)))
        self._label = label
        self._lines = iter(lines)
        self._source = source
        self._time_column = time_column
        self._all_channels = channels is None
        self._ignore_extra = ignore_extra
        self._any_order = any_order
        self._row = 0
        self._last: int | None = None

    def __iter__(self) -> Iterator[tuple[int, list[float]]]:
        first = next((line for line in self._numbered() if line.strip()), None)
        first = first and first.removeprefix("\ufeff")  # which a file's encoding has taken off already
        if not first:
            raise TableError(f"{self._source}: expected a line of column names, got an empty file")
        cells_of = self._json_cells(first) if first.lstrip().startswith("{") else self._csv_cells(first)
        for time_cell, cells in cells_of:
            time = self._time(time_cell)
            yield time, [self._number(cell, name) for cell, name in zip(cells, self.channels, strict=True)]

    def _numbered(self) -> Iterator[str]:
        try:
            for line in self._lines:
                self._row += 1
                yield line
        except OSError as fault:
            raise TableError(f"{self._source}: cannot be read: {fault.strerror}") from None

    def _csv_cells(self, header: str) -> Iterator[tuple[object, list[Any]]]:
        import csv

        separator = _separator(header)
        try:
            names = [name.strip() for name in next(csv.reader([header], delimiter=separator))]
            self._check_names(names)
            time_at = names.index(self._time_column)
            channels_at = [names.index(name) for name in self.channels]
            for line in self._numbered():
                if not line.strip():
                    continue
                # Each line by itself: a quote that is never closed must not swallow the readings after it.
                cells = next(csv.reader([line], delimiter=separator, strict=True))
                if len(cells) != len(names):
                    raise self._error(f"expected {len(names)} cells, got {len(cells)}")
                yield cells[time_at], [cells[i] for i in channels_at]
        except csv.Error as fault:
            raise self._error(f"expected CSV, got: {fault}") from None

    def _json_cells(self, first: str) -> Iterator[tuple[object, list[Any]]]:
        import json

        def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
            if len(pairs) > len(dict(pairs)):
                self._check_names([name for name, _ in pairs])
            return dict(pairs)

        def decode(line: str) -> dict[str, Any]:
            try:
                data = json.loads(line, object_pairs_hook=unique)
            except (ValueError, RecursionError) as fault:
                raise self._error(f"expected a JSON object, got {line.strip()[:40]!r} ({fault})") from None
            if not isinstance(data, dict):
                raise self._error(f"expected a JSON object, got {line.strip()[:40]!r}")
            return data

        data = decode(first)
        while True:
            self._check_names(list(data))
            yield data[self._time_column], [data[name] for name in self.channels]
            line = next((line for line in self._numbered() if line.strip()), None)
            if line is None:
                return
            data = decode(line)

    def _check_names(self, names: list[str]) -> None:
        repeated = {name for name in names if names.count(name) > 1}
        if repeated:
            raise self._error(f"expected each column once, got {min(repeated)!r} twice")
        if self._time_column not in names:
            raise self._error(f"expected a time column {self._time_column!r}, got the columns {', '.join(names)}")
        if self._all_channels:
            self._all_channels = False
            channels = [name for name in names if name not in (self._time_column, self._label)]
            if not channels:
                raise self._error(f"expected at least one channel, got the columns {', '.join(names)}")
            self.channels = (*channels, *self.channels)
        missing = [name for name in self.channels if name not in names]
        if missing:
            what = "a column of labels" if missing[0] == self._label else "a channel"
            raise self._error(f"expected {what} {missing[0]!r}, got the columns {', '.join(names)}")
        extra = [name for name in names if name != self._time_column and name not in self.channels]
        if extra and not self._ignore_extra:
            raise self._error(f"expected the channels {', '.join(self.channels)}, got one more: {extra[0]!r}")

    def _time(self, cell: object) -> int:
        try:
            time = to_microseconds(_moment(cell))
        except (ValueError, OverflowError, ReadingError):
            raise self._error(
                f"expected a time such as 2004-02-12T10:32:39 or seconds since 1970, got {_short(cell)}",
                self._time_column,
            ) from None
        if self._last is not None and time <= self._last and not self._any_order:
            last = from_microseconds(self._last).isoformat()
            what = "the same time again" if time == self._last else _short(cell)
            raise self._error(f"expected a time after {last}, got {what}", self._time_column)
        self._last = time
        return time

    def _number(self, cell: object, channel: str) -> float:
        if channel == self._label:
            return self._truth(cell, channel)
        if cell is None:
            return np.nan
        if isinstance(cell, str):
            text = cell.strip()
            if text.lower() in MISSING:
                return np.nan
            try:
                number = float(text) if "_" not in text else None
            except ValueError:
                number = None
        elif isinstance(cell, (int, float)) and not isinstance(cell, bool):
            number = np.inf if abs(cell) > sys.float_info.max else float(cell)
        else:
            number = None
        if number is None:
            raise self._error(f"expected a number, got {_short(cell)}", channel)
        if number in (np.inf, -np.inf):
            raise self._error(f"expected a finite number, got {_short(cell)}", channel)
        return number

    def _truth(self, cell: object, column: str) -> float:
        """1.0 for an anomalous reading, 0.0 for a normal one; a missing label is no label."""
        truth = TRUTH.get(str(cell).strip().lower())
        if truth is None:
            raise self._error(f"expected a label 0, 1, true or false, got {_short(cell)}", column)
        return truth

    def _error(self, fault: str, column: str | None = None) -> TableError:
        place = f"row {self._row}" if column is None else f"row {self._row}, column {column!r}"
        return TableError(f"{self._source}: {place}: {fault}")


def _separator(header: str) -> str:
    return max(",;\t", key=header.count)


def read_stream(
    lines: Iterable[str],
    source: str,
    time_column: str,
    channels: Sequence[str],
    *,
    ignore_extra: bool = False,
    any_order: bool = False,
) -> Iterator[Reading]:
    """Readings from an open stream of CSV or JSON lines, each as soon as its line is there. Raises `TableError`."""
    rows = ReadingRows(lines, source, time_column, channels, ignore_extra=ignore_extra, any_order=any_order)
    for time, values in rows:
        yield Reading(from_microseconds(time), values)


def _short(cell: object) -> str:
    """The cell as written, for a message of one line."""
    text = repr(cell)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _moment(cell: object) -> datetime | float:
    if isinstance(cell, str):
        text = cell.strip()
        is_date = "-" in text[1:] or ":" in text
        if not is_date and ("_" in text or (len(text) == 8 and text.isdigit())):
            raise ValueError(text)  # a number in Python only; a date that would be taken for seconds in 1970
        return datetime.fromisoformat(text) if is_date else float(text)
    if isinstance(cell, (int, float)) and not isinstance(cell, bool):
        return cell
    raise ValueError(cell)
