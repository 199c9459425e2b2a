"""Fitting to readings that are not all normal: fit, drop the windows that the model gets most wrong, fit again.

A trimmed fit in one step (Rousseeuw, "Least median of squares regression", 1984, section 4, least trimmed squares; one
concentration step of Rousseeuw & Van Driessen 2006). It helps where the fit part holds anomalies; where it holds none it drops
what is rare but normal, and the detector gets worse. So it is off unless asked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_runtime.readings import from_microseconds
from training.calibrate import reconstruct
from training.config import Fit
from training.families import Model
from training.fit import Fitted, Progress, fit

MOST_INTERVALS = 20
"""So many of the times left out are recorded."""
CHUNK = 1024
"""Windows whose residuals are in memory at once."""

Windows = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class TrimmedInterval:
    """Fit windows in a row that were dropped."""

    first: datetime
    """The first reading of the first of them."""
    last: datetime
    """The last reading of the last of them."""
    windows: int


@dataclass(frozen=True, slots=True)
class Trimmed:
    """What was dropped from the fit part before the second fit."""

    windows: int
    """How many windows were dropped."""
    of: int
    """How many there were."""
    first: datetime
    """The first reading of the first window dropped."""
    last: datetime
    """The last reading of the last window dropped."""
    least_residual: float
    """The smallest mean squared residual of a dropped window after the first fit, in scaled units."""
    median_residual: float
    """That of all fit windows in the middle, to compare with."""
    intervals: tuple[TrimmedInterval, ...]
    """The longest of them in order of time, at most `MOST_INTERVALS`; where windows overlap, so can these."""


@dataclass(frozen=True, slots=True)
class Dropped:
    """Which windows were dropped, by their place among the fit windows."""

    residuals: npt.NDArray[np.float64]
    """(B,): mean squared residual of each fit window after the first fit."""
    is_dropped: npt.NDArray[np.bool_]
    """(B,)"""


def fit_trimmed(
    spec: Model,
    settings: Fit,
    seed: int,
    windows: Windows,
    held_out: Windows,
    *,
    start: Any | None = None,
    progress: Progress | None = None,
) -> tuple[Fitted, Dropped | None]:
    """Fit as `fit.fit` does; with `settings.trim` above 0 drop that share of `windows` (B, T, F) and fit again from the start.

    Those with the largest mean squared residual go. The early-stopping and calibration parts stay whole. Returns the second
    fit, which `seconds` of both count to, and what was dropped (None: nothing). Raises as `fit`.
    """
    first = fit(spec, settings, seed, windows, held_out, start=start, progress=progress)
    count = round(settings.trim * len(windows))
    if not count:
        return first, None
    residuals = mean_squares(first.model, windows)
    is_dropped = np.zeros(len(windows), np.bool_)
    is_dropped[np.argsort(residuals, kind="stable")[-count:]] = True
    second = fit(spec, settings, seed, windows[~is_dropped], held_out, start=start, progress=progress)
    fitted = Fitted(second.model, second.history, first.seconds + second.seconds)
    return fitted, Dropped(residuals, is_dropped)


def mean_squares(model: Any, windows: Windows) -> npt.NDArray[np.float64]:
    """The mean squared residual (B,) of windows (B, T, F), scaled."""
    parts = []
    for first in range(0, len(windows), CHUNK):
        part = windows[first : first + CHUNK]
        outputs = reconstruct(model, part)
        errors = (outputs - part[:, -outputs.shape[1] :]).astype(np.float64)
        parts.append(np.mean(errors**2, axis=(1, 2)))
    return np.concatenate(parts)


def describe_dropped(
    dropped: Dropped, first_times: npt.NDArray[np.int64], last_times: npt.NDArray[np.int64]
) -> Trimmed:
    """What was dropped, for the record; `first_times` and `last_times` (B,) of each fit window, in microseconds."""
    rows = np.flatnonzero(dropped.is_dropped)
    runs = np.split(rows, np.flatnonzero(np.diff(rows) > 1) + 1)
    longest = sorted(sorted(runs, key=len, reverse=True)[:MOST_INTERVALS], key=lambda run: int(run[0]))
    return Trimmed(
        windows=len(rows),
        of=len(dropped.is_dropped),
        first=from_microseconds(int(first_times[rows[0]])),
        last=from_microseconds(int(last_times[rows[-1]])),
        least_residual=float(dropped.residuals[rows].min()),
        median_residual=float(np.median(dropped.residuals)),
        intervals=tuple(_interval(run, first_times, last_times) for run in longest),
    )


def _interval(
    run: npt.NDArray[np.int64], first_times: npt.NDArray[np.int64], last_times: npt.NDArray[np.int64]
) -> TrimmedInterval:
    first, last = int(first_times[run[0]]), int(last_times[run[-1]])
    return TrimmedInterval(from_microseconds(first), from_microseconds(last), len(run))


def trimmed_text(trimmed: Trimmed) -> str:
    """What was dropped, in one line for people."""
    return (
        f"{trimmed.windows} of {trimmed.of} fit windows dropped, {trimmed.first:%F %T} to {trimmed.last:%F %T} "
        f"(mean squared residual from {trimmed.least_residual:.3g} up; of all the median is {trimmed.median_residual:.3g})"
    )
