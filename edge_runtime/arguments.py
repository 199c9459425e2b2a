"""What a `Detector` is handed, checked and in the form in which it calculates with it."""

from __future__ import annotations

from collections.abc import Sequence
from operator import index
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_runtime.errors import ReadingError
from edge_runtime.readings import EARLIEST, LATEST, to_microseconds


def check_machine(machine: Any, machines: int) -> int:
    """The index of one of `machines`. Raises `ReadingError`."""
    try:
        checked = index(machine)
    except TypeError:
        checked = -1
    if not 0 <= checked < machines:
        raise ReadingError(f"expected a machine from 0 to {machines - 1}, got {machine!r}")
    return checked


def check_values(values: npt.ArrayLike, channels: Sequence[str], dimensions: int) -> npt.NDArray[np.float64]:
    """Numbers (C,) or (N, C) of C channels. Raises `ReadingError`."""
    try:
        if hasattr(values, "filled"):  # a masked array; naming its class would import numpy.ma, 40 ms at start
            masked: Any = values
            values = masked.astype(np.float64).filled(np.nan)
        array = np.asarray(values, np.float64)
    except (TypeError, ValueError, OverflowError) as fault:
        raise ReadingError(f"expected numbers for {len(channels)} channels: {fault}") from None
    if array.ndim != dimensions or array.shape[-1] != len(channels):
        shape = f"({'N, ' if dimensions == 2 else ''}{len(channels)}{',' if dimensions == 1 else ''})"
        raise ReadingError(f"expected values {shape} for {', '.join(channels)}, got {array.shape}")
    return array


def check_machines(ids: npt.ArrayLike, machines: int) -> npt.NDArray[np.int64]:
    """Indices (B,) of some of `machines`. Raises `ReadingError`."""
    try:
        checked = np.asarray(ids)
    except ValueError as fault:
        raise ReadingError(f"expected machine ids (B,) as whole numbers: {fault}") from None
    if checked.ndim != 1 or (checked.size and checked.dtype.kind not in "iu"):
        raise ReadingError(f"expected machine ids (B,) as whole numbers, got {checked.dtype} {checked.shape}")
    outside = (checked < 0) | (checked >= machines)
    if outside.any():
        raise ReadingError(f"expected machines from 0 to {machines - 1}, got {checked[outside][0]}")
    return checked.astype(np.int64)


def check_times(times: Any, count: int) -> npt.NDArray[np.int64]:
    """Microseconds since 1970 UTC (count,) of as many times, or of one for all. Raises `ReadingError`."""
    if isinstance(times, np.ndarray) and times.dtype.kind == "M":
        if np.isnat(times).any():
            raise ReadingError("expected times, got NaT")
        try:
            moments = times.astype("datetime64[us]").astype(np.int64)
        except OverflowError:  # numpy 2.5; before, the number wrapped around
            moments = np.array([LATEST + 1])
        if moments.size and not (moments.min() >= EARLIEST and moments.max() <= LATEST):
            raise ReadingError("expected times in the years 1 to 9999, got earlier or later ones")
    elif isinstance(times, Sequence) or (isinstance(times, np.ndarray) and times.ndim):
        moments = np.array([to_microseconds(moment) for moment in times], np.int64)
    else:
        moments = np.full(count, to_microseconds(times))
    if moments.shape != (count,):
        raise ReadingError(f"expected {count} times, one for each row of values, got {moments.shape}")
    return moments
