"""What the numpy engine's layers compute: each function takes the weights and returns a function from values to values.

The LSTM has a file of its own, `numpy_lstm.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]
Step = Callable[[Array], Array]


def dense(kernel: Array, bias: Array, activation: str) -> Step:
    """A product with `kernel` (F, H) over the last axis, plus `bias` (H,)."""

    def run(values: Array) -> Array:
        if values.ndim == 2:
            outputs: Array = np.dot(values, kernel)
        else:  # one product of all steps, not one a window
            outputs = np.dot(values.reshape(-1, values.shape[-1]), kernel).reshape(*values.shape[:-1], -1)
        outputs += bias
        return _activate(outputs, activation)

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
