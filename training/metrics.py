"""Figures of detection from labels and flags or scores: arrays in, numbers out, numpy only.

Nothing is point-adjusted: a reading counts as found if it was flagged itself. Where a figure has no meaning (the precision of
a detector that flags nothing) it is None, never 0 or 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Labels = npt.NDArray[np.bool_]
Scores = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Counts:
    """The confusion matrix. Counts of several tables add up (`+`), which pools them."""

    true_positives: int
    """Anomalous and flagged."""
    false_positives: int
    """Normal and flagged."""
    false_negatives: int
    """Anomalous and not flagged."""
    true_negatives: int
    """Normal and not flagged."""

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.true_positives + other.true_positives,
            self.false_positives + other.false_positives,
            self.false_negatives + other.false_negatives,
            self.true_negatives + other.true_negatives,
        )

    @property
    def precision(self) -> float | None:
        """How much of what is flagged is anomalous."""
        return _ratio(self.true_positives, self.true_positives + self.false_positives)

    @property
    def recall(self) -> float | None:
        """How much of what is anomalous is flagged."""
        return _ratio(self.true_positives, self.true_positives + self.false_negatives)

    @property
    def f1(self) -> float | None:
        """The harmonic mean of precision and recall, TP / (TP + (FP + FN) / 2)."""
        return _ratio(2 * self.true_positives, 2 * self.true_positives + self.false_positives + self.false_negatives)

    @property
    def false_alarm_rate(self) -> float | None:
        """How much of what is normal is flagged (FAR)."""
        return _ratio(self.false_positives, self.false_positives + self.true_negatives)

    @property
    def missed_alarm_rate(self) -> float | None:
        """How much of what is anomalous is not flagged (MAR)."""
        return _ratio(self.false_negatives, self.true_positives + self.false_negatives)


def count_points(labels: Labels, flags: Labels) -> Counts:
    """Count readings by label and flag, both (N,)."""
    return Counts(
        int(np.count_nonzero(labels & flags)),
        int(np.count_nonzero(~labels & flags)),
        int(np.count_nonzero(labels & ~flags)),
        int(np.count_nonzero(~labels & ~flags)),
    )


def precision_recall(labels: Labels, scores: Scores) -> tuple[Scores, Scores, Scores]:
    """The curve: precision, recall and threshold (K,), thresholds falling through the K different scores (N,).

    A reading is flagged if its score reaches the threshold. Needs an anomalous label.
    """
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    last = np.append(np.flatnonzero(ranked[1:] != ranked[:-1]), len(ranked) - 1)  # of each group of equal scores
    found = np.cumsum(labels[order])[last]
    return found / (last + 1), found / found[-1], ranked[last]


def average_precision(labels: Labels, scores: Scores) -> float | None:
    """The precisions along the curve, weighted by the recall each step gains; nothing is interpolated. None without anomalies."""
    if not labels.any():
        return None
    precision, recall, _ = precision_recall(labels, scores)
    return float(np.sum(np.diff(recall, prepend=0.0) * precision))


def roc_auc(labels: Labels, scores: Scores) -> float | None:
    """The share of pairs (anomalous, normal) in which the anomalous reading has the higher score; equal ones count half.

    By rank sums (Mann & Whitney 1947). None unless there are both.
    """
    anomalous = int(np.count_nonzero(labels))
    normal = len(labels) - anomalous
    if not anomalous or not normal:
        return None
    _, group, sizes = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = np.cumsum(sizes) - (sizes - 1) / 2  # from 1; equal scores share the mean of their ranks
    return float((ranks[group][labels].sum() - anomalous * (anomalous + 1) / 2) / (anomalous * normal))


def runs(labels: Labels) -> list[tuple[int, int]]:
    """The unbroken runs of true labels (N,), each as (first row, row after the last)."""
    edges = np.flatnonzero(np.diff(labels.astype(np.int8), prepend=0, append=0))
    return [(int(first), int(end)) for first, end in edges.reshape(-1, 2)]


def poisson_upper(count: int, confidence: float = 0.95) -> float:
    """The largest mean at which a Poisson count as low as `count` still has the probability 1 - confidence (Garwood 1936).

    For 0 it is about 3 ("the rule of three"): three quiet days do not show that there is less than one false alarm a day.
    """

    k = np.arange(count + 1)
    log_factorials = np.cumsum(np.log(np.maximum(k, 1)))

    def probability(mean: float) -> float:
        return float(np.exp(k * math.log(mean) - mean - log_factorials).sum())

    low, high = 1e-12, count + 10 * math.sqrt(count + 1) + 10
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if probability(middle) > 1 - confidence else (low, middle)
    return high


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None
