"""An LSTM layer -> operations of the flat program, one copy a step."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from training.flat import Add, Array, FullyConnected, Multiply, Slice, Split, Tanh
from training.flat_builder import WIDEST, Builder, Steps, Value, Whole


def unroll(builder: Builder, layer: Any, value: Value) -> Value:
    """An LSTM unrolled, with tanh as the only activation.

    sigmoid(z) = (1 + tanh(z / 2)) / 2, so z / 2 is what the weights of the gates i, f and o are made to give, and with t = tanh(z / 2):
    2c' = (1 + t_f) c + (1 + t_i) g, and 2h = (1 + t_o) tanh(c'). The tensor between steps is 2h; what reads it has halved weights.
    A tanh takes two thirds of a sigmoid's instructions, and all four gates are one call.
    """
    used = (layer.activation.__name__, layer.recurrent_activation.__name__)
    if used != ("tanh", "sigmoid"):
        raise ValueError(f"layer {layer.name!r}: expected an LSTM with tanh and sigmoid, got {' and '.join(used)}")
    kernel, recurrent, bias = (np.asarray(array, np.float32) for array in layer.get_weights())
    units = len(recurrent)
    order = np.r_[0 : 2 * units, 3 * units : 4 * units, 2 * units : 3 * units]  # i, f, o, g
    halves = np.repeat(np.array([0.5, 1.0], np.float32), [3 * units, units])
    kernel, recurrent = kernel / np.float32(value.scale), recurrent / np.float32(2)
    kernel, recurrent, bias = ((each[..., order] * halves).astype(np.float32) for each in (kernel, recurrent, bias))
    outputs = _Cell(builder, layer.name, kernel, recurrent, bias).run(_step_inputs(builder, layer.name, value))
    return Steps(outputs, 2.0) if layer.return_sequences else Whole(outputs[-1], 2.0)


def _step_inputs(builder: Builder, name: str, value: Value) -> Steps:
    """The steps of a sequence (T, N), each a tensor (N,)."""
    if isinstance(value, Steps):
        return value
    source = value.name
    made = [operation for operation in builder.operations if source in operation.outputs]
    begin, (steps, width) = 0, builder.shapes[source]
    if made and isinstance(made[0], Slice):  # straight from what the steps were cut from
        source, begin = made[0].inputs[0], made[0].begin
    row = builder.reshape(source, (math.prod(builder.shapes[source]),), f"{name}/row")
    names: list[str] = []
    for first in range(0, steps, WIDEST):  # a few at a time: to split costs less than to slice each
        size = min(WIDEST, steps - first)
        parts = tuple(f"{name}/{i}/input" for i in range(first, first + size))
        joined = builder.slice(
            row, (begin + first) * width, size * width, parts[0] if size == 1 else f"{name}/{first}/inputs"
        )
        if size > 1:
            builder.add(Split((joined,), parts))
        names += parts
    return Steps(tuple(names), value.scale)


class _Cell:
    """The operations of one step, and the constants that all steps share."""

    def __init__(self, builder: Builder, name: str, kernel: Array, recurrent: Array, bias: Array) -> None:
        """`kernel` (N, 4H), `recurrent` (H, 4H) and `bias` (4H,): gates in the order i, f, o, g, those of 2h and halved gates."""
        units = len(recurrent)
        ones = np.repeat(np.array([1, 0], np.float32), [3 * units, units])
        self._builder = builder
        self._name = name
        self._inputs = builder.constant(f"{name}/inputs", kernel.T)
        self._recurrent = builder.constant(f"{name}/recurrent", recurrent.T)
        self._both = builder.constant(f"{name}/inputs_and_recurrent", np.concatenate([kernel, recurrent]).T)
        self._bias = builder.constant(f"{name}/bias", bias)
        self._zero = builder.constant(f"{name}/zero", np.zeros_like(bias))
        self._ones = builder.constant(f"{name}/ones", ones)
        self._half = builder.constant(f"{name}/half", 0.5)

    def run(self, steps: Steps) -> tuple[str, ...]:
        """The tensors 2h (H,) of every step."""
        gates = hidden = cell = projected = ""
        outputs = []
        for i, given in enumerate(steps.names):
            step = f"{self._name}/{i}"
            if i == 0:
                gates = projected = self._product(f"{step}/gates", given, self._inputs, self._bias)
            elif steps.is_repeated:
                recurrent = self._product(f"{step}/recurrent", hidden, self._recurrent, self._zero)
                gates = self._builder.add(Add((recurrent, projected), (f"{step}/gates",)))
            else:
                both = self._builder.concatenate((given, hidden), f"{step}/given")
                gates = self._product(f"{step}/gates", both, self._both, self._bias)
            hidden, cell = self._step(step, gates, cell)
            outputs.append(hidden)
        return tuple(outputs)

    def _product(self, name: str, given: str, weights: str, bias: str) -> str:
        return self._builder.add(FullyConnected((given, weights, bias), (name,)))

    def _step(self, step: str, gates: str, cell: str) -> tuple[str, str]:
        """From the gates (4H,) and the cell before ("": zero) to 2h and the cell."""
        add = self._builder.add
        activated = add(Tanh((gates,), (f"{step}/tanh",)))
        doubled = add(Add((activated, self._ones), (f"{step}/doubled",)))  # twice the sigmoids, once the candidate
        enters, keeps, shows, candidate = (f"{step}/{part}" for part in ("enters", "keeps", "shows", "candidate"))
        add(Split((doubled,), (enters, keeps, shows, candidate)))
        total = add(Multiply((enters, candidate), (f"{step}/new",)))
        if cell:
            kept = add(Multiply((keeps, cell), (f"{step}/kept",)))
            total = add(Add((kept, total), (f"{step}/doubled_cell",)))
        cell = add(Multiply((total, self._half), (f"{step}/cell",)))
        shown = add(Tanh((cell,), (f"{step}/cell_tanh",)))
        return add(Multiply((shows, shown), (f"{step}/hidden",))), cell
