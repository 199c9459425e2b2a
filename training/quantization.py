"""How a flat program's int8 tensors and weights are stored, the same numbers for training, for the written file and for numpy.

The scheme is that of TensorFlow Lite's int8 kernels (its "8-bit quantization specification"): tensors asymmetric with one scale, weights
symmetric with a scale for each output, sigmoid and tanh with fixed scales, and what is only laid out anew keeps its scale.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from edge_runtime.errors import RunError
from training.flat import (
    Array,
    Convert,
    FullyConnected,
    Multiply,
    Operation,
    Program,
    Sigmoid,
    Tanh,
    evaluate,
)
from training.flatten_int8 import int8_tensors, is_cell, role

LEVELS = 255
"""Steps between the least and the greatest int8 number."""


@dataclass(frozen=True, slots=True)
class Scale:
    """real = scale * (stored - zero_point), stored in int8."""

    scale: float
    zero_point: int

    def round(self, values: Array) -> Array:
        """The real numbers that are stored for `values`."""
        stored = np.clip(np.rint(values / np.float32(self.scale)) + self.zero_point, -128, 127)
        return np.asarray((stored - self.zero_point) * np.float32(self.scale), np.float32)


SIGNED = Scale(1 / 128, 0)
"""-1 .. 1: tanh, as its kernel wants it, and all that a step's matrix reads."""
UNSIGNED = Scale(1 / 256, -128)
"""0 .. 1: the sigmoid, as its kernel wants it."""


@dataclass(frozen=True, slots=True)
class Quantization:
    """What makes a flat program for int8 one in int8."""

    constants: Mapping[str, Array]
    """Of the whole program, by name, in float32: the weights are rounded where they are used."""
    ranges: Mapping[str, tuple[float, float]]
    """The least and the greatest number of a tensor, by its role, where the kernel leaves it open."""

    @property
    def float_cell(self) -> bool:
        """Whether the cells stay float32: then they have no range here."""
        return not any(name.endswith("/new") for name in self.ranges)

    def apply(self, program: Program) -> Program:
        """`program` with these constants. Raises `ValueError` if they are not those of this program."""
        expected = {name: np.shape(values) for name, values in program.constants.items()}
        got = {name: np.shape(values) for name, values in self.constants.items()}
        if expected != got:
            wrong = min(name for name in expected | got if expected.get(name) != got.get(name))
            raise ValueError(
                f"quantization: expected {wrong!r} of shape {expected.get(wrong)}, got {got.get(wrong)}: it is of another model"
            )
        return replace(program, constants=dict(self.constants))


def scale_of(low: float, high: float) -> Scale:
    """The scale of a tensor between `low` and `high`, widened to hold zero exactly."""
    low, high = min(low, 0.0), max(high, 0.0)
    scale = max((high - low) / LEVELS, 1e-9)
    return Scale(scale, int(np.clip(np.rint(-128 - low / scale), -128, 127)))


def open_roles(program: Program) -> tuple[str, ...]:
    """The roles of the tensors whose range the kernels leave open: the gates before their activation, and the rounded cell."""
    int8 = int8_tensors(program)
    return tuple(
        dict.fromkeys(
            role(each.output)
            for each in program.operations
            if len(each.outputs) == 1 and each.output in int8 and _is_open(each)
        )
    )


def scales(program: Program, ranges: Mapping[str, tuple[float, float]]) -> dict[str, Scale]:
    """How each int8 tensor of the program is stored."""
    int8 = int8_tensors(program)
    found: dict[str, Scale] = {}
    for operation in program.operations:
        if operation.outputs[0] in int8:
            scale = _scale(operation, found, ranges)
            found.update(dict.fromkeys(operation.outputs, scale))
    return found


def _is_open(operation: Operation) -> bool:
    return is_cell(operation) or operation.output.endswith(("/new", "/kept", "/cell"))


def _scale(operation: Operation, found: Mapping[str, Scale], ranges: Mapping[str, tuple[float, float]]) -> Scale:
    if len(operation.outputs) == 1 and _is_open(operation):
        return scale_of(*ranges[role(operation.output)])
    match operation:
        case Sigmoid():
            return UNSIGNED
        case Tanh() | Multiply() | Convert():
            return SIGNED
    return found[operation.inputs[0]]


def weight_names(program: Program) -> set[str]:
    """The constants that are int8: the weights of the LSTM steps."""
    return {each.inputs[1] for each in program.operations if isinstance(each, FullyConnected) and is_cell(each)}


def weight_scales(weights: Array) -> Array:
    """(M,): of each output's weights (M, N)."""
    return np.asarray(np.maximum(np.abs(weights).max(axis=1), 1e-9) / 127, np.float32)


def round_weights(weights: Array) -> Array:
    """The real numbers that are stored for `weights` (M, N)."""
    steps = weight_scales(weights)[:, None]
    return np.asarray(np.clip(np.rint(weights / steps), -127, 127) * steps, np.float32)


def evaluate_int8(program: Program, quantization: Quantization, windows: Array) -> Array:
    """What the int8 file answers to `windows` (B, T, F), by numpy: (B, K, F).

    Every number is rounded as the kernels do; sums of products are exact there and float32 here, so that a number in many thousands is
    rounded to the other side.
    """
    program = quantization.apply(program)
    stored = scales(program, quantization.ranges)
    rounded = {name: round_weights(program.constants[name]) for name in weight_names(program)}
    program = replace(program, constants={**program.constants, **rounded})
    return evaluate(program, windows, lambda name, values: stored[name].round(values) if name in stored else values)


def write_quantization(quantization: Quantization) -> bytes:
    """The quantization as an npz file."""
    buffer = io.BytesIO()
    arrays = {f"constants/{name}": values for name, values in quantization.constants.items()}
    arrays |= {f"ranges/{name}": np.array(limits) for name, limits in quantization.ranges.items()}
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]  # its stubs take every keyword for allow_pickle
    return buffer.getvalue()


def read_quantization(data: bytes) -> Quantization:
    """What `write_quantization` wrote. Raises `RunError` for anything else."""
    constants: dict[str, Array] = {}
    ranges: dict[str, tuple[float, float]] = {}
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            for key in arrays.files:
                kind, _, name = key.partition("/")
                if kind == "constants":
                    constants[name] = arrays[key]
                elif kind == "ranges":
                    low, high = arrays[key].tolist()
                    ranges[name] = (low, high)
                else:
                    raise ValueError(f"expected constants/ and ranges/, got {key!r}")
    except (OSError, ValueError, TypeError, EOFError, zipfile.BadZipFile) as fault:
        raise RunError(f"quantization: expected what training wrote, got: {fault}") from None
    return Quantization(constants, ranges)
