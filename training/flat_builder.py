"""Puts a flat program together, tensor by tensor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from training.flat import Array, Concatenate, Multiply, Operation, Program, Reshape, Slice, output_shapes

WIDEST = 4
"""The most tensors that one `Concatenate` joins or one `Split` makes: the fast kernels of TensorFlow Lite know no more."""


@dataclass(frozen=True)
class Whole:
    """A Keras tensor that is one tensor of the program."""

    name: str
    scale: float = 1.0
    """The tensor holds the Keras tensor times this: what reads it folds that into its weights."""


@dataclass(frozen=True)
class Steps:
    """A Keras tensor (T, H) of which each step is a tensor (H,) of the program; the same one T times after a RepeatVector."""

    names: tuple[str, ...]
    scale: float = 1.0

    @property
    def is_repeated(self) -> bool:
        """Whether all steps are one tensor."""
        return len(set(self.names)) == 1 and len(self.names) > 1


Value = Whole | Steps


class Builder:
    """A program in the making."""

    def __init__(self, shape: tuple[int, int]) -> None:
        self.input = "window"
        self.shapes: dict[str, tuple[int, ...]] = {self.input: shape}
        self.constants: dict[str, Array] = {}
        self.operations: list[Operation] = []

    def constant(self, name: str, values: npt.ArrayLike) -> str:
        """A constant under this name; the same one again if it is there."""
        self.constants.setdefault(name, np.ascontiguousarray(values, np.float32))
        return name

    def add(self, operation: Operation) -> str:
        """Append an operation; the name of its first output."""
        shapes = output_shapes(operation, self.shapes, self.constants)
        for name, shape in zip(operation.outputs, shapes, strict=True):
            if name in self.shapes:
                raise ValueError(f"expected a tensor name that is new, got {name!r} again")
            self.shapes[name] = shape
        self.operations.append(operation)
        return operation.outputs[0]

    def reshape(self, tensor: str, shape: tuple[int, ...], name: str) -> str:
        """`tensor` in another shape; itself if it has it."""
        return tensor if self.shapes[tensor] == shape else self.add(Reshape((tensor,), (name,), shape))

    def slice(self, tensor: str, begin: int, size: int, name: str) -> str:
        """Steps of `tensor` (N, ...), straight from what it was itself cut from."""
        made = [operation for operation in self.operations if tensor in operation.outputs]
        if made and isinstance(made[0], Slice):
            tensor, begin = made[0].inputs[0], begin + made[0].begin
        return self.add(Slice((tensor,), (name,), begin, size))

    def concatenate(self, tensors: Sequence[str], name: str) -> str:
        """All of them in one, joined `WIDEST` at a time."""
        level = list(tensors)
        while len(level) > WIDEST:
            groups = [level[i : i + WIDEST] for i in range(0, len(level), WIDEST)]
            level = [
                group[0] if len(group) == 1 else self.add(Concatenate(tuple(group), (f"{name}/{len(groups)}_{i}",)))
                for i, group in enumerate(groups)
            ]
        return level[0] if len(level) == 1 else self.add(Concatenate(tuple(level), (name,)))

    def whole(self, value: Value, name: str) -> Whole:
        """The value as one tensor."""
        if isinstance(value, Whole):
            return value
        joined = self.concatenate(value.names, f"{name}/joined")
        shape = (len(value.names), *self.shapes[value.names[0]])
        return Whole(self.reshape(joined, shape, f"{name}/steps"), value.scale)

    def exact(self, value: Value) -> str:
        """The value as one tensor of scale 1."""
        whole = self.whole(value, "exact")
        if whole.scale == 1:
            return whole.name
        factor = self.constant(f"{whole.name}/factor", 1 / whole.scale)
        return self.add(Multiply((whole.name, factor), (f"{whole.name}/exact",)))

    def program(self, output: str) -> Program:
        """The program, without what nothing reads."""
        wanted, kept = {output}, []
        for operation in reversed(self.operations):
            if wanted & set(operation.outputs):
                wanted |= set(operation.inputs)
                kept.append(operation)
        shapes = {
            name: shape
            for name, shape in self.shapes.items()
            if name == self.input or name in wanted or any(name in each.outputs for each in kept)
        }
        constants = {name: values for name, values in self.constants.items() if name in wanted}
        return Program(self.input, output, shapes, constants, tuple(reversed(kept)))
