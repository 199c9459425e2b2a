"""Small specifications of every model family, for the tests that walk over them. Needs the workstation's packages."""

from __future__ import annotations

from typing import Any

import numpy as np

from training.config import (
    ConvAutoencoder,
    DenseAutoencoder,
    LinearAutoencoder,
    LSTMAutoencoder,
    LSTMForecaster,
    Model,
)
from training.models import build

SPECS: dict[str, Model] = {
    "lstm": LSTMAutoencoder("lstm_autoencoder", units=7),
    "lstm-stacked": LSTMAutoencoder("lstm_autoencoder", layers=2, units=5, latent=4, dropout=0.3),
    "lstm-skip": LSTMAutoencoder("lstm_autoencoder", units=5, skip=True),
    "forecaster": LSTMForecaster("lstm_forecaster", units=6),
    "forecaster-stacked": LSTMForecaster("lstm_forecaster", layers=2, units=5, horizon=3, dropout=0.3, skip=True),
    "dense": DenseAutoencoder("dense_autoencoder", hidden=(9, 6), latent=2),
    "conv": ConvAutoencoder("conv_autoencoder", filters=(6, 5), kernel=3, latent=4),
    "conv-deep": ConvAutoencoder("conv_autoencoder", filters=(4, 6, 5), kernel=4, latent=3),
    "linear": LinearAutoencoder("linear_autoencoder"),
}
"""By a name for people; the first of each family is its plainest."""


def untrained(spec: Model, shape: tuple[int, int], keras: Any, seed: int = 3) -> Any:
    """A model for windows `shape` (T, C) with random weights, none of them zero."""
    model = build(spec, *shape, keras, components=3)
    rng = np.random.default_rng(seed)
    for layer in model.layers:
        weights = [rng.normal(0, 0.4, array.shape).astype(np.float32) for array in layer.get_weights()]
        layer.set_weights(weights)
    return model
