"""A flat program for int8 in TensorFlow, each number rounded as the device will, and trainable all the same.

The rounding lets gradients through unchanged (the straight-through estimator: Bengio et al. 2013; for int8 with ranges that are
learned: Jain et al., "Trained quantization thresholds", 2020, section 3).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from training.flat import (
    Add,
    Concatenate,
    Convert,
    FullyConnected,
    Limit,
    Multiply,
    Operation,
    Program,
    Reshape,
    Sigmoid,
    Slice,
    Split,
    Subtract,
    Tanh,
)
from training.flatten_int8 import role
from training.quantization import LEVELS, Quantization, open_roles, scales, weight_names


class RoundedGraph:
    """The program with its constants and open ranges as variables."""

    def __init__(self, program: Program, quantization: Quantization) -> None:
        import tensorflow as tf

        self._tf = tf
        self._program = quantization.apply(program)
        self._roles = open_roles(program)
        self._stored = scales(program, quantization.ranges)
        self._int8_weights = weight_names(program)
        self._constants = {name: tf.Variable(values, name="c") for name, values in self._program.constants.items()}
        self._ranges = {name: tf.Variable(np.array(quantization.ranges[name], np.float32)) for name in self._roles}

    @property
    def weights(self) -> list[Any]:
        """The variables to train: weights and biases. What cuts the readings into pieces stays."""
        return [variable for name, variable in self._constants.items() if "/cut" not in name]

    @property
    def ranges(self) -> list[Any]:
        """The variables (2,) of the open ranges."""
        return list(self._ranges.values())

    def quantization(self) -> Quantization:
        """The variables as they are now."""
        limits = {name: np.asarray(variable).tolist() for name, variable in self._ranges.items()}
        return Quantization(
            {name: np.asarray(variable) for name, variable in self._constants.items()},
            {name: (low, high) for name, (low, high) in limits.items()},
        )

    def run(self, windows: Any) -> Any:
        """The output (B, K, F) for `windows` (B, T, F), a tensor."""
        values: dict[str, Any] = {
            name: self._round_weights(variable) if name in self._int8_weights else variable
            for name, variable in self._constants.items()
        }
        values[self._program.input] = windows
        for operation in self._program.operations:
            results = self._calculate(operation, [values[name] for name in operation.inputs])
            for name, result in zip(operation.outputs, results, strict=True):
                values[name] = self._round(operation, name, result)
        return values[self._program.output]

    def _round(self, operation: Operation, name: str, values: Any) -> Any:
        """What is stored of `values`; what is only laid out anew is rounded already."""
        if name not in self._stored or isinstance(operation, Concatenate | Reshape | Slice | Split):
            return values
        quantized = self._tf.quantization.fake_quant_with_min_max_vars
        if role(name) in self._ranges:
            limits = self._ranges[role(name)]
            return quantized(values, limits[0], limits[1])
        scale = self._stored[name]
        low = scale.scale * (-128 - scale.zero_point)
        return quantized(values, low, low + LEVELS * scale.scale)

    def _round_weights(self, weights: Any) -> Any:
        tf = self._tf
        steps = tf.maximum(tf.reduce_max(tf.abs(weights), axis=1, keepdims=True), 1e-9) / 127
        return weights + tf.stop_gradient(tf.round(weights / steps) * steps - weights)

    def _calculate(self, operation: Operation, inputs: list[Any]) -> list[Any]:
        tf = self._tf
        x = inputs[0]
        simple: dict[type[Operation], Callable[..., Any]] = {
            Tanh: tf.tanh,
            Sigmoid: tf.sigmoid,
            Limit: lambda each: tf.clip_by_value(each, -1.0, 1.0),
            Add: tf.add,
            Subtract: tf.subtract,
            Multiply: tf.multiply,
            Convert: tf.identity,
        }
        match operation:
            case FullyConnected(relu=relu):
                _, weights, bias = inputs
                rows = tf.matmul(tf.reshape(x, (-1, x.shape[-1])), weights, transpose_b=True) + bias
                result = tf.reshape(rows, (-1, *x.shape[1:-1], weights.shape[0]))
                return [tf.nn.relu(result) if relu else result]
            case Concatenate():
                return [tf.concat(inputs, axis=-1)]
            case Split():
                return list(tf.split(x, len(operation.outputs), axis=-1))
            case Slice(begin=begin, size=size):
                return [x[:, begin : begin + size]]
            case Reshape(shape=shape):
                return [tf.reshape(x, (-1, *shape))]
        if type(operation) not in simple:
            raise TypeError(f"expected an operation of a program for int8, got {type(operation).__name__}")
        return [simple[type(operation)](*inputs)]
