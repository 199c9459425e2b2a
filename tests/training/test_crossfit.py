"""Blocked cross-fitting: no answer comes from a model that has seen the readings."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from edge_runtime.errors import TrainingError
from training.crossfit import cross_fitted
from training.data import Part
from training.families import LinearAutoencoder
from training.linear import apply, linear_autoencoder

T = 5
SPEC = LinearAutoencoder("linear_autoencoder", folds=4, drift_parts=1)


def part_of(rows, starts=(0,)):
    """Every window of unbroken rows (N, C) that begin at `starts`."""
    windows, begins = [], []
    for first, end in pairwise((*starts, len(rows))):
        views = np.lib.stride_tricks.sliding_window_view(rows[first:end], T, axis=0).swapaxes(1, 2)
        windows.append(views)
        begins.append(np.arange(len(views)) == 0)
    return Part("fit", (), np.concatenate(windows).astype(np.float32), np.concatenate(begins))


def readings(count=200, C=2, seed=0):
    return np.random.default_rng(seed).normal(size=(count, C)).cumsum(axis=0) / 5


@pytest.mark.parametrize("starts", [(0,), (0, 60, 101)])
def test_a_block_is_answered_by_a_model_that_has_seen_none_of_its_readings(starts):
    """The windows it is fitted to are those that share no reading with any of the block's, found reading by reading."""
    rows = readings()
    whole = part_of(rows, starts)
    seen = []  # the readings of each window
    for first, end in pairwise((*starts, len(rows))):
        seen += [set(range(i, i + T)) for i in range(first, end - T + 1)]
    held_out = cross_fitted(SPEC, whole)
    for begin, end in pairwise(np.linspace(0, len(seen), 5).astype(int).tolist()):
        block = set().union(*seen[begin:end])
        others = [i for i, window in enumerate(seen) if not window & block]
        model = linear_autoencoder(SPEC, whole.windows[others])
        assert np.array_equal(held_out.outputs[begin:end], apply(model, whole.windows[begin:end]))


def test_scores_begin_anew_with_each_block_and_each_unbroken_run():
    """The windows themselves and their order are as they were."""
    whole = part_of(readings(), (0, 60, 101))
    held_out = cross_fitted(SPEC, whole)
    assert held_out.windows is whole.windows
    edges = np.linspace(0, len(whole.windows), 5).astype(int)[:-1]
    assert set(np.flatnonzero(held_out.begins)) == {*edges.tolist(), *np.flatnonzero(whole.begins).tolist()}


def test_too_few_windows_are_an_error():
    """For the folds, and for a block whose neighbours all share readings with it."""
    with pytest.raises(TrainingError, match="expected at least 8 windows for 4 folds, got 7"):
        cross_fitted(SPEC, part_of(readings(7 + T - 1)))
    with pytest.raises(TrainingError, match="expected windows without readings of the block of 4"):
        cross_fitted(LinearAutoencoder("linear_autoencoder", folds=2), part_of(readings(8 + T - 1)))


def test_a_window_may_be_made_of_more_readings_than_it_has():
    """Those before its first, which derived inputs are made of: windows that share one of them with the block are left out too."""
    whole, reach = part_of(readings()), T + 3
    held_out = cross_fitted(SPEC, whole, reach=reach)
    count = len(whole.windows)
    for begin, end in pairwise(np.linspace(0, count, 5).astype(int).tolist()):
        others = [i for i in range(count) if i + reach <= begin or i >= end - 1 + reach]
        model = linear_autoencoder(SPEC, whole.windows[others])
        assert np.array_equal(held_out.outputs[begin:end], apply(model, whole.windows[begin:end]))
