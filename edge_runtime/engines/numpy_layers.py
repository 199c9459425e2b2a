"""What the numpy engine's layers compute: each function takes the weights and returns a function from values to values."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from edge_runtime.errors import EngineError

Array = npt.NDArray[np.float32]
Step = Callable[[Array], Array]


def dense(kernel: Array, bias: Array, activation: str) -> Step:
    """A product with `kernel` (F, H) over the last axis, plus `bias` (H,)."""

    def run(values: Array) -> Array:
        outputs: Array = values @ kernel
        outputs += bias
        return _activate(outputs, activation)

    return run


def lstm(kernel: Array, recurrent: Array, bias: Array, sequences: bool) -> Step:
    """An LSTM of H units: `kernel` (F, 4H), `recurrent` (H, 4H), `bias` (4H,), gates in the order i, f, g, o."""
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


def conv(kernel: Array, bias: Array, stride: int, activation: str) -> Step:
    """A convolution of `kernel` (size, F, H) over the steps, as Keras and TensorFlow pad it ("same"): the odd zero at the end."""
    size, inputs, filters = kernel.shape
    flat = kernel.reshape(size * inputs, filters)

    def run(values: Array) -> Array:
        batch, steps, channels = values.shape
        outputs_steps = -(-steps // stride)
        zeros = max((outputs_steps - 1) * stride + size - steps, 0)
        padded = np.zeros((batch, steps + zeros, channels), np.float32)
        padded[:, zeros // 2 : zeros // 2 + steps] = values
        # What lies under the kernel at each place, one row of size * F numbers, is one stretch of the flattened steps.
        under = np.lib.stride_tricks.sliding_window_view(padded.reshape(batch, -1), size * channels, axis=1)
        places = under[:, :: stride * channels][:, :outputs_steps]
        outputs: Array = np.ascontiguousarray(places) @ flat  # rows that overlap in memory are slow to multiply
        outputs += bias
        return _activate(outputs, activation)

    return run


def crop(end: int) -> Step:
    """Leaves out the last `end` steps."""

    def run(values: Array) -> Array:
        if values.shape[1] <= end:
            raise ValueError(f"expected more than {end} steps to leave out {end}, got {values.shape[1]}")
        return values[:, :-end]

    return run


def total(branches: Sequence[Sequence[Step]]) -> Step:
    """The sum of what several chains of steps answer to the same values."""
    if not branches:
        raise ValueError("expected a sum of one or more branches, got none")

    def run(values: Array) -> Array:
        answers = []
        for branch in branches:
            answer = values
            for step in branch:
                answer = step(answer)
            answers.append(answer)
        if len({answer.shape for answer in answers}) > 1:
            raise ValueError(f"expected branches of one shape to add up, got {[answer.shape for answer in answers]}")
        outputs = answers[0]
        for answer in answers[1:]:
            outputs = outputs + answer
        return outputs

    return run


def _activate(outputs: Array, activation: str) -> Array:
    if activation == "relu":
        np.maximum(outputs, 0, out=outputs)
    elif activation == "tanh":
        np.tanh(outputs, out=outputs)
    return outputs
