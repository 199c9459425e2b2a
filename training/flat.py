"""The flat program: a model as a short list of tensor operations of static shapes, and its evaluation in numpy.

A Keras layer hides loops and choices; here nothing is hidden, so the same list can be written as a file, calculated in half
precision, or quantized. A tensor is a name with a shape per window: the batch axis comes first and is not part of it. Constants
have no batch axis. `flatten.py` makes a program from a Keras model.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Operation:
    """Reads tensors or constants, writes tensors."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    @property
    def output(self) -> str:
        """The name of the only output."""
        (name,) = self.outputs
        return name


@dataclass(frozen=True)
class FullyConnected(Operation):
    """(..., N), weights (M, N), bias (M,) -> (..., M): the product over the last axis, then max(0, .) if `relu`."""

    relu: bool = False


@dataclass(frozen=True)
class Convolve(Operation):
    """(1, S, N), weights (M, 1, size, N), bias (M,) -> (1, ceil(S / stride), M): over the steps S, padded with zeros as Keras
    pads "same"."""

    stride: int = 1
    relu: bool = False


@dataclass(frozen=True)
class Tanh(Operation):
    """(...) -> (...)."""


@dataclass(frozen=True)
class Sigmoid(Operation):
    """(...) -> (...)."""


@dataclass(frozen=True)
class Limit(Operation):
    """(...) -> (...): clipped to -1 .. 1."""


@dataclass(frozen=True)
class Add(Operation):
    """(...), (...) -> (...); the second may be a constant of one row or a scalar."""


@dataclass(frozen=True)
class Subtract(Operation):
    """As `Add`."""


@dataclass(frozen=True)
class Multiply(Operation):
    """As `Add`."""


@dataclass(frozen=True)
class Concatenate(Operation):
    """Along the last axis."""


@dataclass(frozen=True)
class Split(Operation):
    """Into equal parts along the last axis."""


@dataclass(frozen=True)
class Slice(Operation):
    """(N, ...) -> (size, ...): from `begin` on along the first axis after the batch."""

    begin: int
    size: int


@dataclass(frozen=True)
class Reshape(Operation):
    """(...) -> shape."""

    shape: tuple[int, ...]


@dataclass(frozen=True)
class Convert(Operation):
    """(...) -> (...): the same numbers stored in another type, which is the file's business; nothing in float32."""


@dataclass(frozen=True)
class Program:
    """A whole model."""

    input: str
    """The window (T, F)."""
    output: str
    """The estimate of its last K readings, (K, F)."""
    shapes: Mapping[str, tuple[int, ...]]
    """Of the input and of each operation's outputs, without the batch axis."""
    constants: Mapping[str, Array]
    operations: tuple[Operation, ...]
    """In an order in which they can be calculated."""


Kernel = Callable[[Operation, list[Array]], list[Array]]
"""From an operation and its inputs (constants as they are, tensors with the batch axis) to its outputs."""


def evaluate(
    program: Program,
    windows: Array,
    after: Callable[[str, Array], Array] | None = None,
    kernels: Mapping[type[Operation], Kernel] | None = None,
) -> Array:
    """The outputs (B, K, F) for `windows` (B, T, F).

    `after` is given the input and every tensor as soon as it is calculated, by name, and returns what to go on with: it can round,
    or only look. `kernels` replace the calculation of the operations they are for.
    """
    chosen = {**KERNELS, **(kernels or {})}
    values: dict[str, Array] = dict(program.constants)
    last_use = {name: i for i, operation in enumerate(program.operations) for name in operation.inputs}
    values[program.input] = windows if after is None else after(program.input, windows)
    for i, operation in enumerate(program.operations):
        results = chosen[type(operation)](operation, [values[name] for name in operation.inputs])
        for name, result in zip(operation.outputs, results, strict=True):
            values[name] = result if after is None else after(name, result)
        for name in set(
            operation.inputs
        ):  # an unrolled program holds thousands of tensors: forget those that are done with
            if last_use[name] == i and name != program.output:
                del values[name]
    return values[program.output]


def output_shapes(
    operation: Operation, shapes: Mapping[str, tuple[int, ...]], constants: Mapping[str, Array]
) -> list[tuple[int, ...]]:
    """The shapes of what `operation` writes, from those of what it reads."""
    x = shapes[operation.inputs[0]]
    match operation:
        case FullyConnected(inputs=(_, weights, _)):
            return [(*x[:-1], len(constants[weights]))]
        case Convolve(inputs=(_, weights, _), stride=stride):
            return [(1, -(-x[1] // stride), len(constants[weights]))]
        case Concatenate():
            return [(*x[:-1], sum(shapes[name][-1] for name in operation.inputs))]
        case Split():
            return [(*x[:-1], x[-1] // len(operation.outputs))] * len(operation.outputs)
        case Slice(size=size):
            return [(size, *x[1:])]
        case Reshape(shape=shape):
            if math.prod(shape) != math.prod(x):
                raise ValueError(f"expected a shape of {math.prod(x)} numbers for {operation.output}, got {shape}")
            return [shape]
    return [x]


def _fully_connected(operation: Operation, inputs: list[Array]) -> list[Array]:
    assert isinstance(operation, FullyConnected)
    x, weights, bias = inputs
    return [_clamp(x @ weights.T + bias, operation.relu)]


def _convolve(operation: Operation, inputs: list[Array]) -> list[Array]:
    assert isinstance(operation, Convolve)
    x, weights, bias = inputs
    return [
        _clamp(
            places(x, weights.shape[2], operation.stride) @ weights.reshape(len(weights), -1).T + bias, operation.relu
        )
    ]


def places(x: Array, size: int, stride: int) -> Array:
    """What lies under a kernel of `size` steps at each of its places: (B, 1, S, N) -> (B, 1, ceil(S / stride), size * N)."""
    batch, _, steps, channels = x.shape
    count = -(-steps // stride)
    zeros = max((count - 1) * stride + size - steps, 0)
    padded = np.zeros((batch, steps + zeros, channels), x.dtype)
    padded[:, zeros // 2 : zeros // 2 + steps] = x[:, 0]
    under = np.lib.stride_tricks.sliding_window_view(padded.reshape(batch, -1), size * channels, axis=1)
    return np.ascontiguousarray(under[:, None, :: stride * channels][:, :, :count])


def _clamp(values: Array, relu: bool) -> Array:
    return np.maximum(values, 0, out=values) if relu else values


def _slice(operation: Operation, inputs: list[Array]) -> list[Array]:
    assert isinstance(operation, Slice)
    return [inputs[0][:, operation.begin : operation.begin + operation.size]]


def _reshape(operation: Operation, inputs: list[Array]) -> list[Array]:
    assert isinstance(operation, Reshape)
    return [inputs[0].reshape(len(inputs[0]), *operation.shape)]


KERNELS: dict[type[Operation], Kernel] = {
    FullyConnected: _fully_connected,
    Convolve: _convolve,
    Tanh: lambda operation, inputs: [np.tanh(inputs[0])],
    Sigmoid: lambda operation, inputs: [np.asarray((1 + np.tanh(inputs[0] / 2)) / 2, np.float32)],
    Limit: lambda operation, inputs: [np.clip(inputs[0], -1, 1)],
    Add: lambda operation, inputs: [inputs[0] + inputs[1]],
    Subtract: lambda operation, inputs: [inputs[0] - inputs[1]],
    Multiply: lambda operation, inputs: [inputs[0] * inputs[1]],
    Concatenate: lambda operation, inputs: [np.concatenate(inputs, axis=-1)],
    Split: lambda operation, inputs: np.split(inputs[0], len(operation.outputs), axis=-1),
    Slice: _slice,
    Convert: lambda operation, inputs: [inputs[0]],
    Reshape: _reshape,
}
"""Each operation in float32."""
