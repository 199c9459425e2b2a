"""The numpy engine's LSTM: seven numpy calls a step, for one window as for many.

A numpy call costs more than the arithmetic on a few dozen numbers, so that the calls are what is saved:

- sigmoid(x) = (1 + tanh(x / 2)) / 2, so that one tanh serves all gates. The halves inside are in the weights, those outside
  in the sum that makes the cell; the states are kept doubled and halved by the weights of the next step.
- A step's input and the bias's 1 stand behind its state, so that one product makes the gates.
- An input that is the same at every step is multiplied once and takes the bias's place.
- Axes are the features first, the windows last: every part of the gates is one stretch of memory.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from edge_runtime.errors import EngineError

Array = npt.NDArray[np.float32]
HALVES = np.full(2, 0.5, np.float32)
ONE: Array = np.ones(
    (), np.float32
)  # a Python number would be converted at every step, for almost the price of the sum


class _Memory(NamedTuple):
    """What the steps write to, for one window (H,) or for B of them (H, B)."""

    states: Array
    """Before each step and after the last, (T + 1, H + inputs + 1[, B]): the doubled state, the input, 1."""
    steps: list[tuple[Array, Array]]
    """Of each step, the whole of `states` before it and the doubled state after it."""
    gates: Array
    """o, i, f, g: (4H[, B])."""
    opened: Array
    """o, i, f."""
    shows: Array
    """o."""
    enters_and_keeps: Array
    """i, f."""
    candidate_and_cell: Array
    """g, and the cell, which stands behind the gates."""
    cell: Array
    products: Array
    """(2H[, B])."""
    rows: Array
    """`products` with a row for each of the two, (2, H * B)."""
    flat_cell: Array
    """(H * B,)."""
    shown: Array
    """tanh of the cell."""


class LSTM:
    """An LSTM of H units (Hochreiter & Schmidhuber 1997, forget gate of Gers et al. 2000), one caller at a time.

    One window and a batch are the same steps, but the products' sums run in another order: the last bits differ.
    """

    def __init__(self, kernel: Array, recurrent: Array, bias: Array, *, sequences: bool, repeats: int | None) -> None:
        """`kernel` (F, 4H), `recurrent` (H, 4H), `bias` (4H,), gates in the order i, f, g, o.

        `sequences`: whether it gives every step's output (B, T, H) or the last one's (B, H). `repeats`: it takes (B, F) and is
        given it so many times; None: it takes (B, T, F).
        """
        units = recurrent.shape[0]
        if kernel.shape[1] != 4 * units or recurrent.shape[1] != 4 * units or bias.shape != (4 * units,):
            raise EngineError(
                f"numpy: expected LSTM weights (F, {4 * units}), ({units}, {4 * units}) and ({4 * units},), "
                f"got {kernel.shape}, {recurrent.shape} and {bias.shape}"
            )
        if repeats is not None and repeats < 1:
            raise ValueError(f"expected at least one step, got {repeats}")
        order = np.r_[3 * units : 4 * units, 0 : 3 * units]
        halves = np.repeat(np.array([0.5, 1.0], np.float32), [3 * units, units])
        kernel, recurrent, bias = (
            kernel[:, order] * halves,
            recurrent[:, order] * halves * HALVES[0],
            bias[order] * halves,
        )
        self._units, self._sequences, self._repeats = units, sequences, repeats
        self._kernel, self._bias = kernel, bias
        self._inputs = 0 if repeats is not None else len(kernel)
        rows = [recurrent, bias[None]] if repeats is not None else [recurrent, kernel, bias[None]]
        self._by_input = np.ascontiguousarray(np.concatenate(rows))  # (H + inputs + 1, 4H)
        self._weights = self._by_input.T
        self._single: _Memory | None = None

    def __call__(self, values: Array) -> Array:
        """The outputs for `values` (B, T, F), or (B, F) with `repeats`."""
        if values.ndim != (2 if self._repeats is not None else 3) or values.shape[-1] != len(self._kernel):
            raise ValueError(f"expected an LSTM's input of {len(self._kernel)} features, got {values.shape}")
        steps = values.shape[1] if self._repeats is None else self._repeats
        if len(values) == 1:
            if self._single is None or len(self._single.steps) != steps:
                self._single = self._memory(steps, ())
            outputs = self._run(self._single, values[0])
            return outputs[None]
        outputs = self._run(self._memory(steps, (len(values),)), values.transpose(*range(1, values.ndim), 0))
        return outputs.transpose(2, 0, 1) if self._sequences else outputs.T

    def _run(self, memory: _Memory, values: Array) -> Array:
        """The outputs (T, H[, B]) or (H[, B]) for `values` (T, F[, B]) or (F[, B])."""
        _, _, gates, opened, shows, enters_and_keeps, candidate_and_cell, cell, products, rows, flat_cell, shown = (
            memory
        )
        units, weights, repeated = self._units, self._weights, None
        if self._repeats is None:
            memory.states[:-1, units:-1] = values
        elif values.ndim == 1:
            self._by_input[-1] = np.dot(values, self._kernel) + self._bias
        else:
            self._by_input[-1] = self._bias
            repeated = np.dot(self._kernel.T, values)
        cell.fill(0)
        dot, tanh, add, multiply = np.dot, np.tanh, np.add, np.multiply
        for before, after in memory.steps:
            dot(weights, before, gates)
            if repeated is not None:
                add(gates, repeated, gates)
            tanh(gates, gates)
            add(opened, ONE, opened)
            multiply(enters_and_keeps, candidate_and_cell, products)
            dot(HALVES, rows, flat_cell)
            tanh(cell, shown)
            multiply(shows, shown, after)
        states = memory.states[1:, :units] if self._sequences else memory.states[-1, :units]
        return states * np.float32(0.5)

    def _memory(self, steps: int, batch: tuple[int, ...]) -> _Memory:
        """For so many steps, and one window (`batch` ()) or several."""
        H = self._units
        states = np.empty((steps + 1, H + self._inputs + 1, *batch), np.float32)
        states[0, :H] = 0
        states[:, -1] = 1
        buffer = np.empty((5 * H, *batch), np.float32)
        products = np.empty((2 * H, *batch), np.float32)
        return _Memory(
            states=states,
            steps=[(states[step], states[step + 1, :H]) for step in range(steps)],
            gates=buffer[: 4 * H],
            opened=buffer[: 3 * H],
            shows=buffer[:H],
            enters_and_keeps=buffer[H : 3 * H],
            candidate_and_cell=buffer[3 * H :],
            cell=buffer[4 * H :],
            products=products,
            rows=products.reshape(2, -1),
            flat_cell=buffer[4 * H :].reshape(-1),
            shown=np.empty((H, *batch), np.float32),
        )
