"""Fitting is reproducible, stops early, and keeps the best epoch."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edge_runtime.errors import TrainingError
from training.config import DenseAutoencoder, Fit, LinearAutoencoder, LSTMAutoencoder, LSTMForecaster
from training.extra import import_keras
from training.fit import fit
from training.models import build

LSTM = LSTMAutoencoder("lstm_autoencoder", units=3)
DENSE = DenseAutoencoder("dense_autoencoder", hidden=(6,), latent=3)
LINEAR = LinearAutoencoder("linear_autoencoder", components=2)
SKIPS = [
    LSTMAutoencoder("lstm_autoencoder", units=3, skip=True),
    LSTMForecaster("lstm_forecaster", units=3, horizon=2, skip=True),
]


def make_windows(count, seed=0):
    phase = np.random.default_rng(seed).uniform(0, 6, (count, 1))
    steps = phase + np.arange(4)
    return np.stack((np.sin(steps), np.cos(steps)), axis=2).astype(np.float32)


def weights_of(fitted):
    return b"".join(array.tobytes() for array in fitted.model.get_weights())


@pytest.mark.parametrize(
    "spec", [LSTM, DENSE, LINEAR, *SKIPS, LSTMForecaster("lstm_forecaster", dropout=0.5)], ids=lambda spec: spec.family
)
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
    earlier = build(DENSE, 4, 2, import_keras())
    later = fit(DENSE, Fit(epochs=1, learning_rate=1e-9), 5, windows, windows, start=earlier).model
    for before, after in zip(earlier.get_weights(), later.get_weights(), strict=True):
        np.testing.assert_allclose(after, before, atol=1e-6)


def test_infinite_loss_is_refused():
    """A loss that is no longer finite ends the fitting with the epoch and what to do."""
    windows = np.full((30, 4, 2), 1e25, np.float32)
    with pytest.raises(TrainingError, match=r"epoch 1: expected a finite loss, got .*use a learning_rate below 0.001"):
        fit(DENSE, Fit(epochs=3), 1, windows, windows)


def test_a_linear_model_is_computed():
    """One entry in the history, with the mean squared errors of the model as it is; told to whoever shows the progress."""
    windows, held_out = make_windows(100), make_windows(600, seed=1)
    seen = []
    fitted = fit(LINEAR, Fit(), 1, windows, held_out, progress=lambda number, epoch: seen.append((number, epoch)))
    assert seen == [(1, fitted.history[0])]
    assert (len(fitted.history), fitted.best_epoch) == (1, 1)
    for part, loss in ((windows, fitted.history[0].loss), (held_out, fitted.history[0].held_out_loss)):
        assert np.mean((fitted.model.predict_on_batch(part) - part) ** 2) == pytest.approx(loss, rel=1e-5)
    assert fitted.history[0].held_out_loss < 1e-9  # a sine and a cosine of one phase have two components


def test_a_linear_model_has_no_weights_to_start_from():
    """Its components are those of the windows it is given, whatever an earlier run's were."""
    windows = make_windows(50)
    earlier = fit(LINEAR, Fit(), 1, windows * np.float32([1, 3]), windows).model
    again = fit(LINEAR, Fit(), 1, windows, windows, start=earlier)
    assert weights_of(again) == weights_of(fit(LINEAR, Fit(), 1, windows, windows))


def test_a_forecaster_learns_the_last_readings():
    """The targets are the window's last `horizon` readings, and the loss is theirs alone."""
    windows, held_out = make_windows(200), make_windows(50, seed=1)
    spec = LSTMForecaster("lstm_forecaster", units=8, horizon=2)
    fitted = fit(spec, Fit(epochs=60, learning_rate=0.02), 1, windows, held_out)
    error = fitted.model.predict_on_batch(held_out) - held_out[:, -2:]
    best = fitted.history[fitted.best_epoch - 1].held_out_loss
    assert np.mean(error**2) == pytest.approx(best, rel=1e-4)
    assert best < 0.1 * np.mean(held_out[:, -2:] ** 2)


@pytest.mark.parametrize("spec", SKIPS, ids=lambda spec: spec.family)
def test_the_linear_part_stays_as_it_was_computed(spec):
    """Fitting moves the rest; an earlier run's linear part is gone on with, though other windows would give another one."""
    windows = make_windows(60)
    noisy = windows + np.random.default_rng(1).normal(0, 0.3, windows.shape).astype(np.float32)
    start = fit(spec, Fit(epochs=1, learning_rate=1e-9), 1, noisy, noisy).model
    later = fit(spec, Fit(epochs=3, learning_rate=0.05), 1, windows, windows, start=start).model
    name = "regression" if spec.family == "lstm_forecaster" else "components"
    for layer in start.layers:
        for before, after in zip(layer.get_weights(), later.get_layer(layer.name).get_weights(), strict=True):
            assert np.array_equal(before, after) == (layer.name in (name, "unfold" if name == "components" else name))


@pytest.mark.parametrize("spec", SKIPS, ids=lambda spec: spec.family)
def test_what_the_linear_part_leaves_is_what_is_learned(spec):
    """A linear relation is there before the first epoch: hardly any loss is left, where random weights begin with a large one."""
    windows = make_windows(300)
    settings = Fit(epochs=40, learning_rate=0.01)
    fitted = fit(spec, settings, 1, windows, windows)
    plain = fit(replace(spec, skip=False), settings, 1, windows, windows)
    best, without = (min(epoch.held_out_loss for epoch in each.history) for each in (fitted, plain))
    assert best < 0.3 * without
