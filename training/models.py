"""The model families, built from their specification in either Keras namespace.

The same function builds a model in `keras` (Keras 3, where it is trained) and in `tf_keras` (its twin: only from there does
TensorFlow Lite make the fused LSTM kernel). Equal layers in equal order, so `twin.set_weights(model.get_weights())` fits.

LSTM layers keep tanh and sigmoid, because other activations have no fused kernel; the decoder's last layer is a plain `Dense`,
never `TimeDistributed`, which becomes one matrix product a step in ONNX.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from training.config import DenseAutoencoder, LSTMAutoencoder, Model


def build(spec: Model, window_length: int, channels: int, keras: Any) -> Any:
    """A new model for windows (B, T, C) in `keras`, which is either the module `keras` or the module `tf_keras`.

    Its input is called "window", its output is the reconstruction (B, T, C).
    """
    window = keras.Input((window_length, channels), name="window")
    reconstruction = FAMILIES[spec.family](spec, window, window_length, channels, keras.layers)
    return keras.Model(window, reconstruction, name=spec.family)


def _lstm_autoencoder(spec: LSTMAutoencoder, window: Any, window_length: int, channels: int, layers: Any) -> Any:
    """Malhotra et al., "LSTM-based encoder-decoder for multi-sensor anomaly detection" (2016), section 2.

    Unlike there, the decoder gets the encoding at every step instead of its own last output: one pass, no feedback loop.
    """
    x = window
    for i in range(1, spec.layers + 1):
        x = layers.LSTM(spec.units, return_sequences=i < spec.layers, name=f"encoder_{i}")(x)
    if spec.latent is not None:
        x = layers.Dense(spec.latent, name="latent")(x)
    x = layers.RepeatVector(window_length, name="repeat")(x)
    for i in range(1, spec.layers + 1):
        x = layers.LSTM(spec.units, return_sequences=True, name=f"decoder_{i}")(x)
    return layers.Dense(channels, name="reconstruction")(x)


def _dense_autoencoder(spec: DenseAutoencoder, window: Any, window_length: int, channels: int, layers: Any) -> Any:
    """Hinton & Salakhutdinov, "Reducing the dimensionality of data with neural networks" (2006), trained in one go."""
    x = layers.Flatten(name="flatten")(window)
    for i, units in enumerate(spec.hidden, 1):
        x = layers.Dense(units, activation="relu", name=f"encoder_{i}")(x)
    x = layers.Dense(spec.latent, name="latent")(x)
    for i, units in enumerate(reversed(spec.hidden), 1):
        x = layers.Dense(units, activation="relu", name=f"decoder_{i}")(x)
    x = layers.Dense(window_length * channels, name="unfold")(x)
    return layers.Reshape((window_length, channels), name="reconstruction")(x)


FAMILIES: dict[str, Callable[..., Any]] = {
    "lstm_autoencoder": _lstm_autoencoder,
    "dense_autoencoder": _dense_autoencoder,
}
"""Each family's builder: (spec, window (B, T, C), T, C, the namespace's layers) -> reconstruction (B, T, C)."""
