"""Keras model with LSTM layers -> a flat program whose LSTM steps are made for int8.

What int8 costs is rounding, and what it saves is activations: a table look-up instead of a polynomial. So the two matrix products,
the gates, the shown cell and the hidden state are int8, and what rounding would add up in, step after step, is float32: the cell itself.
Everything outside the LSTM layers is float32 too. Float32 on both sides of a `Convert` costs less than an int8 sum or product.

All parts of what a step's matrix reads have one scale (the kernels join only such). The hidden state lies within -1 .. 1, a
reading does not: it is cut into pieces, each within -1 .. 1, that add up to it (`PIECES`), so that both keep their resolution.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from training.flat import (
    Add,
    Array,
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
    Tanh,
    evaluate,
)
from training.flat_builder import Builder, Steps, Value, Whole
from training.flatten import flatten

PIECES = 4
"""The most pieces that a reading is cut into."""
WIDEST_INPUT = 32
"""The most pieces of all inputs of a step together, unless there are more inputs."""
COVERED = (0.1, 99.9)
"""The percentiles of an input between which it is represented; beyond them it is clipped."""


def flatten_int8(
    model: Any, shape: tuple[int, int], windows: Array | None = None, *, float_cell: bool = False
) -> Program:
    """The flat program for int8 of a Keras model of windows `shape` (T, F).

    `windows` (B, T, F) say what range the inputs have (None: -1 .. 1, for who replaces the constants anyway). Raises `ValueError`
    naming a layer that cannot be flattened, or if there is no LSTM layer.
    """
    if not any(type(layer).__name__ == "LSTM" for layer in model.layers):
        raise ValueError(
            "expected a model with an LSTM layer: any other is int8 throughout when it is converted as it is"
        )
    unroll = _Unroll(windows, float_cell)
    return _convert_for_float(flatten(model, shape, unroll))


def int8_tensors(program: Program) -> set[str]:
    """The names of the tensors that are int8: what `Convert` makes of float32, and what is calculated from that."""
    found: set[str] = set()
    for operation in program.operations:
        is_int8 = operation.inputs[0] in found
        if is_int8 != isinstance(operation, Convert):
            found.update(operation.outputs)
    return found


class _Unroll:
    """LSTM layers unrolled; remembers which tensors are int8."""

    def __init__(self, windows: Array | None, float_cell: bool) -> None:
        self._windows = windows
        self._float_cell = float_cell
        self.int8: set[str] = set()

    def __call__(self, builder: Builder, layer: Any, value: Value) -> Value:
        """As `flatten_lstm.unroll`."""
        used = (layer.activation.__name__, layer.recurrent_activation.__name__)
        if used != ("tanh", "sigmoid"):
            raise ValueError(f"layer {layer.name!r}: expected an LSTM with tanh and sigmoid, got {' and '.join(used)}")
        kernel, recurrent, bias = (np.asarray(array, np.float32) for array in layer.get_weights())
        steps, pieces, middle = self._pieces(builder, layer.name, value)
        inputs = (np.tile(kernel, (pieces.shape[0], 1, 1)) * pieces[:, :, None]).reshape(-1, kernel.shape[1])
        both = np.concatenate([inputs, recurrent]).T
        outputs = self._steps(builder, layer.name, steps, both, bias + middle @ kernel)
        return Steps(outputs) if layer.return_sequences else Whole(outputs[-1])

    def _pieces(self, builder: Builder, name: str, value: Value) -> tuple[Steps, Array, Array]:
        """The int8 inputs of the steps, the width (P, N) of each input's pieces, and what they leave out (N,)."""
        first = value.name if isinstance(value, Whole) else value.names[0]
        inputs = builder.shapes[first][-1]
        if _is_int8(builder, first, self.int8):
            if isinstance(value, Whole):
                raise ValueError(f"layer {name!r}: expected steps or readings before an LSTM layer, got one tensor")
            return value, np.ones((1, inputs), np.float32), np.zeros(inputs, np.float32)
        low, high = self._range(builder, first, inputs)
        count = max(1, min(PIECES, WIDEST_INPUT // inputs))
        half = np.maximum(high - low, 1e-6) / (2 * count)
        centres = low + (2 * np.arange(count)[:, None] + 1) * half  # (P, N)
        matrix = np.tile(np.diag(1 / half), (count, 1))
        cut = builder.add(
            FullyConnected(
                (
                    first,
                    builder.constant(f"{name}/cut", matrix),
                    builder.constant(f"{name}/cut_bias", (-centres / half).reshape(-1)),
                ),
                (f"{name}/pieces",),
            )
        )
        limited = builder.add(Limit((cut,), (f"{name}/limited",)))
        stored = builder.add(Convert((limited,), (f"{name}/stored",)))
        self.int8.add(stored)
        if isinstance(value, Steps):
            names: tuple[str, ...] = (stored,) * len(value.names)
        else:
            length, width = builder.shapes[stored]
            row = builder.reshape(stored, (length * width,), f"{name}/row")
            names = tuple(builder.slice(row, i * width, width, f"{name}/{i}/input") for i in range(length))
        widths = np.tile(half, (count, 1)).astype(np.float32) / value.scale
        return Steps(names), widths, ((low + high) / 2 / value.scale).astype(np.float32)

    def _range(self, builder: Builder, tensor: str, inputs: int) -> tuple[Array, Array]:
        if self._windows is None:
            return -np.ones(inputs, np.float32), np.ones(inputs, np.float32)
        values = evaluate(builder.program(tensor), self._windows).reshape(-1, inputs)
        low, high = np.percentile(values, COVERED, axis=0)
        return low, high

    def _steps(self, builder: Builder, name: str, given: Steps, both: Array, bias: Array) -> tuple[str, ...]:
        """The hidden states (H,), int8, of every step."""
        width, units = builder.shapes[given.names[0]][-1], len(both) // 4
        order = np.r_[0 : 2 * units, 3 * units : 4 * units]  # i, f, o; the candidate g is a product of its own
        constants: dict[tuple[str, bool], tuple[str, str]] = {}
        for part, rows in (("gates", order), ("candidate_in", np.r_[2 * units : 3 * units])):
            for is_first in (True, False):
                stem = f"{name}/{'first_' if is_first else ''}{part}"
                matrix = both[rows, :width] if is_first else both[rows]
                # A bias of its own for each: it is stored in the units of the weights.
                constants[part, is_first] = (
                    builder.constant(f"{stem}_weights", matrix),
                    builder.constant(f"{stem}_bias", bias[rows]),
                )
        hidden = cell = ""
        outputs = []
        for i, each in enumerate(given.names):
            at = f"{name}/{i}"
            read = builder.concatenate((each, hidden), f"{at}/given") if hidden else each
            gates, candidate = (
                builder.add(FullyConnected((read, *constants[part, not hidden]), (f"{at}/{part}",)))
                for part in ("gates", "candidate_in")
            )
            hidden, cell = self._step(builder, at, gates, candidate, cell)
            self.int8.add(hidden)
            outputs.append(hidden)
        return tuple(outputs)

    def _step(self, builder: Builder, at: str, gates: str, candidate: str, cell: str) -> tuple[str, str]:
        """From the gates (3H,), the candidate (H,) and the cell before ("": zero) to the hidden state and the cell."""
        add = builder.add
        opened = add(Sigmoid((gates,), (f"{at}/sigmoid",)))
        candidate = add(Tanh((candidate,), (f"{at}/candidate",)))
        if self._float_cell:
            opened, candidate = self._float(builder, opened), self._float(builder, candidate)
        enters, keeps, shows = (f"{at}/{part}" for part in ("enters", "keeps", "shows"))
        add(Split((opened,), (enters, keeps, shows)))
        total = add(Multiply((enters, candidate), (f"{at}/new",)))
        if cell:
            kept = add(Multiply((keeps, cell), (f"{at}/kept",)))
            total = add(Add((kept, total), (f"{at}/cell",)))
        shown = add(Tanh((total,), (f"{at}/cell_tanh",)))
        if not self._float_cell:
            return add(Multiply((shows, shown), (f"{at}/hidden",))), total
        exact = add(Multiply((shows, shown), (f"{at}/exact",)))
        return add(Convert((exact,), (f"{at}/hidden",))), total

    @staticmethod
    def _float(builder: Builder, tensor: str) -> str:
        return builder.add(Convert((tensor,), (f"{tensor}_float",)))


def _is_int8(builder: Builder, tensor: str, int8: set[str]) -> bool:
    """Whether `tensor` is one of `int8`, or only laid out anew from one."""
    if tensor in int8:
        return True
    made = [operation for operation in builder.operations if tensor in operation.outputs]
    return (
        bool(made) and isinstance(made[0], Concatenate | Reshape | Slice) and _is_int8(builder, made[0].inputs[0], int8)
    )


def _convert_for_float(program: Program) -> Program:
    """With a `Convert` wherever something outside the LSTM layers reads one of their outputs."""
    shapes = dict(program.shapes)
    operations: list[Operation] = []
    int8: set[str] = set()  # as in `int8_tensors`, with the conversions made so far
    made: dict[str, str] = {}
    for operation in program.operations:
        if isinstance(operation, FullyConnected) and operation.inputs[0] in int8 and not is_cell(operation):
            source = operation.inputs[0]
            if source not in made:
                made[source] = f"{source}/float"
                shapes[made[source]] = shapes[source]
                operations.append(Convert((source,), (made[source],)))
            operation = replace(operation, inputs=(made[source], *operation.inputs[1:]))
        if (operation.inputs[0] in int8) != isinstance(operation, Convert):
            int8.update(operation.outputs)
        operations.append(operation)
    return replace(program, shapes=shapes, operations=tuple(operations))


def is_cell(operation: Operation) -> bool:
    """Whether it is the matrix product of an LSTM step."""
    return isinstance(operation, FullyConnected) and operation.output.endswith(("/gates", "/candidate_in"))


def role(tensor: str) -> str:
    """A tensor's name without the number of its step: what all steps share."""
    return "/".join(part for part in tensor.split("/") if not part.isdecimal())
