"""Half precision as XNNPACK calculates it on a CPU that has it, simulated on one that has not.

A file with the metadata `reduced_precision_support` = `fp16accfp16` is run in float16 on a Raspberry Pi 5 and in float32 on a
workstation, where it must pass parity nevertheless. So its flat program is calculated here with every tensor and constant
rounded to float16, and matrix products added up in float16 too, term by term from the bias on.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from training.flat import Array, Convolve, FullyConnected, Kernel, Operation, Program, evaluate, places

MOST_WINDOWS = 512
"""Calculated at once: more would only take more memory."""


class HalfPrecision:
    """Runs a flat program in simulated half precision; takes and gives float32, as an engine does."""

    best_batch = MOST_WINDOWS

    def __init__(self, program: Program) -> None:
        constants = {name: rounded(values) for name, values in program.constants.items()}
        self._program = replace(program, constants=constants)

    def run(self, windows: Array) -> Array:
        """The outputs (B, K, F) for `windows` (B, T, F). What exceeds float16's 65504 becomes infinite, as on the device."""
        parts = [windows[i : i + MOST_WINDOWS] for i in range(0, len(windows), MOST_WINDOWS)]
        with np.errstate(over="ignore", invalid="ignore"):
            outputs = [evaluate(self._program, part, lambda name, values: rounded(values), KERNELS) for part in parts]
        return np.concatenate(outputs)

    def close(self) -> None:
        """Nothing to give back."""


def rounded(values: Array) -> Array:
    """The nearest numbers that float16 has, as float32."""
    return values.astype(np.float16).astype(np.float32)


def product(x: Array, weights: Array, bias: Array) -> Array:
    """(..., N), (M, N), (M,) -> (..., M): a multiply-add that rounds once a term; float32 holds a product of two halves whole."""
    total = np.broadcast_to(bias, (*x.shape[:-1], len(weights))).copy()
    for i in range(x.shape[-1]):
        total = rounded(total + x[..., i : i + 1] * weights[:, i])
    return total


def _fully_connected(operation: Operation, inputs: list[Array]) -> list[Array]:
    assert isinstance(operation, FullyConnected)
    total = product(*inputs)
    return [np.maximum(total, 0) if operation.relu else total]


def _convolve(operation: Operation, inputs: list[Array]) -> list[Array]:
    assert isinstance(operation, Convolve)
    x, weights, bias = inputs
    total = product(places(x, weights.shape[2], operation.stride), weights.reshape(len(weights), -1), bias)
    return [np.maximum(total, 0) if operation.relu else total]


KERNELS: dict[type[Operation], Kernel] = {FullyConnected: _fully_connected, Convolve: _convolve}
"""The operations that add up; the others are right once their result is rounded."""
