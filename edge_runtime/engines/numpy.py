"""The numpy engine: plain array code, for boards where no inference engine has a wheel.

A model is an npz file: one member `layers` (JSON text: what each layer is, decoded strictly) and the weights
`<layer>.kernel`, `<layer>.recurrent`, `<layer>.bias`, float32, as Keras lays them out (gates i, f, g, o). What the layers
compute is in `numpy_layers.py`.
"""

import io
import json
from typing import Literal

import numpy as np

from edge_runtime.engines import Options, check_shape
from edge_runtime.engines.numpy_layers import Array, Step, conv, crop, dense, total
from edge_runtime.engines.numpy_lstm import LSTM
from edge_runtime.errors import EngineError
from edge_runtime.record import Record
from edge_runtime.schema import decode

Activation = Literal["linear", "relu", "tanh"]


class LSTMLayer(Record):
    """An LSTM with tanh and sigmoid (Hochreiter & Schmidhuber 1997, forget gate of Gers et al. 2000)."""

    kind: Literal["lstm"]
    name: str
    sequences: bool
    """Whether it gives every step's output, (B, T, H), or the last one's, (B, H)."""


class DenseLayer(Record):
    """A matrix product over the last axis, a bias and an activation."""

    kind: Literal["dense"]
    name: str
    activation: Activation


class ConvLayer(Record):
    """A convolution over the steps, padded with zeros at both ends: (B, S, F) -> (B, ceil(S / stride), filters)."""

    kind: Literal["conv"]
    name: str
    stride: int
    activation: Activation

    def __post_init__(self) -> None:
        if self.stride < 1:
            raise ValueError(f"expected a stride of at least 1, got {self.stride}")


class CropLayer(Record):
    """Leaves out the last steps: (B, S, F) -> (B, S - end, F)."""

    kind: Literal["crop"]
    end: int

    def __post_init__(self) -> None:
        if self.end < 1:
            raise ValueError(f"expected an end of at least 1, got {self.end}")


class RepeatLayer(Record):
    """(B, F) -> (B, steps, F)."""

    kind: Literal["repeat"]
    steps: int


class ReshapeLayer(Record):
    """(B, ...) -> (B, *shape)."""

    kind: Literal["reshape"]
    shape: tuple[int, ...]


class SumLayer(Record):
    """Hands its input to each branch and adds up what they answer."""

    kind: Literal["sum"]
    branches: "tuple[tuple[Layer, ...], ...]"


Layer = LSTMLayer | DenseLayer | ConvLayer | CropLayer | RepeatLayer | ReshapeLayer | SumLayer


class Program(Record):
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
        self._output_shape = output_shape
        if not program.layers:
            raise EngineError("numpy: expected a model with layers, got none")
        try:
            self._steps = _chain(program.layers, weights)
            got = self.run(np.zeros((1, *shape), np.float32)).shape
        except (ValueError, IndexError, MemoryError) as fault:
            raise EngineError(f"numpy: the weights do not fit each other: {fault}") from None
        check_shape("numpy", got, output_shape, "outputs")

    def run(self, windows: Array) -> Array:
        if not self._steps:
            raise EngineError("numpy: the engine is closed")
        if not len(windows):
            return np.empty((0, *self._output_shape), np.float32)
        values = windows
        for step in self._steps:
            values = step(values)
        return values

    def close(self) -> None:
        self._steps = []


def open_model(
    model: bytes,
    shape: tuple[int, int],
    output_shape: tuple[int, int],
    options: Options = Options(),  # noqa: B008 - a tuple
) -> NumpyEngine:
    """Open an npz model of windows `shape` (T, F) and outputs (K, F). Raises `EngineError`."""
    try:
        with np.load(io.BytesIO(model), allow_pickle=False) as archive:
            members = {name: np.asarray(archive[name]) for name in archive.files}
        program = decode(Program, json.loads(str(members.pop("layers"))), "numpy model", "layers")
    except Exception as fault:  # noqa: BLE001 - what numpy and zipfile raise for a damaged file has no common base below Exception
        raise EngineError(f"numpy: the model is refused: {fault}") from None
    return NumpyEngine(program, members, shape, output_shape)


def _chain(layers: tuple[Layer, ...], weights: dict[str, Array]) -> list[Step]:
    """A step a layer, but one for a repetition and the LSTM that it feeds."""
    steps: list[Step] = []
    repeats = None
    for layer, following in zip(layers, (*layers[1:], None), strict=False):
        if isinstance(layer, RepeatLayer) and isinstance(following, LSTMLayer):
            repeats = layer.steps
        elif isinstance(layer, LSTMLayer):
            parts = [_weight(weights, layer.name, part) for part in ("kernel", "recurrent", "bias")]
            steps.append(LSTM(*parts, sequences=layer.sequences, repeats=repeats))
            repeats = None
        else:
            steps.append(_step(layer, weights))
    return steps


def _step(
    layer: ConvLayer | CropLayer | DenseLayer | RepeatLayer | ReshapeLayer | SumLayer, weights: dict[str, Array]
) -> Step:
    if isinstance(layer, RepeatLayer):
        return lambda values: np.repeat(values[:, None], layer.steps, axis=1)
    if isinstance(layer, ReshapeLayer):
        return lambda values: values.reshape(len(values), *layer.shape)
    if isinstance(layer, CropLayer):
        return crop(layer.end)
    if isinstance(layer, SumLayer):
        return total([_chain(branch, weights) for branch in layer.branches])
    kernel, bias = _weight(weights, layer.name, "kernel"), _weight(weights, layer.name, "bias")
    if isinstance(layer, DenseLayer):
        return dense(kernel, bias, layer.activation)
    return conv(kernel, bias, layer.stride, layer.activation)


def _weight(weights: dict[str, Array], layer: str, part: str) -> Array:
    name = f"{layer}.{part}"
    if name not in weights or weights[name].dtype != np.float32:
        raise EngineError(f"numpy: expected a float32 weight {name!r} in the model, found none")
    return weights[name]
