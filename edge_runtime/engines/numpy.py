"""The numpy engine: plain array code, for boards where no inference engine has a wheel.

A model is an npz file: one member `layers` (JSON text: what each layer is, decoded strictly) and the weights
`<layer>.kernel`, `<layer>.recurrent`, `<layer>.bias`, float32, as Keras lays them out (gates i, f, g, o).
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from edge_runtime.engines import check_shape
from edge_runtime.errors import EngineError
from edge_runtime.schema import decode

Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class LSTMLayer:
    """An LSTM with tanh and sigmoid (Hochreiter & Schmidhuber 1997, forget gate of Gers et al. 2000)."""

    kind: Literal["lstm"]
    name: str
    sequences: bool
    """Whether it gives every step's output, (B, T, H), or the last one's, (B, H)."""


@dataclass(frozen=True)
class DenseLayer:
    """A matrix product over the last axis, a bias and an activation."""

    kind: Literal["dense"]
    name: str
    activation: Literal["linear", "relu", "tanh"]


@dataclass(frozen=True)
class RepeatLayer:
    """(B, F) -> (B, steps, F)."""

    kind: Literal["repeat"]
    steps: int


@dataclass(frozen=True)
class ReshapeLayer:
    """(B, ...) -> (B, *shape)."""

    kind: Literal["reshape"]
    shape: tuple[int, ...]


Layer = LSTMLayer | DenseLayer | RepeatLayer | ReshapeLayer


@dataclass(frozen=True)
class Program:
    """What the member `layers` says."""

    input: tuple[int, ...]
    """The window's shape, (T, C)."""
    layers: tuple[Layer, ...]
    """In the order they are run."""


class NumpyEngine:
    """Runs the layers one after the other, for any batch."""

    best_batch = 64

    def __init__(
        self, program: Program, weights: dict[str, Array], shape: tuple[int, int], output_shape: tuple[int, int]
    ) -> None:
        check_shape("numpy", ("batch", *program.input), shape)
        if not program.layers:
            raise EngineError("numpy: expected a model with layers, got none")
        try:
            self._steps = [_step(layer, weights) for layer in program.layers]
            got = self.run(np.zeros((1, *shape), np.float32)).shape
        except (ValueError, IndexError, MemoryError) as fault:
            raise EngineError(f"numpy: the weights do not fit each other: {fault}") from None
        check_shape("numpy", got, output_shape, "outputs")

    def run(self, windows: Array) -> Array:
        if not self._steps:
            raise EngineError("numpy: the engine is closed")
        values = windows
        for step in self._steps:
            values = step(values)
        return values

    def close(self) -> None:
        self._steps = []


def open_model(model: bytes, shape: tuple[int, int], output_shape: tuple[int, int]) -> NumpyEngine:
    """Open an npz model of windows `shape` (T, F) and outputs (K, F). Raises `EngineError`."""
    try:
        with np.load(io.BytesIO(model), allow_pickle=False) as archive:
            members = {name: np.asarray(archive[name]) for name in archive.files}
        program = decode(Program, json.loads(str(members.pop("layers"))), "numpy model", "layers")
    except Exception as fault:  # noqa: BLE001 - what numpy and zipfile raise for a damaged file has no common base below Exception
        raise EngineError(f"numpy: the model is refused: {fault}") from None
    return NumpyEngine(program, members, shape, output_shape)


def _step(layer: Layer, weights: dict[str, Array]) -> Callable[[Array], Array]:
    if isinstance(layer, RepeatLayer):
        return lambda values: np.repeat(values[:, None], layer.steps, axis=1)
    if isinstance(layer, ReshapeLayer):
        return lambda values: values.reshape(len(values), *layer.shape)
    if isinstance(layer, DenseLayer):
        return _dense(_weight(weights, layer.name, "kernel"), _weight(weights, layer.name, "bias"), layer.activation)
    kernel, recurrent, bias = (_weight(weights, layer.name, part) for part in ("kernel", "recurrent", "bias"))
    return _lstm(kernel, recurrent, bias, layer.sequences)


def _weight(weights: dict[str, Array], layer: str, part: str) -> Array:
    name = f"{layer}.{part}"
    if name not in weights or weights[name].dtype != np.float32:
        raise EngineError(f"numpy: expected a float32 weight {name!r} in the model, found none")
    return weights[name]


def _dense(kernel: Array, bias: Array, activation: str) -> Callable[[Array], Array]:
    def run(values: Array) -> Array:
        outputs: Array = values @ kernel
        outputs += bias
        if activation == "relu":
            np.maximum(outputs, 0, out=outputs)
        elif activation == "tanh":
            np.tanh(outputs, out=outputs)
        return outputs

    return run


def _lstm(kernel: Array, recurrent: Array, bias: Array, sequences: bool) -> Callable[[Array], Array]:
    units = recurrent.shape[0]
    if kernel.shape[1] != 4 * units or recurrent.shape[1] != 4 * units or bias.shape != (4 * units,):
        raise EngineError(
            f"numpy: expected LSTM weights (F, {4 * units}), ({units}, {4 * units}) and ({4 * units},), "
            f"got {kernel.shape}, {recurrent.shape} and {bias.shape}"
        )
    # Gates in the order i, f, o, g, so that one tanh serves all four: sigmoid(x) = (1 + tanh(x / 2)) / 2.
    order = np.r_[0 : 2 * units, 3 * units : 4 * units, 2 * units : 3 * units]
    halves = np.repeat(np.array([0.5, 1.0], np.float32), [3 * units, units])
    kernel, recurrent, bias = kernel[:, order] * halves, recurrent[:, order] * halves, bias[order] * halves

    def run(values: Array) -> Array:
        projected = np.ascontiguousarray((values @ kernel + bias).swapaxes(0, 1))  # (T, B, 4H)
        outputs = np.empty((len(projected), len(values), units), np.float32)
        hidden = np.zeros((len(values), units), np.float32)
        cell, product = np.zeros_like(hidden), np.empty_like(hidden)
        gates = np.empty((len(values), 4 * units), np.float32)
        sigmoids = gates[:, : 3 * units]
        enters, keeps, shows, candidate = (gates[:, i * units : (i + 1) * units] for i in range(4))
        for step, inputs in enumerate(projected):
            np.matmul(hidden, recurrent, out=gates)
            gates += inputs
            np.tanh(gates, out=gates)
            sigmoids *= 0.5
            sigmoids += 0.5
            cell *= keeps
            cell += np.multiply(enters, candidate, out=product)
            hidden = np.multiply(shows, np.tanh(cell, out=product), out=outputs[step])
        return outputs.swapaxes(0, 1) if sequences else hidden

    return run
