"""The numpy engine's weights: the same reconstruction as Keras, or an error that names the layer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edge_runtime.engines import open_engine
from edge_runtime.errors import ExportError
from export import numpy_weights
from training.config import DenseAutoencoder, LSTMAutoencoder, Model
from training.models import build

SHAPE = (8, 3)


@pytest.mark.parametrize(
    "spec",
    [
        LSTMAutoencoder("lstm_autoencoder", layers=2, units=5, latent=4),
        LSTMAutoencoder("lstm_autoencoder", units=7),
        DenseAutoencoder("dense_autoencoder", hidden=(9, 6), latent=2),
    ],
    ids=["lstm-latent", "lstm", "dense"],
)
def test_the_engine_reconstructs_as_keras_does(spec: Model) -> None:
    """Every layer kind of every family, one window and several."""
    import keras

    keras.utils.set_random_seed(5)
    model = build(spec, *SHAPE, keras)
    engine = open_engine("numpy", numpy_weights.convert(model, SHAPE), SHAPE)
    for count in (1, 6):
        windows = np.random.default_rng(count).normal(size=(count, *SHAPE)).astype(np.float32)
        assert np.abs(engine.run(windows) - np.asarray(model(windows))).max() < 1e-5


def _around(layer: Any) -> Any:
    import keras

    window = keras.Input(SHAPE, name="window")
    return keras.Model(window, layer(window))


def test_a_layer_the_engine_does_not_have_is_named() -> None:
    """With what it has instead."""
    import keras

    model = _around(keras.layers.GRU(3, return_sequences=True, name="my_gru"))
    with pytest.raises(ExportError, match=r"layer 'my_gru': expected LSTM, Dense, .*, got GRU"):
        numpy_weights.convert(model, SHAPE)


def test_an_lstm_activation_without_a_kernel_is_named() -> None:
    """Only tanh and sigmoid."""
    import keras

    model = _around(keras.layers.LSTM(3, activation="relu", return_sequences=True, name="my_lstm"))
    with pytest.raises(
        ExportError, match="layer 'my_lstm': expected an LSTM with tanh and sigmoid, got relu and sigmoid"
    ):
        numpy_weights.convert(model, SHAPE)


def test_a_dense_activation_the_engine_does_not_have_is_named() -> None:
    """With those it has."""
    import keras

    model = _around(keras.layers.Dense(3, activation="softplus", name="my_dense"))
    with pytest.raises(ExportError, match=r"layer 'my_dense': expected one of the activations .*, got softplus"):
        numpy_weights.convert(model, SHAPE)
