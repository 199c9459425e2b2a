"""Files of raw snapshots become a table of features: an npz file, or a folder of CSV files, one a snapshot.

An npz file holds `time` (n,), ISO 8601 text, datetime64 or seconds since 1970, and `samples` (n, N, C), any numbers; if it holds
`scale` (one number, or C), samples are multiplied by it, and if it holds `sample_rate_hz`, it must be the expected one.

In a folder each `*.csv` file has the raw channels as columns, named in its first line, and its time at the end of its name, as
in `pump_2004-02-12T10-32-39.csv` or `2004.02.12.10.32.39.csv`: year, month, day, hour, minute, second, each but the first two digits,
with `-`, `.`, `:`, `_`, `T`, a space or nothing between them; UTC.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterable
from datetime import UTC, datetime
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_runtime.errors import ReadingError, TableError
from edge_runtime.features import Features
from edge_runtime.manifest import Waveform
from edge_runtime.readings import from_microseconds, to_microseconds
from edge_runtime.tables import Table

_TIME = re.compile(r"(?<!\d)(\d{4})[-.:_]?(\d\d)[-.:_]?(\d\d)[-.:_T ]?(\d\d)[-.:_]?(\d\d)[-.:_]?(\d\d)$")
"""The time at the end of a file's name."""


def read_snapshots(path: str | PathLike[str], waveform: Waveform | None) -> Table:
    """The features of the snapshots in a file or folder: a table with a row each, and `waveform.columns` as channels.

    Raises `TableError` if there is no waveform to expect, and for whatever cannot be read, has another length or rate than expected,
    or is not later than the snapshot before it; the message names the file.
    """
    source = Path(path)
    if waveform is None:
        raise TableError(f"{source}: expected a table of readings, got snapshots, but no waveform is described")
    snapshots = _folder(source, waveform) if source.is_dir() else _archive(source, waveform)
    features = Features(waveform)
    times: list[int] = []
    rows = []
    for name, time, samples, rate in snapshots:
        if times and time <= times[-1]:
            last, got = (from_microseconds(each).isoformat() for each in (times[-1], time))
            raise TableError(f"{name}: expected a time after {last}, got {got}")
        try:
            rows.append(features.step(samples, rate))
        except ReadingError as fault:
            raise TableError(f"{name}: {fault}") from None
        times.append(time)
    if not rows:
        raise TableError(f"{source}: expected snapshots, got none")
    channels = tuple(channel.name for channel in waveform.columns)
    return Table(str(source), channels, np.array(times, np.int64), np.array(rows))


Snapshots = Iterable[tuple[str, int, npt.NDArray[Any], float | None]]
"""What to call each in messages, its time in microseconds, its samples (N, C), and its rate in Hz where that is known."""


def _archive(path: Path, waveform: Waveform) -> Snapshots:
    arrays = _read_arrays(path)
    samples, times = arrays["samples"], arrays["time"]
    if samples.ndim != 3 or samples.dtype.kind not in "iuf":
        raise TableError(f"{path}: expected samples (n, N, C) as numbers, got {samples.dtype} {samples.shape}")
    if times.shape != samples.shape[:1]:
        raise TableError(f"{path}: expected {len(samples)} times, one for each snapshot, got {times.shape}")
    scale, rate = arrays.get("scale", np.ones(())), arrays.get("sample_rate_hz", np.array(waveform.sample_rate_hz))
    for name, array, shapes in (("scale", scale, ((), (1,), samples.shape[2:])), ("sample_rate_hz", rate, ((), (1,)))):
        if array.dtype.kind not in "iuf" or array.shape not in shapes:
            expected = " or ".join(str(shape) for shape in dict.fromkeys(shapes))
            raise TableError(f"{path}: expected {name} {expected} as numbers, got {array.dtype} {array.shape}")
    for index, (time, one) in enumerate(zip(times, samples, strict=True)):
        name = f"{path}: snapshot {index + 1}"
        yield name, _time(time, name), one * scale.astype(np.float64), float(rate.item())


def _read_arrays(path: Path) -> dict[str, npt.NDArray[Any]]:
    try:
        # Opened here: numpy leaves a file open whose archive is damaged.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except OSError as fault:
        raise TableError(f"{path}: cannot be read: {fault.strerror or fault}") from None
    except (ValueError, KeyError, EOFError, zipfile.BadZipFile) as fault:
        raise TableError(f"{path}: expected an npz file of numbers and text, got: {fault}") from None
    for name in ("time", "samples"):
        if name not in arrays:
            raise TableError(f"{path}: expected the arrays time and samples, got {', '.join(arrays) or 'none'}")
    return arrays


def _time(moment: Any, name: str) -> int:
    try:
        return to_microseconds(datetime.fromisoformat(str(moment)) if moment.dtype.kind == "U" else moment)
    except (ValueError, OverflowError, ReadingError):
        raise TableError(
            f"{name}: expected a time such as 2004-02-12T10:32:39 or seconds since 1970, got {moment.item()!r}"
        ) from None


def _folder(path: Path, waveform: Waveform) -> Snapshots:
    try:
        files = sorted((_time_of_file(file), file) for file in path.iterdir() if file.suffix.lower() == ".csv")
    except OSError as fault:
        raise TableError(f"{path}: cannot be read: {fault.strerror}") from None
    for time, file in files:
        yield str(file), time, _read_samples(file, waveform), None


def _time_of_file(file: Path) -> int:
    found = _TIME.search(file.stem)
    try:
        year, month, day, hour, minute, second = map(int, found.groups() if found else ())
        return to_microseconds(datetime(year, month, day, hour, minute, second, tzinfo=UTC))
    except ValueError:
        raise TableError(
            f"{file}: expected a name that ends in a time, such as 2004-02-12T10-32-39.csv, got {file.name!r}"
        ) from None


def _read_samples(file: Path, waveform: Waveform) -> npt.NDArray[np.float64]:
    """The samples (N, C) of one CSV file, its columns in the waveform's order."""
    try:
        with file.open(encoding="utf-8-sig") as lines:
            header = lines.readline()
            separator = max(",;\t", key=header.count)
            names = [name.strip().strip('"') for name in header.split(separator)]
            if sorted(names) != sorted(waveform.channels):
                raise TableError(
                    f"{file}: expected the columns {', '.join(waveform.channels)}, got {', '.join(names).strip() or 'none'}"
                )
            rows = [line for line in lines if line.strip()]
            if not rows:
                raise TableError(f"{file}: expected {waveform.length} samples below the column names, got none")
            samples = np.loadtxt(rows, delimiter=separator, ndmin=2, comments=None)
    except OSError as fault:
        raise TableError(f"{file}: cannot be read: {fault.strerror}") from None
    except ValueError as fault:
        raise TableError(f"{file}: expected a number in every cell below the column names: {fault}") from None
    return samples[:, [names.index(name) for name in waveform.channels]]
