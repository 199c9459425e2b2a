"""The multiply-adds of a window, counted."""

from __future__ import annotations

import pytest

from training.config import ConvAutoencoder, DenseAutoencoder, LinearAutoencoder, LSTMAutoencoder, LSTMForecaster
from training.cost import multiply_adds
from training.extra import import_keras
from training.models import FAMILIES, build

T, F = 6, 3
CASES = {  # by hand, for windows of 6 readings and 3 channels: 18 numbers
    "dense_autoencoder": (
        DenseAutoencoder("dense_autoencoder", hidden=(5,), latent=2),
        18 * 5 + 5 * 2 + 2 * 5 + 5 * 18,
    ),
    "linear_autoencoder": (LinearAutoencoder("linear_autoencoder"), 18 * 4 + 4 * 18),
    "lstm_autoencoder": (
        LSTMAutoencoder("lstm_autoencoder", units=7, latent=2),
        6 * 4 * 7 * (3 + 7) + 7 * 2 + 6 * 4 * 7 * (2 + 7) + 6 * 7 * 3,
    ),
    "lstm_forecaster": (
        LSTMForecaster("lstm_forecaster", units=7, horizon=2, skip=True),
        4 * 4 * 7 * (3 + 7) + 7 * 6 + 12 * 6,
    ),
    "conv_autoencoder": (
        ConvAutoencoder("conv_autoencoder", filters=(4,), kernel=3, latent=2),
        3 * 3 * 3 * 4 + 12 * 2 + 2 * 12 + 3 * 3 * 4 * 6,
    ),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_counts_are_those_by_hand(family):
    """Every family is counted: kernels times the places they are applied at."""
    spec, expected = CASES[family]
    assert multiply_adds(build(spec, T, F, import_keras(), components=4)) == expected


def test_unknown_layer_is_refused():
    """A layer that nobody has thought about is not counted as free."""
    keras = import_keras()
    window = keras.Input((T, F))
    model = keras.Model(window, keras.layers.GRU(2)(window))
    with pytest.raises(TypeError, match="multiply-adds are known, got GRU"):
        multiply_adds(model)
