"""What a model costs on the device, counted, not measured: the multiply-adds of one window."""

from __future__ import annotations

import math
from typing import Any

FREE = frozenset({"InputLayer", "Flatten", "Reshape", "RepeatVector", "Cropping1D", "Add", "Dropout"})
"""Layers that multiply nothing on the device."""


def multiply_adds(model: Any) -> int:
    """The multiplications of a Keras model's weights with numbers of one window; biases and activations are left out.

    Raises `TypeError` for a layer whose cost is not known.
    """
    return sum(_multiply_adds(layer) for layer in model.layers)


def _multiply_adds(layer: Any) -> int:
    kind = type(layer).__name__
    if kind in FREE:
        return 0
    if kind == "LSTM":  # both kernels at every step that it reads
        return int(layer.input.shape[1] * sum(math.prod(weights.shape) for weights in layer.get_weights()[:2]))
    if kind in ("Dense", "Conv1D"):  # the kernel at every place that it writes to
        return int(math.prod(layer.output.shape[1:-1]) * math.prod(layer.get_weights()[0].shape))
    raise TypeError(f"expected a layer whose multiply-adds are known, got {kind}")
