"""The figures of detection, against scikit-learn, scipy and plain loops."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2
from sklearn import metrics as sklearn_metrics

from training.metrics import (
    Counts,
    average_precision,
    count_points,
    poisson_upper,
    precision_recall,
    roc_auc,
    runs,
)

LABELLED = st.lists(
    st.tuples(st.booleans(), st.booleans(), st.sampled_from([-np.inf, 0.0, 0.5, 1.0, 2.5]) | st.floats(0, 10)),
    min_size=1,
    max_size=60,
)
"""(label, flag, score): scores that are often equal, and some that are missing."""


def columns(rows):
    labels, flags, scores = zip(*rows, strict=True)
    return np.array(labels), np.array(flags), np.array(scores)


@given(LABELLED)
def test_counts_are_the_confusion_matrix(rows):
    """As scikit-learn counts; and pooled counts are the counts of the tables put together."""
    labels, flags, _ = columns(rows)
    counts = count_points(labels, flags)
    (tn, fp), (fn, tp) = sklearn_metrics.confusion_matrix(labels, flags, labels=[False, True])
    assert counts == Counts(tp, fp, fn, tn)
    half = len(rows) // 2
    assert count_points(labels[:half], flags[:half]) + count_points(labels[half:], flags[half:]) == counts


@given(LABELLED)
def test_rates(rows):
    """As scikit-learn has them; None where it would divide by zero."""
    labels, flags, _ = columns(rows)
    counts = count_points(labels, flags)
    expected = {
        "precision": sklearn_metrics.precision_score(labels, flags, zero_division=np.nan),
        "recall": sklearn_metrics.recall_score(labels, flags, zero_division=np.nan),
        "f1": sklearn_metrics.f1_score(labels, flags, zero_division=np.nan),
        "false_alarm_rate": 1 - sklearn_metrics.recall_score(~labels, ~flags, zero_division=np.nan),
        "missed_alarm_rate": 1 - sklearn_metrics.recall_score(labels, flags, zero_division=np.nan),
    }
    for name, value in expected.items():
        got = getattr(counts, name)
        assert got is None if np.isnan(value) else got == pytest.approx(value, abs=1e-12), name


@given(LABELLED)
def test_average_precision_and_roc_auc(rows):
    """As scikit-learn has them, with ties and with scores of minus infinity (ranked last)."""
    labels, _, scores = columns(rows)
    finite = np.where(np.isinf(scores), -1.0, scores)  # which scikit-learn does not take; the order is the same
    if labels.any():
        expected = sklearn_metrics.average_precision_score(labels, finite)
        assert average_precision(labels, scores) == pytest.approx(expected, abs=1e-12)
    else:
        assert average_precision(labels, scores) is None
    if labels.any() and not labels.all():
        assert roc_auc(labels, scores) == pytest.approx(sklearn_metrics.roc_auc_score(labels, finite), abs=1e-12)
    else:
        assert roc_auc(labels, scores) is None


@given(LABELLED)
def test_the_curve_in_plain_loops(rows):
    """At each different score: what would be flagged if the threshold were there."""
    labels, _, scores = columns(rows)
    if not labels.any():
        return
    precision, recall, thresholds = precision_recall(labels, scores)
    assert thresholds.tolist() == sorted(set(scores.tolist()), reverse=True)
    for p, r, threshold in zip(precision, recall, thresholds, strict=True):
        found = sum(1 for label, score in zip(labels, scores, strict=True) if score >= threshold and label)
        flagged = sum(1 for score in scores if score >= threshold)
        assert (p, r) == (pytest.approx(found / flagged), pytest.approx(found / labels.sum()))


@given(st.lists(st.booleans(), max_size=40))
def test_runs_in_plain_loops(labels):
    """First and last row of each unbroken run, at the ends too."""
    expected, first = [], None
    for row, label in enumerate([*labels, False]):
        if label and first is None:
            first = row
        if not label and first is not None:
            expected.append((first, row))
            first = None
    assert runs(np.array(labels, bool)) == expected


@pytest.mark.parametrize("count", [0, 1, 2, 7, 100, 5_000])
@pytest.mark.parametrize("confidence", [0.9, 0.95])
def test_poisson_bound(count, confidence):
    """Garwood's limit is half a chi-squared quantile."""
    assert poisson_upper(count, confidence) == pytest.approx(chi2.ppf(confidence, 2 * count + 2) / 2, rel=1e-6)


def test_no_readings():
    """Nothing is known, and nothing is claimed."""
    none = np.zeros(0, bool)
    counts = count_points(none, none)
    assert counts == Counts(0, 0, 0, 0)
    assert (counts.precision, counts.recall, counts.f1) == (None, None, None)
    assert (average_precision(none, np.zeros(0)), roc_auc(none, np.zeros(0)), runs(none)) == (None, None, [])
