"""A table's scores in order of time: smoothed, compared with the threshold then in force, and turned into alarms."""

from __future__ import annotations

import numpy as np

from edge_runtime.alarm import Alarm
from edge_runtime.manifest import Threshold
from edge_runtime.readings import SCORED, Verdicts
from edge_runtime.smooth import smooth_table


def smooth_rows(weight: float, verdicts: Verdicts, restarts: list[int]) -> None:
    """Smooth a table's scores in order of time; `restarts` are the rows at which the window began anew."""
    rows = np.flatnonzero(verdicts.scored)
    begins = np.diff(np.searchsorted(restarts, rows, side="right"), prepend=-1) != 0
    verdicts.scores[rows], verdicts.contributions[rows] = smooth_table(weight, verdicts.contributions[rows], begins)


def run_threshold(threshold: Threshold, verdicts: Verdicts) -> None:
    """Take a table's scores in order and fill in the threshold that was in force at each reading."""
    from edge_runtime.adapt import levels_of

    verdicts.thresholds[:] = levels_of(threshold, verdicts.scores)


def run_alarm(alarm: Alarm, verdicts: Verdicts, restarts: set[int]) -> None:
    """Take a table's scores in order of time and fill in the alarm's states."""
    times = verdicts.times.astype(np.int64).tolist()
    thresholds = verdicts.thresholds.tolist()
    rows = zip(verdicts.status_codes.tolist(), verdicts.scores.tolist(), times, thresholds, strict=True)
    for row, (status, score, time, threshold) in enumerate(rows):
        if row in restarts:
            alarm.restart(0)
        verdicts.alarm_codes[row] = alarm.step(0, score, time, threshold) if status == SCORED else alarm.state(0)
