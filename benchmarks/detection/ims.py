"""NASA/IMS test 2: four bearings run until the outer race of bearing 1 fails, a snapshot every ten minutes.

Learned from 2004-02-12 10:52:39 to 02-15 12:52:39; what follows is scored. The failure is the last row. Lead time: from the first
alarm that stays to the failure; alarms before 2004-02-16 00:00 are false, so 78.4 h is the most.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.detection.baselines import Settings
from benchmarks.detection.families import FAMILIES as ALL_FAMILIES
from benchmarks.detection.series import Series, microseconds
from edge_runtime.manifest import AlarmPolicy
from edge_runtime.readings import Verdicts
from training.evaluate import alarm_report

NAME, FOLDER = "ims", "ims_test2"
PERIOD_S, LONGEST_GAP_S = 600.0, 1800.0
SETTINGS = """
[window]
length = 2           # a snapshot sums up a whole second: it nearly stands for itself

[alarm]
k = 6                # an hour of snapshots
n = 6
"""
"""Everything in the training configuration that is not a default, the same for every file."""
RESOLUTION: float | None = None
BASELINE = Settings(window=2, variance=0.9, alarm=AlarmPolicy(6, 6))
FAMILIES = tuple(ALL_FAMILIES)
COLUMNS = ("lead_h", "false_alarms")
PUBLISHED: tuple[tuple[str, dict[str, float]], ...] = ()
CHANNELS = tuple(f"mean_abs_b{i}" for i in range(1, 5))
LEARN_FROM, LEARN_TO = microseconds("2004-02-12T10:52:39"), microseconds("2004-02-15T12:52:39")
NORMAL_UNTIL = microseconds("2004-02-16T00:00:00")


def load(folder: Path) -> list[Series]:
    """The run to failure, if its features are there."""
    path = folder / FOLDER / "features.csv"
    if not path.exists():
        return []
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    times = np.array([microseconds(row["timestamp"]) for row in rows], np.int64)
    learned = np.flatnonzero((times >= LEARN_FROM) & (times <= LEARN_TO))
    return [
        Series(
            name="test2",
            channels=CHANNELS,
            times=times,
            values=np.array([[float(row[name]) for name in CHANNELS] for row in rows]),
            train=slice(int(learned[0]), int(learned[-1]) + 1),
            test=slice(int(learned[-1]) + 1, len(rows)),
        )
    ]


def measure(results: Sequence[tuple[Series, Verdicts]]) -> dict[str, float]:
    """Hours of lead, 0 if no alarm stays, and the number of false alarms."""
    lead, false_alarms = [], 0
    for series, verdicts in results:
        report = alarm_report(after(verdicts, series.test.start), series.times[-1] / 1e6, NORMAL_UNTIL / 1e6)
        lead.append(report.lead_hours or 0.0)
        false_alarms += report.false_alarms
    return {"lead_h": float(np.mean(lead)), "false_alarms": false_alarms}


def after(verdicts: Verdicts, row: int) -> Verdicts:
    """The verdicts from a row on."""
    rest = Verdicts(len(verdicts) - row, verdicts.channels, one_machine=True)
    for column in ("times", "machines", "status_codes", "scores", "thresholds", "alarm_codes", "contributions"):
        getattr(rest, column)[:] = getattr(verdicts, column)[row:]
    return rest
