"""Hydraulic test rig: 2,205 load cycles of 60 s with the state of each component (Helwig et al. 2015; ZeMA gGmbH, CC BY 4.0).

Normal is cooler 100, valve 100, pump 0, accumulator 130, stable 0; everything else is a fault. Only ten cycles are normal, so the
first seven are learned and the other three tested beside every tenth faulty one, each cycle on its own. Nearly all rows
are faulty: ROC-AUC and the rates tell something, F1 would not. `recall_*`: share of anomalous rows in the cycles in which that
component is at its worst.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.detection.baselines import Settings
from benchmarks.detection.families import FAMILIES as ALL_FAMILIES
from benchmarks.detection.series import Series, microseconds, ranking
from edge_runtime.readings import Verdicts

NAME, FOLDER = "hydraulic", "hydraulic_1hz"
PERIOD_S, LONGEST_GAP_S = 1.0, 5.0
SETTINGS = """
[window]
length = 8
"""
"""Everything in the training configuration that is not a default, the same for every file."""
RESOLUTION: float | None = None
BASELINE = Settings(window=8, variance=0.9)
FAMILIES = tuple(ALL_FAMILIES)
COLUMNS = ("auc", "far", "mar", "recall_cooler", "recall_valve", "recall_pump", "recall_accumulator")
PUBLISHED: tuple[tuple[str, dict[str, float]], ...] = ()
CHANNELS = ("TS1", "TS2", "TS3", "TS4", "VS1", "CE", "CP", "SE")
NORMAL = (100, 100, 0, 130, 0)
WORST = {"cooler": (0, 3), "valve": (1, 73), "pump": (2, 2), "accumulator": (3, 90)}
LEARNED_CYCLES, EVERY = 7, 10
BETWEEN_S = 3600
"""Cycles are told apart by a pause, so that no window reaches across two."""


def load(folder: Path) -> list[Series]:
    """The rig, if its profile is there."""
    base = folder / FOLDER
    if not (base / "profile.txt").exists():
        return []
    states = np.loadtxt(base / "profile.txt", dtype=np.int64)
    cycles = np.stack([np.loadtxt(base / f"{name}.txt") for name in CHANNELS], axis=-1)  # (cycles, 60, C)
    is_normal = (states == NORMAL).all(axis=1)
    normal, faulty = np.flatnonzero(is_normal), np.flatnonzero(~is_normal)
    order = np.concatenate([normal, faulty[::EVERY]])
    seconds = cycles.shape[1]
    starts = np.arange(len(order)) * (seconds + BETWEEN_S)
    learned = slice(0, LEARNED_CYCLES * seconds)
    return [
        Series(
            name="rig",
            channels=CHANNELS,
            times=microseconds("2015-01-01T00:00:00")
            + 1_000_000 * (starts[:, None] + np.arange(seconds)).ravel().astype(np.int64),
            values=cycles[order].reshape(-1, len(CHANNELS)),
            train=learned,
            test=slice(learned.stop, len(order) * seconds),
            labels=np.repeat(~is_normal[order], seconds),
            truth={"states": np.repeat(states[order], seconds, axis=0)},
        )
    ]


def measure(results: Sequence[tuple[Series, Verdicts]]) -> dict[str, float]:
    """Rates over the scored rows: the first of each cycle have no full window yet."""
    from sklearn.metrics import roc_auc_score

    (series, verdicts) = results[0]
    assert series.labels is not None
    counts = verdicts.scored & (np.arange(len(verdicts)) >= series.test.start)
    truth, said, states = series.labels[counts], verdicts.anomalous[counts], series.truth["states"][counts]
    return {
        "auc": float(roc_auc_score(truth, ranking(verdicts)[counts])),
        "far": float(said[~truth].mean()),
        "mar": float((~said[truth]).mean()),
        **{f"recall_{name}": float(said[states[:, column] == worst].mean()) for name, (column, worst) in WORST.items()},
    }
