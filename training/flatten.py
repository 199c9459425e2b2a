"""Keras model -> flat program. LSTM layers are unrolled: one copy of their operations a step (`flatten_lstm.py`)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from training.flat import Add, Convolve, FullyConnected, Program, Tanh
from training.flat_builder import Builder, Steps, Value, Whole
from training.flatten_lstm import unroll

Unroll = Callable[[Builder, Any, Value], Value]
"""From an LSTM layer and the value of its input to the value of its output."""


def flatten(model: Any, shape: tuple[int, int], lstm: Unroll = unroll) -> Program:
    """The flat program of a Keras model of windows `shape` (T, F), in either namespace.

    `lstm` makes the operations of an LSTM layer. Raises `ValueError` naming a layer, or a setting of it, that no operation calculates.
    """
    builder = Builder(shape)
    values: dict[int, Value] = {}
    makers = {id(layer.output): layer for layer in model.layers}

    def value_of(tensor: Any) -> Value:
        if id(tensor) not in values:
            layer = makers[id(tensor)]
            given = layer.input if isinstance(layer.input, list) else [layer.input]
            is_window = type(layer).__name__ == "InputLayer"
            values[id(tensor)] = (
                Whole(builder.input) if is_window else _layer(builder, layer, [value_of(t) for t in given], lstm)
            )
        return values[id(tensor)]

    return builder.program(builder.exact(value_of(model.output)))


def _layer(builder: Builder, layer: Any, given: list[Value], lstm: Unroll) -> Value:
    """The value of a layer's output."""
    kind, name, value = type(layer).__name__, layer.name, given[0]
    match kind:
        case "Dropout":
            return value
        case "LSTM":
            return lstm(builder, layer, value)
        case "Dense":
            return _dense(builder, layer, value)
        case "Conv1D":
            return _conv(builder, layer, value)
        case "Add":
            left, right = (builder.exact(each) for each in given)
            return Whole(builder.add(Add((left, right), (name,))))
        case "RepeatVector":
            vector = builder.whole(value, name)
            return Steps((vector.name,) * int(layer.n), vector.scale)
        case "Flatten" | "Reshape":
            whole = builder.whole(value, name)
            size = math.prod(builder.shapes[whole.name])
            shape = (size,) if kind == "Flatten" else tuple(int(each) for each in layer.target_shape)
            return replace(whole, name=builder.reshape(whole.name, shape, name))
        case "Cropping1D":
            start, end = layer.cropping
            whole = builder.whole(value, name)
            size = builder.shapes[whole.name][0] - start - end
            return replace(whole, name=builder.slice(whole.name, int(start), int(size), name))
    raise ValueError(
        f"layer {name!r}: expected LSTM, Dense, Conv1D, Cropping1D, RepeatVector, Flatten, Reshape, Add or Dropout, got {kind}"
    )


def _dense(builder: Builder, layer: Any, value: Value) -> Value:
    whole = builder.whole(value, layer.name)
    kernel, bias = (np.asarray(array, np.float32) for array in layer.get_weights())
    weights = builder.constant(f"{layer.name}/weights", kernel.T / whole.scale)
    inputs = (whole.name, weights, builder.constant(f"{layer.name}/bias", bias))
    return _activated(builder, FullyConnected(inputs, (layer.name,)), layer)


def _conv(builder: Builder, layer: Any, value: Value) -> Value:
    used = (layer.padding, tuple(layer.dilation_rate), layer.groups)
    if used != ("same", (1,), 1):
        raise ValueError(
            f"layer {layer.name!r}: expected padding 'same', no dilation and one group, "
            f"got {used[0]!r}, {used[1][0]} and {used[2]}"
        )
    whole = builder.whole(value, layer.name)
    kernel, bias = (np.asarray(array, np.float32) for array in layer.get_weights())  # (size, N, M)
    weights = builder.constant(f"{layer.name}/weights", kernel.transpose(2, 0, 1)[:, None] / whole.scale)
    rows = builder.reshape(whole.name, (1, *builder.shapes[whole.name]), f"{layer.name}/row")
    inputs = (rows, weights, builder.constant(f"{layer.name}/bias", bias))
    made = _activated(builder, Convolve(inputs, (f"{layer.name}/rows",), int(layer.strides[0])), layer)
    return Whole(builder.reshape(made.name, builder.shapes[made.name][1:], layer.name))


def _activated(builder: Builder, operation: FullyConnected | Convolve, layer: Any) -> Whole:
    activation = layer.activation.__name__
    if activation not in ("linear", "relu", "tanh"):
        raise ValueError(f"layer {layer.name!r}: expected the activation linear, relu or tanh, got {activation}")
    name = builder.add(replace(operation, relu=activation == "relu"))
    return Whole(builder.add(Tanh((name,), (f"{name}/tanh",))) if activation == "tanh" else name)
