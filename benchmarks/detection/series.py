"""What a data set hands over: readings with the rows to learn from, and the truth about the rest."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_runtime.errors import InputError
from edge_runtime.readings import Verdicts, to_microseconds

VARIABLE = "ANOMALITE_DATA"
"""The environment variable that names the folder with the data sets."""


@dataclass(frozen=True)
class Series:
    """One machine's or one experiment's readings."""

    name: str
    channels: tuple[str, ...]
    times: npt.NDArray[np.int64]
    """(N,) microseconds since 1970 UTC, rising."""
    values: npt.NDArray[np.float64]
    """(N, C)."""
    train: slice
    """The rows to learn from: normal, or taken for normal."""
    test: slice
    """The rows that count."""
    labels: npt.NDArray[np.bool_] | None = None
    """(N,) which rows are anomalous; None where nobody knows row by row."""
    truth: dict[str, Any] = field(default_factory=dict)
    """What else the protocol needs: windows, faulty channels, the time of failure."""


def find_data(folder: str | None) -> Path:
    """The folder with the data sets, from the argument or the environment. Raises `InputError` where there is none."""
    named = folder or os.environ.get(VARIABLE)
    if not named:
        raise InputError(
            f"expected a folder with the data sets, got none: set the environment variable {VARIABLE} or use --data DIR "
            "(docs/detection.md says what belongs into it and where it comes from)"
        )
    path = Path(named)
    if not path.is_dir():
        raise InputError(f"{path}: expected a folder with the data sets, as {VARIABLE} or --data says, found none")
    return path


def microseconds(text: str) -> int:
    """Microseconds since 1970 of an ISO time, read as UTC."""
    return to_microseconds(datetime.fromisoformat(text).replace(tzinfo=UTC))


def strictly_rising(times: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Which rows (N,) are later than every row before them: a recorder that stutters repeats itself."""
    before = np.maximum.accumulate(np.concatenate(([np.iinfo(np.int64).min], times[:-1])))
    later: npt.NDArray[np.bool_] = times > before
    return later


def ranking(verdicts: Verdicts) -> npt.NDArray[np.float64]:
    """How anomalous each row (N,) is against its threshold; a row without a score comes last."""
    return np.where(verdicts.scored, verdicts.scores / verdicts.thresholds, -np.inf).clip(-1.0, 1e30)
