"""Fitting is reproducible, stops early, and keeps the best epoch."""

from __future__ import annotations

import numpy as np
import pytest

from edge_runtime.errors import TrainingError
from training.config import DenseAutoencoder, Fit, LSTMAutoencoder
from training.extra import import_keras
from training.fit import fit
from training.models import build

LSTM = LSTMAutoencoder("lstm_autoencoder", units=3)
DENSE = DenseAutoencoder("dense_autoencoder", hidden=(6,), latent=3)


def make_windows(count, seed=0):
    phase = np.random.default_rng(seed).uniform(0, 6, (count, 1))
    steps = phase + np.arange(4)
    return np.stack((np.sin(steps), np.cos(steps)), axis=2).astype(np.float32)


def weights_of(fitted):
    return b"".join(array.tobytes() for array in fitted.model.get_weights())


@pytest.mark.parametrize("spec", [LSTM, DENSE], ids=lambda spec: spec.family)
def test_same_seed_gives_the_same_weights(spec):
    """Two fits with one seed agree to the last bit, history included."""
    windows, held_out = make_windows(100), make_windows(20, seed=1)
    first, again = (fit(spec, Fit(epochs=2), 1, windows, held_out) for _ in range(2))
    assert weights_of(first) == weights_of(again)
    assert first.history == again.history


def test_another_seed_gives_other_weights():
    """The seed is what decides."""
    windows = make_windows(40)
    first, other = (fit(DENSE, Fit(epochs=1), seed, windows, windows) for seed in (1, 2))
    assert weights_of(first) != weights_of(other)


def test_best_epoch_is_kept():
    """Fitting ends `patience` epochs after the best one, and the model has that one's weights."""
    windows, held_out = make_windows(60), -make_windows(60)  # learning the one soon makes the other worse
    seen = []
    fitted = fit(
        DENSE,
        Fit(epochs=100, learning_rate=0.02, patience=3, batch_size=20),
        1,
        windows,
        held_out + np.float32(1),
        progress=lambda number, epoch: seen.append((number, epoch)),
    )
    held_out_losses = [epoch.held_out_loss for epoch in fitted.history]
    assert fitted.best_epoch == 1 + int(np.argmin(held_out_losses))
    assert len(fitted.history) == fitted.best_epoch + 3 < 100
    error = fitted.model.predict_on_batch(held_out + 1) - (held_out + 1)
    assert np.mean(error**2) == pytest.approx(min(held_out_losses), rel=1e-5)
    assert seen == list(enumerate(fitted.history, 1))


def test_starts_from_given_weights():
    """Given weights are where it starts: after one tiny step they have hardly moved."""
    windows = make_windows(40)
    earlier = build(DENSE, 4, 2, import_keras()).get_weights()
    later = fit(DENSE, Fit(epochs=1, learning_rate=1e-9), 5, windows, windows, weights=earlier).model.get_weights()
    for before, after in zip(earlier, later, strict=True):
        np.testing.assert_allclose(after, before, atol=1e-6)


def test_infinite_loss_is_refused():
    """A loss that is no longer finite ends the fitting with the epoch and what to do."""
    windows = np.full((30, 4, 2), 1e25, np.float32)
    with pytest.raises(TrainingError, match=r"epoch 1: expected a finite loss, got .*use a learning_rate below 0.001"):
        fit(DENSE, Fit(epochs=3), 1, windows, windows)
