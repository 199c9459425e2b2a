"""The variants a run can be exported to: how each is made, what runs it, and how exact it must be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from export import numpy_weights, onnx, tflite
from export.parity import FLOAT32, INT8_WEIGHTS, Budget


@dataclass(frozen=True)
class Recipe:
    """One variant."""

    name: str
    """`FORMAT-PRECISION`."""
    file: str
    """The bundle's member."""
    engines: tuple[str, ...]
    """The engines that run it."""
    convert: Callable[[Any, Any, tuple[int, int]], bytes]
    """From the Keras 3 model, its tf_keras twin and the window's shape (T, C)."""
    budget: Budget
    """How far from the trained model it may be."""
    tolerance: float
    """The relative difference of a golden score accepted on another machine."""


RECIPES = (
    Recipe(
        "onnx-float32", "model.onnx", ("onnx",),
        lambda model, twin, shape: onnx.convert(twin, shape), FLOAT32, 1e-3,
    ),
    Recipe(
        "tflite-float32", "model.tflite", ("litert", "tflite"),
        lambda model, twin, shape: tflite.convert(twin, shape), FLOAT32, 1e-3,
    ),
    Recipe(
        "tflite-int8", "model.int8.tflite", ("litert", "tflite"),
        lambda model, twin, shape: tflite.convert(twin, shape, int8_weights=True), INT8_WEIGHTS, 2e-2,
    ),
    Recipe(
        "numpy-float32", "model.npz", ("numpy",),
        lambda model, twin, shape: numpy_weights.convert(model, shape), FLOAT32, 1e-3,
    ),
)  # fmt: skip
"""In the order in which an engine that runs several prefers them."""
