"""Keras model -> ONNX float32 with fused LSTM operators and a free batch, by tf2onnx."""

from __future__ import annotations

import logging
from typing import Any

from edge_runtime.errors import ExportError
from export.tflite_graph import count_lstm_layers

OPSET = 17
"""What ONNX Runtime 1.12 and later run; the LSTM operator has not changed since 14."""

ALLOWED = frozenset(
    (
        "Add", "Cast", "Concat", "Constant", "Conv", "Expand", "Gather", "Gemm", "Identity", "LSTM", "MatMul", "Mul", "ReduceProd",
        "Relu", "Reshape", "Shape", "Slice", "Squeeze", "Tanh", "Tile", "Transpose", "Unsqueeze",
    )
)  # fmt: skip
"""The operators a graph may hold: no Loop, Scan or If, which run an LSTM step by step."""


def convert(twin: Any, shape: tuple[int, int]) -> bytes:
    """Convert a tf_keras model of windows `shape` (T, C). Raises `ExportError` naming an unexpected operator."""
    import tensorflow as tf
    import tf2onnx

    logging.getLogger("tf2onnx").setLevel(logging.ERROR)
    signature = [tf.TensorSpec((None, *shape), tf.float32, name="window")]
    try:
        graph, _ = tf2onnx.convert.from_keras(twin, signature, opset=OPSET)
    except Exception as fault:  # noqa: BLE001 - its errors have no common base below Exception
        raise ExportError(f"onnx: the model does not convert: {str(fault).strip().splitlines()[0]}") from None
    model: bytes = graph.SerializeToString()
    check_graph(model, count_lstm_layers(twin))
    return model


def operators(model: bytes) -> list[str]:
    """The operators of an ONNX file in the order they run; one of another domain with its domain."""
    import onnx

    nodes = onnx.load_from_string(model).graph.node
    return [f"{node.domain}.{node.op_type}" if node.domain else node.op_type for node in nodes]


def check_graph(model: bytes, lstm_layers: int) -> None:
    """Raise `ExportError` naming an operator that is not allowed, or if an LSTM layer is not one fused operator."""
    found = operators(model)
    for operator in found:
        if operator not in ALLOWED:
            raise ExportError(f"onnx: unexpected operator {operator}, allowed: {', '.join(sorted(ALLOWED))}")
    if found.count("LSTM") != lstm_layers:
        raise ExportError(f"onnx: expected {lstm_layers} LSTM, got {found.count('LSTM')}")
