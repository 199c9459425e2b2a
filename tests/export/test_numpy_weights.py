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


@pytest.mark.parametrize(
    ("options", "got"),
    [
        ({"padding": "causal"}, "'causal', 1 and 1"),
        ({"padding": "valid"}, "'valid', 1 and 1"),
        ({"padding": "same", "dilation_rate": 2}, "'same', 2 and 1"),
        ({"padding": "same", "groups": 3}, "'same', 1 and 3"),
    ],
)
def test_a_convolution_the_engine_does_not_have_is_named(options: dict[str, Any], got: str) -> None:
    """Padded at both ends, without dilation, in one group: others would give other numbers."""
    import keras

    model = _around(keras.layers.Conv1D(3, 2, name="my_conv", **options))
    with pytest.raises(ExportError, match=f"layer 'my_conv': expected padding 'same', .*, got {got}"):
        numpy_weights.convert(model, SHAPE)


def test_only_the_last_steps_are_cut_off() -> None:
    """The engine leaves out steps at the end, and nowhere else."""
    import keras

    with pytest.raises(ExportError, match="layer 'my_cut': expected the last steps cut off, got 2 first, 1 last"):
        numpy_weights.convert(_around(keras.layers.Cropping1D((2, 1), name="my_cut")), SHAPE)


def test_branches_may_have_a_beginning_in_common() -> None:
    """The engine runs it once for each branch: the same numbers."""
    import keras

    window = keras.Input(SHAPE, name="window")
    shared = keras.layers.Dense(4, activation="tanh")(window)
    branches = [keras.layers.Dense(3)(shared), keras.layers.Dense(3)(keras.layers.Dense(5)(shared))]
    model = keras.Model(window, keras.layers.Dense(3)(keras.layers.Add()(branches)))
    windows = np.random.default_rng(2).normal(size=(3, *SHAPE)).astype(np.float32)
    engine = open_engine("numpy", numpy_weights.convert(model, SHAPE), SHAPE)
    assert np.abs(engine.run(windows) - np.asarray(model(windows))).max() < 1e-5


def test_a_dense_activation_the_engine_does_not_have_is_named() -> None:
    """With those it has."""
    import keras

    model = _around(keras.layers.Dense(3, activation="softplus", name="my_dense"))
    with pytest.raises(ExportError, match=r"layer 'my_dense': expected one of the activations .*, got softplus"):
        numpy_weights.convert(model, SHAPE)
