"""NAB: three single-channel series with real incidents (Lavin & Ahmad, "Evaluating real-time anomaly detection algorithms", 2015).

The first 15 % of a file's rows, 750 at most, are probation: learned, and never scored. A detection is a row on which an alarm
is raised. Within an incident's window the earliest one counts, the more the earlier it is; outside of every window each
counts against the detector, the less the shortly after a window. 0 is the score of a detector that says nothing, 100
the perfect one's. One threshold rule for all files, fixed beforehand; the public board tunes its thresholds on the labels.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.detection.baselines import Settings
from benchmarks.detection.families import FAMILIES as ALL_FAMILIES
from benchmarks.detection.series import Series, microseconds, strictly_rising
from edge_runtime.manifest import AlarmPolicy
from edge_runtime.readings import RAISED, Verdicts

NAME, FOLDER = "nab", "nab"
PERIOD_S, LONGEST_GAP_S = 300.0, 3600.0
SETTINGS = """
[window]
length = 2

[[derived]]
kind = "difference"  # a metric that wanders has no level to speak of, but it has a pace
channel = "value"

[alarm]
k = 6                # half an hour to six hours: people do not want to hear of a single reading
n = 6
"""
"""Everything in the training configuration that is not a default, the same for every file."""
RESOLUTION: float | None = None
BASELINE = Settings(window=15, variance=0.9, alarm=AlarmPolicy(6, 6))
FAMILIES = tuple(ALL_FAMILIES)
COLUMNS = ("nab", "windows", "found", "false_alarms")
PUBLISHED = (
    ("HTM, whole benchmark, threshold tuned on the labels", {"nab": 70.0}),
    ("Skyline, the same", {"nab": 58.0}),
    ("random cut forest, the same", {"nab": 52.0}),
    ("windowed Gaussian, the same", {"nab": 40.0}),
)


def load(folder: Path) -> list[Series]:
    """Every file that `windows.json` names and that is there."""
    base = folder / FOLDER
    if not (base / "windows.json").exists():
        return []
    windows = json.loads((base / "windows.json").read_text())
    weights = json.loads((base / "profiles.json").read_text())["standard"]["CostMatrix"]
    return [_read(base / name, spans, weights) for name, spans in sorted(windows.items()) if (base / name).exists()]


def _read(path: Path, spans: list[list[str]], weights: dict[str, float]) -> Series:
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    times = np.array([microseconds(row["timestamp"]) for row in rows], np.int64)
    values = np.array([[float(row["value"])] for row in rows])
    probation = min(int(0.15 * len(rows)), 750)
    limits = [(microseconds(start), microseconds(end)) for start, end in spans]
    kept = strictly_rising(times)
    probation = int(kept[:probation].sum())
    times, values = times[kept], values[kept]
    inside = [np.flatnonzero((times >= start) & (times <= end)) for start, end in limits]
    return Series(
        name=path.stem,
        channels=("value",),
        times=times,
        values=values,
        train=slice(0, probation),
        test=slice(probation, len(times)),
        labels=np.any([(times >= start) & (times <= end) for start, end in limits], axis=0),
        truth={"windows": [(int(rows[0]), int(rows[-1])) for rows in inside], "weights": weights},
    )


def measure(results: Sequence[tuple[Series, Verdicts]]) -> dict[str, float]:
    """The corpus's score: raw scores summed over the files, between the silent and the perfect detector's."""
    raw = silent = perfect = 0.0
    windows = found = false_alarms = 0
    for series, verdicts in results:
        detections = np.flatnonzero(verdicts.alarm_codes == RAISED)
        detections = detections[detections >= series.test.start]
        weights, spans = series.truth["weights"], series.truth["windows"]
        raw += raw_score(detections, spans, weights)
        silent -= weights["fnWeight"] * len(spans)
        perfect += weights["tpWeight"] * len(spans)
        inside = [(detections >= first) & (detections <= last) for first, last in spans]
        windows, found = windows + len(spans), found + sum(bool(each.any()) for each in inside)
        false_alarms += int((~np.any(inside, axis=0)).sum()) if len(detections) else 0
    return {
        "nab": 100 * (raw - silent) / (perfect - silent), "windows": windows, "found": found, "false_alarms": false_alarms,
    }  # fmt: skip


def raw_score(detections: npt.NDArray[np.int64], spans: Sequence[tuple[int, int]], weights: dict[str, float]) -> float:
    """The raw score of one file: rows of `detections`, incidents as (first row, last row), in order."""
    best = [-weights["fnWeight"]] * len(spans)
    against = 0.0
    for row in detections.tolist():
        within = [i for i, (first, last) in enumerate(spans) if first <= row <= last]
        if within:
            first, last = spans[within[0]]
            position = -(last - row + 1) / (last - first + 1)
            best[within[0]] = max(best[within[0]], _sigmoid(position) / _sigmoid(-1.0) * weights["tpWeight"])
            continue
        before = [span for span in spans if span[1] < row]
        past = (row - before[-1][1]) / max(before[-1][1] - before[-1][0], 1) if before else np.inf
        against += _sigmoid(past) * weights["fpWeight"]
    return sum(best) + against


def _sigmoid(position: float) -> float:
    """Section 3.1: 1 at the window's start, 0 at its end, -1 far behind it; positions in window lengths."""
    return -1.0 if position > 3 else float(2 / (1 + np.exp(5 * position)) - 1)
