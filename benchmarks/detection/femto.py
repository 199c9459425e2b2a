"""FEMTO/PRONOSTIA: bearings run to failure, a snapshot of 0.1 s every ten seconds (Nectoux et al. 2012).

Each bearing alone: learned from 5 % to 20 % of its life (at least 60 rows), scored from there to its end. An alarm is six rows in a
row over the threshold; one before half of the bearing's life is false.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

import numpy as np

from benchmarks.detection.baselines import Settings
from benchmarks.detection.families import FAMILIES as ALL_FAMILIES
from benchmarks.detection.series import Series, microseconds
from edge_runtime.manifest import AlarmPolicy
from edge_runtime.readings import ACTIVE, RAISED, Verdicts

NAME, FOLDER = "femto", "femto_learning"
PERIOD_S, LONGEST_GAP_S = 10.0, 60.0
SETTINGS = """
[window]
length = 2           # as for the other bearings

[alarm]
k = 6                # the protocol's
n = 6
"""
"""Everything in the training configuration that is not a default, the same for every file."""
RESOLUTION: float | None = None
BASELINE = Settings(window=2, variance=0.9, alarm=AlarmPolicy(6, 6))
FEWEST_ROWS = 60
FAMILIES = tuple(ALL_FAMILIES)
COLUMNS = ("bearings", "alarmed", "early_false")
PUBLISHED: tuple[tuple[str, dict[str, float]], ...] = ()


def load(folder: Path) -> list[Series]:
    """Every bearing in the table. Snapshots are ten seconds apart by the rig's plan; its clock has no date."""
    path = folder / FOLDER / "features.csv"
    if not path.exists():
        return []
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    return [
        _series(name, list(each)) for name, each in groupby(rows, key=lambda row: f"{row['split']}/{row['bearing']}")
    ]


def _series(name: str, rows: list[dict[str, str]]) -> Series:
    channels = tuple(column for column in rows[0] if column.endswith(("_h", "_v")))
    start = microseconds("2012-01-01T00:00:00")
    first, count = round(0.05 * len(rows)), max(round(0.15 * len(rows)), FEWEST_ROWS)
    return Series(
        name=name,
        channels=channels,
        times=start + np.array([round(PERIOD_S * 1e6) * int(row["snapshot"]) for row in rows], np.int64),
        values=np.array([[float(row[column]) for column in channels] for row in rows]),
        train=slice(first, first + count),
        test=slice(first + count, len(rows)),
    )


def measure(results: Sequence[tuple[Series, Verdicts]]) -> dict[str, float]:
    """How many bearings raised an alarm before their end, and how many had one before half of their life."""
    alarmed = early = 0
    for series, verdicts in results:
        rows = np.flatnonzero((verdicts.alarm_codes == RAISED) | (verdicts.alarm_codes == ACTIVE))
        rows = rows[rows >= series.test.start]
        early += bool((rows < len(series.times) / 2).any())
        alarmed += bool(len(rows))
    return {"bearings": len(results), "alarmed": alarmed, "early_false": early}
