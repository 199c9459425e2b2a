"""SKAB: a water-pump rig with eight sensors at about 1 Hz, one experiment a file (Katser & Kozitsin 2020).

Each file alone: rows 0 to 399 are learned, the rest is tested; counts are pooled over the test rows of all files. F1 =
TP / (TP + (FP + FN) / 2), FAR = FP / (FP + TN), MAR = FN / (FN + TP). A row without a score counts as not anomalous.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.detection.baselines import Settings
from benchmarks.detection.families import FAMILIES as ALL_FAMILIES
from benchmarks.detection.series import Series, microseconds, ranking
from edge_runtime.readings import Verdicts

NAME, FOLDER = "skab", "skab/data"
TRAIN_ROWS = 400
PERIOD_S, LONGEST_GAP_S = 1.0, 10.0
SETTINGS = """
[window]
length = 10          # ten seconds

[score]
smoothing = 0.1      # a fault of the rig lasts minutes, a window is over after ten seconds
"""
"""Everything in the training configuration that is not a default, the same for every file."""
RESOLUTION: float | None = None
BASELINE = Settings(window=15, variance=0.8)
FAMILIES = tuple(ALL_FAMILIES)
COLUMNS = ("f1", "far", "mar", "ap")
PUBLISHED = (
    ("Conv-AE (58 rows look-ahead), all 34 files", {"f1": 0.78, "far": 0.136, "mar": 0.280}),
    ("LSTM-AE (8 rows look-ahead), all 34 files", {"f1": 0.74, "far": 0.300, "mar": 0.259}),
    ("MSET (centred mean), all 34 files", {"f1": 0.78, "far": 0.397, "mar": 0.141}),
    ("T2+Q (PCA), all 34 files", {"f1": 0.76, "far": 0.266, "mar": 0.249}),
    ("T2, all 34 files", {"f1": 0.66, "far": 0.192, "mar": 0.426}),
    ("vanilla LSTM, all 34 files", {"f1": 0.54, "far": 0.125, "mar": 0.595}),
    ("isolation forest, all 34 files", {"f1": 0.29, "far": 0.026, "mar": 0.829}),
)
"""Rows of the data set's own leaderboard; they choose their thresholds otherwise."""


def load(folder: Path) -> list[Series]:
    """Every labelled file below the folder."""
    files = sorted(path for path in (folder / FOLDER).glob("*/*.csv") if path.parent.name != "anomaly-free")
    return [_read(path) for path in files]


def _read(path: Path) -> Series:
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file, delimiter=";"))
    channels = tuple(name for name in rows[0] if name not in ("datetime", "anomaly", "changepoint"))
    return Series(
        name=f"{path.parent.name}/{path.stem}",
        channels=channels,
        times=np.array([microseconds(row["datetime"]) for row in rows], np.int64),
        values=np.array([[float(row[name]) for name in channels] for row in rows]),
        train=slice(0, TRAIN_ROWS),
        test=slice(TRAIN_ROWS, len(rows)),
        labels=np.array([float(row["anomaly"]) > 0 for row in rows]),
    )


def measure(results: Sequence[tuple[Series, Verdicts]]) -> dict[str, float]:
    """Pooled F1, FAR and MAR, and the average precision, a mean over the files."""
    from sklearn.metrics import average_precision_score

    truth = np.concatenate([_labels(series) for series, _ in results])
    said = np.concatenate([verdicts.anomalous[series.test] for series, verdicts in results])
    tp, fp = int((said & truth).sum()), int((said & ~truth).sum())
    fn, tn = int((~said & truth).sum()), int((~said & ~truth).sum())
    precision = [
        average_precision_score(_labels(series), ranking(verdicts)[series.test]) for series, verdicts in results
    ]
    return {
        "f1": tp / (tp + (fp + fn) / 2) if tp else 0.0,
        "far": fp / (fp + tn),
        "mar": fn / (fn + tp),
        "ap": float(np.mean(precision)),
    }


def _labels(series: Series) -> np.ndarray:
    assert series.labels is not None
    return series.labels[series.test]
