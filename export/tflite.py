"""Keras model -> TFLite: the fused LSTM kernel (float32, weights in dynamic-range int8, all in int8), or an unrolled graph.

A Keras 3 LSTM does not convert to the fused kernel; the same weights in a tf_keras twin do, at a fixed batch
(docs/decisions/0001-keras-3-with-a-tf-keras-twin.md). The unrolled graph is written from the model's flat program, without the
converter: XNNPACK takes 2.7 times fewer ARM instructions for it
(docs/decisions/0012-variants.md), but it grows with the window's length.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_runtime.errors import ExportError
from export.tflite_graph import (
    FULL_INT8,
    FUSED,
    UNROLLED,
    check_graph,
    check_int8,
    check_operators,
    count_lstm_layers,
    operator_versions,
    operators,
)
from export.tflite_writer import write
from training.flatten import flatten

__all__ = ["check_graph", "convert", "convert_int8_weights", "convert_unrolled", "operator_versions", "operators"]

FEWEST_REPRESENTATIVE = 1
"""Windows without which the converter has no ranges to take."""


def convert(
    twin: Any,
    shape: tuple[int, int],
    *,
    int8_weights: bool = False,
    representative: npt.NDArray[np.float32] | None = None,
) -> bytes:
    """Convert a tf_keras model of windows `shape` (T, F) at batch 1 to the fused kernel.

    `int8_weights`: dynamic range, float32 in and out. `representative` windows (B, T, F): everything in int8, also what goes in and
    comes out, in the ranges that these windows take. Raises `ExportError` naming an unexpected operator.
    """
    import tensorflow as tf

    # The converter saves what it is given first; a Keras model would be traced once more for every layer, which takes
    # three times as long as the rest. A plain module with the same variables is enough.
    module = tf.Module()
    module.weights = twin.weights
    module.run = tf.function(lambda window: twin(window, training=False))
    concrete = module.run.get_concrete_function(tf.TensorSpec((1, *shape), tf.float32, name="window"))
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete], module)
    if int8_weights or representative is not None:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        # Per-channel dense layers raise the operator's version past what tflite-runtime 2.14 knows.
        converter._experimental_disable_per_channel_quantization_for_dense_layers = True
    if representative is not None:
        if representative.shape[1:] != shape or len(representative) < FEWEST_REPRESENTATIVE:
            raise ExportError(
                f"tflite: expected windows (B, {shape[0]}, {shape[1]}) for int8, got {representative.shape}"
            )
        converter.representative_dataset = lambda: _one_by_one(representative)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int8
    try:
        model: bytes = converter.convert()
    except Exception as fault:  # noqa: BLE001 - the converter's errors have no common base below Exception
        raise ExportError(f"tflite: the model does not convert: {str(fault).strip().splitlines()[0]}") from None
    check_graph(model, count_lstm_layers(twin), FUSED if representative is None else FULL_INT8)
    return model


def convert_int8_weights(twin: Any, shape: tuple[int, int]) -> bytes:
    """The same with weights in int8, dynamic range. Raises `ExportError` also if there is none that is quantized."""
    model = convert(twin, shape, int8_weights=True)
    check_int8(model)
    return model


def _one_by_one(windows: npt.NDArray[np.float32]) -> Iterator[list[npt.NDArray[np.float32]]]:
    for row in range(len(windows)):
        yield [np.ascontiguousarray(windows[row : row + 1], np.float32)]


def convert_unrolled(model: Any, shape: tuple[int, int]) -> bytes:
    """A Keras model of windows `shape` (T, F), in either namespace, as an unrolled float32 graph that allows half precision.

    Raises `ExportError` naming a layer that no operation calculates.
    """
    try:
        program = flatten(model, shape)
    except ValueError as fault:
        raise ExportError(f"tflite: {fault}") from None
    data = write(program, half=True)
    check_operators(data, UNROLLED)
    return data
