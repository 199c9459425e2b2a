"""Readings from Parquet files, under the same rules as `edge_runtime.tables` has for CSV."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_runtime.errors import ReadingError, TableError
from edge_runtime.readings import from_microseconds, to_microseconds
from edge_runtime.tables import Table
from training.extra import import_extra


def read_parquet(
    path: str | Path, time_column: str, channels: Sequence[str] | None, *, ignore_extra: bool = False
) -> Table:
    """Read a Parquet file.

    `channels` are the columns wanted, in order (None: all but the time); the time may also be the pandas index. Rows are
    counted from 1 in messages. Raises `TableError` as `read_table` does, and `ExtraMissingError` without pandas and pyarrow.
    """
    source = str(path)
    frame = _read_frame(path, source, time_column)
    names = [str(name) for name in frame.columns]
    if time_column not in names:
        raise TableError(f"{source}: expected a time column {time_column!r}, got the columns {', '.join(names)}")
    wanted = [name for name in names if name != time_column] if channels is None else list(channels)
    for name in wanted:
        if name not in names:
            raise TableError(f"{source}: expected a channel {name!r}, got the columns {', '.join(names)}")
    if not wanted:
        raise TableError(f"{source}: expected columns besides {time_column!r}, got none")
    extra = [name for name in names if name != time_column and name not in wanted]
    if extra and not ignore_extra:
        raise TableError(f"{source}: expected the channels {', '.join(wanted)}, got one more: {extra[0]!r}")
    if not len(frame):
        raise TableError(f"{source}: expected rows of readings, got none")
    times = _times(frame[time_column], source)
    values = np.column_stack([_numbers(frame[name], source) for name in wanted])
    return Table(source, tuple(wanted), times, values)


def _read_frame(path: str | Path, source: str, time_column: str) -> Any:
    pandas, pyarrow = (import_extra(package, "reading Parquet") for package in ("pandas", "pyarrow"))
    try:
        with Path(path).open("rb") as file:
            frame = pandas.read_parquet(file)
    except OSError as fault:
        raise TableError(f"{source}: cannot be read: {fault.strerror or fault}") from None
    except (pyarrow.ArrowException, ValueError) as fault:
        raise TableError(f"{source}: expected a Parquet file, got: {fault}") from None
    return frame.reset_index() if time_column in frame.index.names else frame


def _times(column: Any, source: str) -> npt.NDArray[np.int64]:
    """Microseconds since 1970 UTC (N,), rising."""
    missing = np.flatnonzero(column.isna().to_numpy())
    if len(missing):
        raise _error(source, int(missing[0]), column.name, "expected a time, got none")
    if column.dtype.kind == "M":  # with an offset or without, in any unit
        moments = column.dt.tz_convert(None) if getattr(column.dtype, "tz", None) is not None else column
        times = np.asarray(moments.to_numpy(), "datetime64[us]").astype(np.int64)
    else:
        times = np.array(
            [_moment(cell, row, column.name, source) for row, cell in enumerate(column.tolist())], np.int64
        )
    late = np.flatnonzero(np.diff(times) <= 0)
    if len(late):
        before, here = (from_microseconds(int(time)).isoformat() for time in times[late[0] : late[0] + 2])
        raise _error(source, int(late[0]) + 1, column.name, f"expected a time after {before}, got {here}")
    return times


def _moment(cell: object, row: int, column: str, source: str) -> int:
    try:
        return to_microseconds(datetime.fromisoformat(cell) if isinstance(cell, str) else cell)  # type: ignore[arg-type]
    except (ValueError, ReadingError):
        expected = "expected a time such as 2004-02-12T10:32:39 or seconds since 1970"
        raise _error(source, row, column, f"{expected}, got {cell!r}") from None


def _numbers(column: Any, source: str) -> npt.NDArray[np.float64]:
    """The channel's values (N,), NaN where missing."""
    is_number = column.dtype.kind in "iuf"  # a flag or a text is not a measurement, even if it could be converted
    if not is_number and not column.isna().all():
        raise TableError(f"{source}: column {column.name!r}: expected numbers, got {column.dtype}")
    values = column.to_numpy(np.float64, na_value=np.nan)
    infinite = np.flatnonzero(np.isinf(values))
    if len(infinite):
        row = int(infinite[0])
        raise _error(source, row, column.name, f"expected a finite number, got {values[row]}")
    return np.asarray(values, np.float64)


def _error(source: str, row: int, column: str, fault: str) -> TableError:
    return TableError(f"{source}: row {row + 1}, column {column!r}: {fault}")
