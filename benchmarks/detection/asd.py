"""ASD: server metrics, 19 channels every five minutes, one machine a file (Li et al., "Multivariate time series anomaly detection
and interpretation using hierarchical inter-metric and temporal embedding", 2021).

Fitted to `train` alone, thresholds included. Average precision, ROC-AUC, point F1, precision and recall at the frozen threshold:
means over the machines. An event, an unbroken run of labelled rows, is recalled if a row in it is anomalous. A false alarm is an
unbroken run of anomalous rows that touches no event. HitRate@100 %: the share of the channels at fault among as many
channels with the largest contributions, summed over the event's scored rows; a mean over all events.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.detection.baselines import Settings
from benchmarks.detection.families import FAMILIES as ALL_FAMILIES
from benchmarks.detection.series import Series, microseconds, ranking
from edge_runtime.readings import Verdicts

NAME, FOLDER = "asd", "asd"
PERIOD_S, LONGEST_GAP_S = 300.0, 900.0
SETTINGS = """
[window]
length = 5           # 25 minutes

[[derived]]
kind = "time_of_day" # servers have days and nights
harmonics = 3

[fit]
epochs = 60
batch_size = 128
patience = 8
"""
"""Everything in the training configuration that is not a default, the same for every file."""
RESOLUTION: float | None = 0.001
"""The metrics are scaled to 0 to 1; a thousandth of that is nothing. Some do not vary at all in what is learned."""
BASELINE = Settings(window=5, variance=0.95)
FAMILIES = tuple(ALL_FAMILIES)
COLUMNS = ("ap", "auc", "f1", "precision", "recall", "events", "events_found", "false_alarms", "hit_rate")
PUBLISHED: tuple[tuple[str, dict[str, float]], ...] = ()


def load(folder: Path) -> list[Series]:
    """Every machine in the folder. The files have no times; readings five minutes apart stand for them."""
    return [_read(path) for path in sorted((folder / FOLDER).glob("ASD_*.npz"))]


def _read(path: Path) -> Series:
    with np.load(path, allow_pickle=False) as arrays:
        train, test, label = (arrays[name] for name in ("train", "test", "label"))
    name = path.stem.removeprefix("ASD_")
    faults = path.with_name(f"{name}.txt")
    values = np.concatenate([train, test]).astype(np.float64)
    start = microseconds("2020-01-01T00:00:00")
    labels = np.concatenate([np.zeros(len(train), np.bool_), label.astype(np.bool_)])
    return Series(
        name=name,
        channels=tuple(f"m{i}" for i in range(1, values.shape[1] + 1)),
        times=start + round(PERIOD_S * 1e6) * np.arange(len(values), dtype=np.int64),
        values=values,
        train=slice(0, len(train)),
        test=slice(len(train), len(values)),
        labels=labels,
        truth={"faults": _faults(faults.read_text(), len(train)) if faults.exists() else []},
    )


def _faults(text: str, offset: int) -> list[tuple[slice, list[str]]]:
    """Lines `first-last:channel,channel`, rows of the test part from 0, channels from 1."""
    found = []
    for line in filter(None, map(str.strip, text.splitlines())):
        rows, channels = line.split(":")
        first, last = map(int, rows.split("-"))
        found.append((slice(offset + first, offset + last + 1), [f"m{int(each)}" for each in channels.split(",")]))
    return found


def measure(results: Sequence[tuple[Series, Verdicts]]) -> dict[str, float]:
    """Means over the machines; counts are sums."""
    from sklearn.metrics import average_precision_score, roc_auc_score

    rows = []
    hits: list[float] = []
    for series, verdicts in results:
        assert series.labels is not None
        truth, said = series.labels[series.test], verdicts.anomalous[series.test]
        order = ranking(verdicts)[series.test]
        tp = int((said & truth).sum())
        events, runs = unbroken(truth), unbroken(said)
        rows.append(
            {
                "ap": float(average_precision_score(truth, order)),
                "auc": float(roc_auc_score(truth, order)),
                "f1": 2 * tp / max(int(said.sum() + truth.sum()), 1),
                "precision": tp / max(int(said.sum()), 1),
                "recall": tp / max(int(truth.sum()), 1),
                "events": len(events),
                "events_found": sum(bool(said[event].any()) for event in events),
                "false_alarms": sum(not truth[run].any() for run in runs),
            }
        )
        hits += hit_rates(series, verdicts)
    sums = ("events", "events_found", "false_alarms")
    return {
        **{name: float((np.sum if name in sums else np.mean)([row[name] for row in rows])) for name in rows[0]},
        "hit_rate": float(np.mean(hits)) if hits else float("nan"),
    }


def hit_rates(series: Series, verdicts: Verdicts) -> list[float]:
    """For each event whose channels at fault are known, the share of them that is found."""
    rates = []
    for rows, channels in series.truth["faults"]:
        parts = verdicts.contributions[rows]
        sums = np.nansum(parts, axis=0)
        if not np.isfinite(parts).any():
            rates.append(0.0)
            continue
        ranked = [verdicts.channels[i] for i in np.argsort(-sums, kind="stable")]
        top = [name for name in ranked if name in series.channels][
            : len(channels)
        ]  # an input that is no channel cannot be at fault
        rates.append(len(set(top) & set(channels)) / len(channels))
    return rates


def unbroken(marks: npt.NDArray[np.bool_]) -> list[slice]:
    """The unbroken runs of true in `marks` (N,)."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], marks, [False])).astype(np.int8)))
    return [slice(int(first), int(end)) for first, end in zip(edges[::2], edges[1::2], strict=True)]
