"""Thresholds that adapt: as the plain loops do, causal, bounded, and each machine for itself."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args, get_type_hints

import handmade
import numpy as np
import pytest
from effort import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle_threshold import Level

from edge_runtime.adapt import Adaptive, adaptive, levels_of
from edge_runtime.manifest import MovingQuantileThreshold, SpotThreshold, Threshold

FIXED = {kind: each for kind, each in handmade.THRESHOLDS.items() if adaptive(each, 1) is None}
MOVING: dict[str, Any] = {kind: each for kind, each in handmade.THRESHOLDS.items() if kind not in FIXED}
KINDS = [get_args(get_type_hints(cls)["kind"])[0] for cls in get_args(Threshold)]


def state(kind: str, machines: int = 1, **changes: Any) -> Adaptive:
    """A threshold that adapts."""
    found = adaptive(replace(MOVING[kind], **changes), machines)
    assert found is not None
    return found


def normal_scores(count: int, seed: int = 1) -> np.ndarray:
    """Scores (N,) below and above where the tails here begin."""
    return np.random.default_rng(seed).gamma(4.0, 0.25, count)


def test_every_threshold_is_here() -> None:
    """A kind without a place in these tests fails; the fixed ones have no state at all."""
    assert set(KINDS) == set(handmade.THRESHOLDS)
    assert set(MOVING) == {"moving_quantile", "spot"}
    for threshold in FIXED.values():
        assert adaptive(threshold, 3) is None
        assert levels_of(threshold, np.array([1.0, np.nan, 5.0])).tolist() == [2.0, 2.0, 2.0]


@pytest.mark.heavy
def test_a_fixed_threshold_does_not_even_import_this_module(tmp_path: Path) -> None:
    """It costs a device nothing that others adapt."""
    code = "import sys; from edge_runtime import load; load(sys.argv[1]); print('edge_runtime.adapt' in sys.modules)"
    answers = []
    for kind in ("percentile", "spot"):
        path = handmade.sealed(
            tmp_path / f"{kind}.anomalite", handmade.manifest(4, 2, threshold=handmade.THRESHOLDS[kind])
        )
        done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
        answers.append(done.stdout.strip())
    assert answers == ["False", "True"]


@pytest.mark.parametrize("kind", MOVING)
@settings(max_examples=examples(60))
@given(seed=st.integers(0, 10**6), size=st.sampled_from([0.3, 1.0, 2.0]), limit=st.sampled_from([1.0, 1.2, 5.0]))
def test_levels_are_those_of_plain_loops(kind: str, seed: int, size: float, limit: float) -> None:
    """Score for score, over 400 of them."""
    fitted = replace(MOVING[kind], limit=limit)
    scores = size * normal_scores(400, seed)
    oracle = Level(fitted)
    expected = []
    for score in scores.tolist():
        expected.append(oracle.value)
        oracle.learn(score)
    np.testing.assert_allclose(levels_of(fitted, scores), expected, rtol=1e-4)


@pytest.mark.heavy
@pytest.mark.parametrize("kind", MOVING)
def test_these_streams_move_the_threshold(kind: str) -> None:
    """Both ways, so that the comparison above is not one of constants."""
    fitted = replace(MOVING[kind], limit=5.0)
    assert levels_of(fitted, 0.6 * normal_scores(4000)).min() < 1.9
    assert levels_of(fitted, 1.3 * normal_scores(4000)).max() > 2.1


@pytest.mark.parametrize("kind", MOVING)
def test_the_threshold_that_judges_a_score_does_not_know_it(kind: str) -> None:
    """Changing a score changes no level up to its own; `levels` tells it before."""
    scores = normal_scores(500)
    changed = scores.copy()
    changed[200:] *= 0.8
    before, after = levels_of(MOVING[kind], scores), levels_of(MOVING[kind], changed)
    assert before[:201].tolist() == after[:201].tolist()
    assert before[201:].tolist() != after[201:].tolist()
    one = state(kind)
    for score, level in zip(scores.tolist(), before.tolist(), strict=True):
        assert one.levels(0) == level
        assert one.step(0, score) == level


@pytest.mark.parametrize("kind", MOVING)
def test_scores_above_the_threshold_teach_nothing(kind: str) -> None:
    """With a run of 1: taking them out of the stream leaves the same levels."""
    scores = normal_scores(600)
    fitted = replace(MOVING[kind], run=1)
    with_faults = scores.repeat(2)
    with_faults[1::2] = 100.0
    assert levels_of(fitted, with_faults)[::2].tolist() == levels_of(fitted, scores).tolist()


@pytest.mark.parametrize("kind", MOVING)
@pytest.mark.parametrize("length", [1, 2, 3, 50])
def test_a_fault_teaches_nothing_after_its_first_scores(kind: str, length: int) -> None:
    """Of scores in a row above the threshold the first two may be a normal machine's; a fault's are not learned from."""
    fitted, scores = replace(MOVING[kind], limit=3.0), normal_scores(400)
    first = int(np.argmax(scores > 1.3))

    def after(count: int) -> float:
        return float(levels_of(fitted, np.insert(scores, first, [50.0] * count))[-1])

    assert after(length) == after(min(length, 2))
    if length <= 2:
        assert after(length) != after(length - 1)


@pytest.mark.heavy
@pytest.mark.parametrize("kind", MOVING)
@pytest.mark.parametrize("limit", [1.0, 1.5])
def test_a_slow_fault_does_not_drag_the_threshold_without_bound(kind: str, limit: float) -> None:
    """A score that rises slowly is followed to `value * limit`, and is anomalous beyond; downwards it ends likewise."""
    fitted = replace(MOVING[kind], limit=limit)
    rising = normal_scores(20_000) * np.linspace(1, 8, 20_000)
    levels = levels_of(fitted, rising)
    assert levels.max() <= 2.0 * limit
    assert (rising[-2000:] > levels[-2000:]).mean() > 0.9
    assert levels_of(fitted, np.full(20_000, 1e-9)).min() >= 2.0 / limit


def test_a_moving_quantile_comes_to_rest_at_the_quantile() -> None:
    """Of whatever the scores' distribution is: nine in ten are below, after it came from far away."""
    scores = np.random.default_rng(5).lognormal(0.0, 0.5, 40_000)
    fitted = MovingQuantileThreshold("moving_quantile", 90.0, 4.0, 0.01, 3, 100.0, 20.0)
    quantiles = levels_of(fitted, scores)[10_000:] / 4.0
    assert np.median(quantiles) == pytest.approx(np.quantile(scores, 0.9), rel=0.03)


@pytest.mark.heavy
def test_spot_learns_a_machines_own_tail() -> None:
    """One whose normal scores reach half as far gets a threshold that fits it, and so does one with a longer tail."""
    rng = np.random.default_rng(6)
    calibrated = rng.exponential(0.2, 200)
    value = 1.0 + 0.2 * np.log(1 / 1e-3)
    fitted = SpotThreshold("spot", 1e-3, 0.9, 200, 3, 3.0, value, 1.0, tuple(calibrated.tolist()), 200, 200)
    shorter, longer = 1 + rng.exponential(0.1, 20_000), 1 + rng.exponential(0.3, 20_000)
    assert (shorter > value).mean() == 0
    assert (longer > value).mean() > 8e-3
    for own in (shorter, longer):
        assert 0.4e-3 < (own > levels_of(fitted, own))[5_000:].mean() < 3e-3
    # Where nothing above the threshold is learned, the tail seems to end there.
    assert (longer > levels_of(replace(fitted, run=1), longer))[5_000:].mean() > 4e-3


@pytest.mark.parametrize("kind", MOVING)
@settings(max_examples=examples(30))
@given(seed=st.integers(0, 10**6), resets=st.booleans())
def test_machines_together_are_machines_alone(kind: str, seed: int, resets: bool) -> None:
    """To the last bit, and a machine that is not asked stays as it is."""
    rng = np.random.default_rng(seed)
    together, alone = state(kind, 4), state(kind, 4)
    for row in range(200):
        machines = rng.permutation([0, 1, 3])[: rng.integers(1, 4)]
        scores = rng.gamma(4.0, 0.25, len(machines))
        expected = [alone.step(int(machine), score) for machine, score in zip(machines, scores.tolist(), strict=True)]
        assert together.levels(machines).tolist() == expected
        assert together.step(machines, scores).tolist() == expected
        if resets and row % 50 == 30:
            together.reset(1)
            alone.reset(1)
    assert together.levels(2) == 2.0


@pytest.mark.parametrize("kind", MOVING)
def test_reset_forgets_one_machine_or_all(kind: str) -> None:
    """As new: the calibrated threshold, and everything it learns from there."""
    scores = [50.0, *normal_scores(300).tolist()]  # the first one alone is learned, and not as the third in a row
    both = state(kind, 2)
    first = [both.step(0, score) for score in scores]
    other = [both.step(1, score) for score in scores]
    both.step(0, 50.0)
    both.step(0, 50.0)
    both.reset(0)
    assert both.levels(0) == 2.0 != both.levels(1)
    assert [both.step(0, score) for score in scores] == first == other
    both.reset(slice(None))
    assert both.levels(np.array([0, 1])).tolist() == [2.0, 2.0]


def test_spot_keeps_the_newest_excesses_only() -> None:
    """After more than `peaks` of them the calibrated ones are gone."""
    fitted = replace(MOVING["spot"], limit=100.0, peaks=40)
    other = replace(fitted, excesses=tuple(2 * each for each in fitted.excesses))
    scores = 1.2 + np.random.default_rng(8).exponential(0.1, 64)
    assert levels_of(fitted, scores)[20] != levels_of(other, scores)[20]
    assert levels_of(fitted, scores)[-1] == levels_of(other, scores)[-1]
