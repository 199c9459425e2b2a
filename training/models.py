"""The model families, built from their specification in either Keras namespace.

The same function builds a model in `keras` (Keras 3, where it is trained) and in `tf_keras` (its twin: only from there does
TensorFlow Lite make the fused LSTM kernel).

LSTM layers keep tanh and sigmoid, because other activations have no fused kernel; the decoder's last layer is a plain `Dense`,
never `TimeDistributed`, which becomes one matrix product a step in ONNX. Every layer is one that the numpy engine has too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from training.families import (
    ConvAutoencoder,
    DenseAutoencoder,
    LinearAutoencoder,
    LSTMAutoencoder,
    LSTMForecaster,
    Model,
)

COMPONENTS = "components"
"""The layer with a unit for each principal component, whose number follows from the data."""


def build(spec: Model, window_length: int, channels: int, keras: Any, components: int = 1) -> Any:
    """A new model for windows (B, T, F) in `keras`, which is either the module `keras` or the module `tf_keras`.

    Its input is called "window", its output is the estimate of the window's last K readings (B, K, F). `components`: how many
    principal components the linear part has, in a model with one (`linear_part`).
    """
    window = keras.Input((window_length, channels), name="window")
    estimate = FAMILIES[spec.family](spec, window, window_length, channels, keras.layers, components)
    return keras.Model(window, estimate, name=spec.family)


def copy_model(spec: Model, model: Any, keras: Any) -> Any:
    """A new model in the namespace `keras` with the layers and the weights of `model`, which `spec` describes."""
    (components,) = [layer.units for layer in model.layers if layer.name == COMPONENTS] or [1]
    _, window_length, channels = model.input_shape
    copy = build(spec, window_length, channels, keras, components)
    for layer in model.layers:  # by name: where a model branches the two namespaces need not list layers in one order
        copy.get_layer(layer.name).set_weights(layer.get_weights())
    return copy


def estimates(spec: Model) -> int | None:
    """How many of the window's last readings the model estimates, K; None: all of them."""
    return spec.horizon if isinstance(spec, LSTMForecaster) else None


def linear_part(spec: Model) -> tuple[str, ...]:
    """The names of the dense layers whose weights come from `linear.py`, not from fitting, in order."""
    if isinstance(spec, LSTMForecaster) and spec.skip:
        return ("regression",)
    if isinstance(spec, LinearAutoencoder) or (isinstance(spec, LSTMAutoencoder) and spec.skip):
        return (COMPONENTS, "unfold")
    return ()


def _lstm_autoencoder(
    spec: LSTMAutoencoder, window: Any, window_length: int, channels: int, layers: Any, components: int
) -> Any:
    """Malhotra et al., "LSTM-based encoder-decoder for multi-sensor anomaly detection" (2016), section 2.

    Unlike there, the decoder gets the encoding at every step instead of its own last output: one pass, no feedback loop.
    """
    x = window
    for i in range(1, spec.layers + 1):
        x = layers.LSTM(spec.units, return_sequences=i < spec.layers, name=f"encoder_{i}")(x)
        x = _dropout(spec.dropout, x, f"encoder_dropout_{i}", layers)
    if spec.latent is not None:
        x = layers.Dense(spec.latent, name="latent")(x)
    x = layers.RepeatVector(window_length, name="repeat")(x)
    for i in range(1, spec.layers + 1):
        x = layers.LSTM(spec.units, return_sequences=True, name=f"decoder_{i}")(x)
        x = _dropout(spec.dropout, x, f"decoder_dropout_{i}", layers)
    x = layers.Dense(channels, name="reconstruction")(x)
    if not spec.skip:
        return x
    linear = _principal_components(components, window, window_length, channels, layers, "linear")
    return layers.Add(name="sum")([linear, x])


def _lstm_forecaster(
    spec: LSTMForecaster, window: Any, window_length: int, channels: int, layers: Any, components: int
) -> Any:
    """Malhotra et al., "Long short term memory networks for anomaly detection in time series" (2015), section 2.

    The readings to predict are cut off inside the model, so that it is given the same window as every other family.
    """
    past = layers.Cropping1D((0, spec.horizon), name="past")(window)
    x = past
    for i in range(1, spec.layers + 1):
        x = layers.LSTM(spec.units, return_sequences=i < spec.layers, name=f"lstm_{i}")(x)
        x = _dropout(spec.dropout, x, f"dropout_{i}", layers)
    x = layers.Dense(spec.horizon * channels, name="unfold")(x)
    x = layers.Reshape((spec.horizon, channels), name="forecast")(x)
    if not spec.skip:
        return x
    linear = layers.Flatten(name="flatten")(past)
    linear = layers.Dense(spec.horizon * channels, name="regression")(linear)
    linear = layers.Reshape((spec.horizon, channels), name="linear")(linear)
    return layers.Add(name="sum")([linear, x])


def _dense_autoencoder(
    spec: DenseAutoencoder, window: Any, window_length: int, channels: int, layers: Any, components: int
) -> Any:
    """Hinton & Salakhutdinov, "Reducing the dimensionality of data with neural networks" (2006), trained in one go."""
    x = layers.Flatten(name="flatten")(window)
    for i, units in enumerate(spec.hidden, 1):
        x = layers.Dense(units, activation="relu", name=f"encoder_{i}")(x)
    x = layers.Dense(spec.latent, name="latent")(x)
    for i, units in enumerate(reversed(spec.hidden), 1):
        x = layers.Dense(units, activation="relu", name=f"decoder_{i}")(x)
    x = layers.Dense(window_length * channels, name="unfold")(x)
    return layers.Reshape((window_length, channels), name="reconstruction")(x)


def _conv_autoencoder(
    spec: ConvAutoencoder, window: Any, window_length: int, channels: int, layers: Any, components: int
) -> Any:
    """Convolutions of stride 2, a latent layer, and back by convolutions with two outputs a step, which a reshape lays side by side.

    That is the sub-pixel convolution (Shi et al. 2016) over time: equal to a transposed convolution (their appendix), and made
    of operators that every engine has. An odd length loses the step too many after each doubling.
    """
    lengths = [window_length]
    x = window
    for i, filters in enumerate(spec.filters, 1):
        name = f"encoder_{i}"
        x = layers.Conv1D(filters, spec.kernel, strides=2, padding="same", activation="relu", name=name)(x)
        lengths.append(-(-lengths[-1] // 2))
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(spec.latent, name="latent")(x)
    x = layers.Dense(lengths[-1] * spec.filters[-1], activation="relu", name="unfold")(x)
    x = layers.Reshape((lengths[-1], spec.filters[-1]), name="unflatten")(x)
    widths = (channels, *spec.filters[:-1])
    for i in reversed(range(len(spec.filters))):
        activation = "relu" if i else "linear"
        name = f"decoder_{i + 1}"
        x = layers.Conv1D(2 * widths[i], spec.kernel, padding="same", activation=activation, name=name)(x)
        x = layers.Reshape((2 * lengths[i + 1], widths[i]), name=f"double_{i + 1}")(x)
        if lengths[i] % 2:
            x = layers.Cropping1D((0, 1), name=f"cut_{i + 1}")(x)
    return x


def _linear_autoencoder(
    spec: LinearAutoencoder, window: Any, window_length: int, channels: int, layers: Any, components: int
) -> Any:
    """See `linear.py`."""
    return _principal_components(components, window, window_length, channels, layers, "reconstruction")


def _principal_components(
    components: int, window: Any, window_length: int, channels: int, layers: Any, name: str
) -> Any:
    x = layers.Flatten(name="flatten")(window)
    x = layers.Dense(components, name=COMPONENTS)(x)
    x = layers.Dense(window_length * channels, name="unfold")(x)
    return layers.Reshape((window_length, channels), name=name)(x)


def _dropout(share: float, x: Any, name: str, layers: Any) -> Any:
    """A layer of its own: dropout inside an LSTM layer would cost it the fused kernel in training."""
    return layers.Dropout(share, name=name)(x) if share else x


FAMILIES: dict[str, Callable[..., Any]] = {
    "lstm_autoencoder": _lstm_autoencoder,
    "lstm_forecaster": _lstm_forecaster,
    "dense_autoencoder": _dense_autoencoder,
    "conv_autoencoder": _conv_autoencoder,
    "linear_autoencoder": _linear_autoencoder,
}
"""Each family's builder: (spec, window (B, T, F), T, F, the namespace's layers, components) -> estimate (B, K, F)."""
