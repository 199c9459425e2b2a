"""Keras model -> the numpy engine's npz (float32)."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_runtime.engines.numpy import (
    ConvLayer,
    CropLayer,
    DenseLayer,
    Layer,
    LSTMLayer,
    Program,
    RepeatLayer,
    ReshapeLayer,
    SumLayer,
)
from edge_runtime.errors import ExportError
from edge_runtime.schema import encode

_ACTIVATIONS = ("linear", "relu", "tanh")
_WEIGHTS = {"LSTM": ("kernel", "recurrent", "bias"), "Dense": ("kernel", "bias"), "Conv1D": ("kernel", "bias")}
"""What the arrays of a layer are called in the file, in Keras's order."""


Weights = dict[str, npt.NDArray[np.float32]]
"""By `<layer>.kernel`, `<layer>.recurrent` and `<layer>.bias`, as Keras lays them out."""


def convert(model: Any, shape: tuple[int, int]) -> bytes:
    """Write down a Keras model's layers and weights.

    `model`: as for `describe`. Raises `ExportError` naming a layer or activation the engine does not have.
    """
    program, weights = describe(model, shape)
    buffer = io.BytesIO()
    members: dict[str, npt.NDArray[Any]] = {"layers": np.array(json.dumps(encode(program))), **weights}
    np.savez(buffer, **members)  # type: ignore[arg-type]  # the names could be those of its options, but are not
    return buffer.getvalue()


def describe(model: Any, shape: tuple[int, int]) -> tuple[Program, Weights]:
    """The layers and the weights of a Keras model.

    `model`: a Keras model of windows `shape` (T, F), its layers in a chain, or in several from the window on whose ends are
    added. Raises `ExportError` naming a layer or activation that no program has.
    """
    makers = {id(layer.output): layer for layer in model.layers}
    layers = _chain(model.output, makers)
    weights: Weights = {}
    for layer in model.layers:
        parts = _WEIGHTS.get(type(layer).__name__, ())
        for part, array in zip(parts, layer.get_weights(), strict=True) if parts else ():
            weights[f"{layer.name}.{part}"] = np.asarray(array, np.float32)
    return Program(shape, layers), weights


def _chain(tensor: Any, makers: dict[int, Any]) -> tuple[Layer, ...]:
    """The layers from the window to `tensor`; `makers` is the layer that makes each tensor."""
    layer = makers[id(tensor)]
    kind = type(layer).__name__
    if kind == "InputLayer":
        return ()
    if kind == "Add":
        return (SumLayer("sum", tuple(_chain(each, makers) for each in layer.input)),)
    described = _describe(layer, kind)
    return (*_chain(layer.input, makers), *([] if described is None else [described]))


def _describe(layer: Any, kind: str) -> Layer | None:
    """What the layer is to the engine; None for one that does nothing at inference."""
    if kind == "Dropout":
        return None
    if kind == "RepeatVector":
        return RepeatLayer("repeat", int(layer.n))
    if kind == "Flatten":
        return ReshapeLayer("reshape", (-1,))
    if kind == "Reshape":
        return ReshapeLayer("reshape", tuple(int(size) for size in layer.target_shape))
    if kind == "Cropping1D":
        start, end = layer.cropping
        if start or not end:
            raise ExportError(f"layer {layer.name!r}: expected the last steps cut off, got {start} first, {end} last")
        return CropLayer("crop", int(end))
    if kind == "LSTM":
        used = (layer.activation.__name__, layer.recurrent_activation.__name__)
        if used != ("tanh", "sigmoid"):
            raise ExportError(f"layer {layer.name!r}: expected an LSTM with tanh and sigmoid, got {' and '.join(used)}")
        return LSTMLayer("lstm", layer.name, bool(layer.return_sequences))
    if kind in ("Dense", "Conv1D"):
        activation = layer.activation.__name__
        if activation not in _ACTIVATIONS:
            known = ", ".join(_ACTIVATIONS)
            raise ExportError(f"layer {layer.name!r}: expected one of the activations {known}, got {activation}")
        return DenseLayer("dense", layer.name, activation) if kind == "Dense" else _conv(layer, activation)
    raise ExportError(
        f"layer {layer.name!r}: expected LSTM, Dense, Conv1D, Cropping1D, RepeatVector, Flatten, Reshape, Add or Dropout, "
        f"got {kind}"
    )


def _conv(layer: Any, activation: Any) -> ConvLayer:
    used = (layer.padding, tuple(layer.dilation_rate), layer.groups)
    if used != ("same", (1,), 1):
        raise ExportError(
            f"layer {layer.name!r}: expected padding 'same', no dilation and one group, "
            f"got {used[0]!r}, {used[1][0]} and {used[2]}"
        )
    return ConvLayer("conv", layer.name, int(layer.strides[0]), activation)
