"""Keras model -> the numpy engine's npz (float32)."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_runtime.engines.numpy import DenseLayer, Layer, LSTMLayer, Program, RepeatLayer, ReshapeLayer
from edge_runtime.errors import ExportError
from edge_runtime.schema import encode

_DENSE_ACTIVATIONS = ("linear", "relu", "tanh")


def convert(model: Any, shape: tuple[int, int]) -> bytes:
    """Write down a Keras model's layers and weights.

    `model`: a Keras model of windows `shape` (T, C), its layers in a chain. Raises `ExportError` naming a layer or activation the
    engine does not have.
    """
    layers: list[Layer] = []
    weights: dict[str, npt.NDArray[np.float32]] = {}
    for layer in model.layers:
        described = _describe(layer)
        if described is None:
            continue
        layers.append(described)
        if isinstance(described, (LSTMLayer, DenseLayer)):
            parts = ("kernel", "recurrent", "bias") if isinstance(described, LSTMLayer) else ("kernel", "bias")
            for part, array in zip(parts, layer.get_weights(), strict=True):
                weights[f"{layer.name}.{part}"] = np.asarray(array, np.float32)
    text = json.dumps(encode(Program(shape, tuple(layers))))
    buffer = io.BytesIO()
    members: dict[str, npt.NDArray[Any]] = {"layers": np.array(text), **weights}
    np.savez(buffer, **members)  # type: ignore[arg-type]  # the names could be those of its options, but are not
    return buffer.getvalue()


def _describe(layer: Any) -> Layer | None:
    """What the layer is to the engine; None for one that does nothing at inference."""
    kind = type(layer).__name__
    if kind in ("InputLayer", "Dropout"):
        return None
    if kind == "RepeatVector":
        return RepeatLayer("repeat", int(layer.n))
    if kind == "Flatten":
        return ReshapeLayer("reshape", (-1,))
    if kind == "Reshape":
        return ReshapeLayer("reshape", tuple(int(size) for size in layer.target_shape))
    if kind == "LSTM":
        used = (layer.activation.__name__, layer.recurrent_activation.__name__)
        if used != ("tanh", "sigmoid"):
            raise ExportError(f"layer {layer.name!r}: expected an LSTM with tanh and sigmoid, got {' and '.join(used)}")
        return LSTMLayer("lstm", layer.name, bool(layer.return_sequences))
    if kind == "Dense":
        activation = layer.activation.__name__
        if activation not in _DENSE_ACTIVATIONS:
            known = ", ".join(_DENSE_ACTIVATIONS)
            raise ExportError(f"layer {layer.name!r}: expected one of the activations {known}, got {activation}")
        return DenseLayer("dense", layer.name, activation)
    raise ExportError(f"layer {layer.name!r}: expected LSTM, Dense, RepeatVector, Flatten or Reshape, got {kind}")
