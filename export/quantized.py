"""Flat program and quantization -> an int8 TFLite file of an unrolled LSTM, for boards with XNNPACK.

Windows and estimates stay float32; the file converts where its steps begin and end.
"""

from __future__ import annotations

from typing import Any

from edge_runtime.errors import ExportError
from export.tflite_graph import UNROLLED, check_names
from export.tflite_writer import Quantization as Stored
from export.tflite_writer import write
from training.flat import FullyConnected
from training.flatten_int8 import flatten_int8, is_cell
from training.quantization import Quantization, scales, weight_names, weight_scales


def convert(model: Any, shape: tuple[int, int], quantization: Quantization) -> bytes:
    """The int8 file, batch 1, of a Keras model of windows `shape` (T, F). Raises `ExportError`."""
    try:
        program = quantization.apply(flatten_int8(model, shape, float_cell=quantization.float_cell))
    except ValueError as fault:
        raise ExportError(f"tflite: {fault}") from None
    tensors = scales(program, quantization.ranges)
    stored = {name: Stored("int8", (each.scale,), each.zero_point) for name, each in tensors.items()}
    for name in weight_names(program):
        stored[name] = Stored("int8", tuple(weight_scales(program.constants[name]).tolist()))
    for operation in program.operations:
        if isinstance(operation, FullyConnected) and is_cell(operation):
            x, weights, bias = operation.inputs
            # The kernel adds it to its sums of products, and those have this scale.
            stored[bias] = Stored("int32", tuple(tensors[x].scale * each for each in stored[weights].scales))
    data: bytes = write(program, quantizations=stored)
    check_names(data, UNROLLED)
    return data
