"""Score and threshold come from held-out normal scores, calculated as the device does."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import handmade
import numpy as np
import pytest

from edge_runtime.detector import Detector
from edge_runtime.errors import TrainingError
from edge_runtime.manifest import AlarmPolicy, Score, Threshold
from edge_runtime.manifest_decision import ScoreKind
from edge_runtime.prepare import Preparation
from edge_runtime.threshold_rules import BudgetRule, PercentileRule, SpotRule, TailRule
from training.calibrate import answers, calibrate, fit_score, reconstruct
from training.config import ScoreRule
from training.data import Part


class Zero:
    """A model that reconstructs nothing: the score is the size of the window."""

    best_batch = 64

    def predict_on_batch(self, windows):
        self.largest = max(len(windows), getattr(self, "largest", 0))
        return np.zeros_like(windows)

    run = predict_on_batch


def part_of(windows, begins=None):
    """A calibration part of windows (B, T, F)."""
    first = np.arange(len(windows)) == 0
    return Part("calibration", (), windows, first if begins is None else first | begins)


def normal_windows(count=600, seed=0):
    """Windows (B, 4, 2) of two channels that go together, the second with a third of the spread."""
    rng = np.random.default_rng(seed)
    first = rng.normal(size=(count, 4, 1))
    return np.concatenate((first, (first + rng.normal(size=first.shape)) / 3), axis=2).astype(np.float32)


def calibrated(windows, score, rule, period_s=864.0):
    return calibrate(answers(Zero(), part_of(windows)), score, rule, AlarmPolicy(), period_s)


def test_threshold_is_percentile_times_factor():
    """The threshold is the percentile of the scores (the next higher one) times the factor."""
    windows = np.random.default_rng(0).normal(size=(50, 4, 2)).astype(np.float32)
    result = calibrated(windows, Score("mae", last=2), PercentileRule(percentile=90, factor=1.5))
    scores = sorted(np.abs(window[-2:]).mean() for window in windows)
    assert result.threshold.value == pytest.approx(1.5 * scores[45], rel=1e-6)
    assert result.quantiles["100"] == pytest.approx(scores[-1], rel=1e-6)
    assert sum(result.scores > result.threshold.value / 1.5) == 4
    assert result.threshold.false_alarms.days == 0.5


@pytest.mark.parametrize("kind", get_args(ScoreKind))
@pytest.mark.parametrize("last", [None, 2])
def test_every_score_is_fitted(kind, last):
    """The score of other windows of the same machine is about its normal size; what is not fitted is handed on."""
    score = fit_score(answers(Zero(), part_of(normal_windows())), ScoreRule(kind, last, 0.4, shrinkage=0.0))
    assert (score.kind, score.last, score.smoothing) == (kind, last, 0.4)
    result = calibrated(normal_windows(seed=1), replace(score, smoothing=1.0), PercentileRule())
    expected = {"mae": (0.8 + 1.13 / 3) / 2, "mse": (1 + 2 / 9) / 2, "mahalanobis": 1.0}[kind]
    assert result.scores.mean() == pytest.approx(expected, rel=0.06)


def test_the_whitening_is_of_the_held_out_residuals():
    """Their covariance, of the last readings only where the score is of those; shrinkage draws the correlation to none."""
    windows = normal_windows(5000)
    windows[:, :2] *= 100
    score = fit_score(answers(Zero(), part_of(windows)), ScoreRule("mahalanobis", 2, shrinkage=0.0))
    white = windows[:, -2:].reshape(-1, 2) @ np.array(score.whitening)
    np.testing.assert_allclose(white.T @ white / len(white), np.eye(2), atol=1e-5)
    alone = np.array(fit_score(answers(Zero(), part_of(windows)), ScoreRule("mahalanobis", 2, shrinkage=1.0)).whitening)
    np.testing.assert_allclose(
        alone * [1, 1], np.diag(1 / np.sqrt((windows[:, -2:] ** 2).mean(axis=(0, 1)))), rtol=1e-5
    )
    half = np.array(fit_score(answers(Zero(), part_of(windows)), ScoreRule("mahalanobis", 2, shrinkage=0.5)).whitening)
    assert abs(alone[0, 1]) < abs(half[0, 1]) < abs(score.whitening[0][1])


@pytest.mark.parametrize("kind", get_args(ScoreKind))
@pytest.mark.parametrize("smoothing", [1.0, 0.3])
@pytest.mark.parametrize("rule", [PercentileRule(), SpotRule("spot", 0.01, 0.9)], ids=str)
def test_calibration_scores_are_the_devices(kind, smoothing, rule):
    """A detector that reads the same readings gives the same scores to the bit, smoothed anew after each restart."""
    values, times = handmade.stream(400, 2)
    values[100:105, 0] = np.nan
    times[250:] += 60 * handmade.SECOND
    m = handmade.manifest(4, 2)
    windows, _, begins = Preparation(m.preparation).windows_of(values, times)
    assert begins.sum() == 3
    score = fit_score(answers(Zero(), part_of(windows)), ScoreRule(kind, smoothing=smoothing))
    result = calibrate(answers(Zero(), part_of(windows, begins)), score, rule, m.alarm, 1.0)
    detector = Detector(replace(m, score=score, threshold=result.threshold), Zero())
    verdicts = detector.score(values, handmade.moments(times))
    assert verdicts.scores[verdicts.scored].tolist() == result.scores.tolist()
    assert verdicts.thresholds[0] == result.threshold.value


def test_an_alarm_does_not_reach_across_a_restart():
    """What a budget counts depends on where the windows restart: five in a row cannot come from pieces of three."""
    windows, policy = normal_windows(3000), AlarmPolicy(5, 5)
    pieces = np.arange(3000) % 3 == 0
    whole = calibrate(
        answers(Zero(), part_of(windows)), Score(), PercentileRule(), policy, 864.0
    ).threshold.false_alarms
    cut = calibrate(
        answers(Zero(), part_of(windows, pieces)), Score(), PercentileRule(), policy, 864.0
    ).threshold.false_alarms
    assert whole.per_day is not None
    assert (cut.clusters, cut.per_day) == (0, None)


def test_a_budget_is_in_days_of_the_sampling_period():
    """The same scores, ten times as far apart, are ten times the days."""
    windows = normal_windows(3000)
    slow = calibrated(windows, Score(), BudgetRule("budget", 60.0), period_s=864.0)
    fast = calibrated(windows, Score(), BudgetRule("budget", 6.0), period_s=86.4)
    assert slow.threshold.value == pytest.approx(fast.threshold.value)
    assert (slow.threshold.false_alarms.days, fast.threshold.false_alarms.days) == pytest.approx((30.0, 3.0))


def test_fewer_windows_than_a_rule_needs():
    """Names the rule, how many it needs and how many there are."""
    with pytest.raises(TrainingError, match=r"at least 500 held-out normal windows .* of the kind evt, got 50;"):
        calibrated(normal_windows(50), Score(), TailRule("evt"))


def test_windows_go_through_the_model_in_batches():
    """All windows are reconstructed, in order, no more than a batch at once."""
    windows = np.random.default_rng(0).normal(size=(10, 4, 2)).astype(np.float32)
    model = Zero()
    assert reconstruct(model, windows, batch=4).shape == windows.shape
    assert model.largest == 4


def test_scores_that_are_not_finite_are_refused():
    """A damaged model yields an error, not a threshold, and no whitening either."""
    windows = np.full((30, 4, 2), np.nan, np.float32)
    with pytest.raises(TrainingError, match="expected finite scores of held-out normal windows, got nan"):
        calibrated(windows, Score(), PercentileRule())
    with pytest.raises(TrainingError, match="expected finite residuals of held-out normal windows, got nan"):
        fit_score(answers(Zero(), part_of(windows)), ScoreRule("mahalanobis"))


def test_every_threshold_is_one_of_the_manifests():
    """What calibration gives is what the device reads."""
    assert isinstance(calibrated(normal_windows(), Score(), TailRule("evt")).threshold, get_args(Threshold))
