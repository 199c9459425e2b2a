"""The variants a run can be exported to: how each is made, what runs it, where it is meant for, and how exact it must be."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from edge_runtime.engines import Engine
from edge_runtime.errors import ExportError
from export import numpy_weights, onnx, quantized, tflite
from export.half import HalfPrecision
from export.source import Source

Arithmetic = Literal["float32", "float16", "int8"]


@dataclass(frozen=True)
class Recipe:
    """One variant."""

    name: str
    """`FORMAT-PRECISION` or `FORMAT-KIND-PRECISION`."""
    file: str
    """The bundle's member. Recipes of one file make the same bytes."""
    engines: tuple[str, ...]
    """The engines that run it."""
    convert: Callable[[Source], bytes]
    """Raises `ExportError` for a model that does not convert."""
    arithmetic: Arithmetic
    """Chooses the budget."""
    tolerance: float
    """The relative difference of a golden score accepted on another machine."""
    boards: tuple[str, ...] = ()
    """The kinds of CPU on which it is the one to take for a model with LSTM layers (docs/decisions/0012-variants.md)."""
    boards_without_lstm: tuple[str, ...] = ()
    """The same for other models."""
    is_default: bool = True
    """Whether it is made unless others are asked for."""
    only_lstm: bool = False
    """Whether it differs from the others only for a model with LSTM layers."""
    longest_default: int | None = None
    """The longest window for which it is one; None: any."""
    largest_batch: int | None = None
    simulate: Callable[[Source], Engine] | None = None
    """An engine that calculates as the CPUs it is meant for do, where those here do not."""


_LITE = ("litert", "tflite")
LONGEST_UNROLLED = 64
"""Readings in a window up to which an unrolled graph is worth its size; beyond, it is made when it is asked for."""


def _unrolled(source: Source) -> bytes:
    return tflite.convert_unrolled(source.model, source.shape)


def _onnx_int8(source: Source) -> bytes:
    model = onnx.convert_int8(source.model, source.shape)
    if not any(operator.startswith("com.microsoft.") for operator in onnx.operators(model)):
        raise ExportError("onnx: no weight is int8: all are so small, or convolutions, that they stay in float32")
    return model


RECIPES = (
    Recipe(
        "tflite-unrolled-float16", "model.unrolled.tflite", _LITE, _unrolled, "float16", 5e-2,
        boards=("aarch64-fp16",), only_lstm=True, longest_default=LONGEST_UNROLLED, simulate=lambda source: HalfPrecision(source.program),
    ),
    Recipe(
        "tflite-unrolled-float32", "model.unrolled.tflite", _LITE, _unrolled, "float32", 1e-3,
        boards=("aarch64-fp16", "aarch64"), only_lstm=True, longest_default=LONGEST_UNROLLED,
    ),
    Recipe(
        "onnx-float32", "model.onnx", ("onnx",), lambda source: onnx.convert(source.model, source.shape), "float32", 1e-3,
        boards=("aarch64-fp16", "aarch64", "x86_64"),
    ),
    Recipe(
        "tflite-float32", "model.tflite", _LITE, lambda source: tflite.convert(source.twin, source.shape), "float32", 1e-3,
        boards=("armv7l",), boards_without_lstm=("aarch64-fp16", "aarch64", "armv7l", "x86_64"),
    ),
    Recipe(
        "numpy-float32", "model.npz", ("numpy",), lambda source: numpy_weights.convert(source.model, source.shape), "float32", 1e-3,
        boards=("armv6l",), boards_without_lstm=("armv6l",),
    ),
    Recipe(
        "tflite-int8", "model.int8.tflite", _LITE,
        lambda source: tflite.convert_int8_weights(source.twin, source.shape), "int8", 2e-2, is_default=False,
    ),
    Recipe(
        "tflite-full-int8", "model.full-int8.tflite", _LITE,
        lambda source: tflite.convert(source.twin, source.shape, representative=source.representative), "int8", 2e-2,
        is_default=False,
    ),
    Recipe(
        "tflite-unrolled-int8", "model.unrolled.int8.tflite", ("litert",),
        lambda source: quantized.convert(source.model, source.shape, source.quantization), "int8", 2e-2,
        is_default=False, only_lstm=True,
    ),
    Recipe(
        "onnx-int8", "model.int8.onnx", ("onnx",), _onnx_int8, "int8", 2e-2,
        is_default=False, largest_batch=1,
    ),
)  # fmt: skip
"""In the order in which a CPU takes those that are made for it, and an engine those that it runs."""

ALL = "all"


def choose_recipes(names: Sequence[str] | None, has_lstm: bool, length: int = 1) -> tuple[Recipe, ...]:
    """The recipes of those names, in the order of `RECIPES`; None: the default ones; `ALL` stands for all that the model has.

    `has_lstm`: whether the model has LSTM layers; `length`: of its window, T. Raises `ExportError` for a name that is none, or none of this model.
    """
    fitting = [recipe for recipe in RECIPES if has_lstm or not recipe.only_lstm]
    if names is None:
        return tuple(recipe for recipe in fitting if recipe.is_default and length <= (recipe.longest_default or length))
    known = [recipe.name for recipe in fitting]
    for name in names:
        if name != ALL and name not in known:
            reason = " (without LSTM layers there is nothing to unroll)" if name in [r.name for r in RECIPES] else ""
            raise ExportError(f"expected variants among {', '.join(known)} or {ALL}, got {name!r}{reason}")
    return tuple(recipe for recipe in fitting if recipe.name in names or ALL in names)
