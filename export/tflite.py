"""Keras model -> TFLite with the fused LSTM kernel (float32, or weights in dynamic-range int8).

A Keras 3 LSTM does not convert to the fused kernel; the same weights in a tf_keras twin do, at a fixed batch
(docs/decisions/0001-keras-3-with-a-tf-keras-twin.md).
"""

from __future__ import annotations

from typing import Any

from edge_runtime.errors import ExportError

ALLOWED = {
    "UNIDIRECTIONAL_SEQUENCE_LSTM": 4,
    "FULLY_CONNECTED": 10,
    "CONV_2D": 7,
    "ADD": 5,
    "RESHAPE": 1,
    "STRIDED_SLICE": 8,
    "TILE": 3,
    "DEQUANTIZE": 5,
}
"""The operators a graph may hold: the fused kernel, dense and convolutional layers, and what moves data between them. Each with
the newest version of it that tflite-runtime 2.14 has, which runs these files too, on boards where nothing newer does."""


def convert(twin: Any, shape: tuple[int, int], *, int8_weights: bool = False) -> bytes:
    """Convert a tf_keras model of windows `shape` (T, C) at batch 1. Raises `ExportError` naming an unexpected operator."""
    import tensorflow as tf

    # The converter saves what it is given first; a Keras model would be traced once more for every layer, which takes
    # three times as long as the rest. A plain module with the same variables is enough.
    module = tf.Module()
    module.weights = twin.weights
    module.run = tf.function(lambda window: twin(window, training=False))
    concrete = module.run.get_concrete_function(tf.TensorSpec((1, *shape), tf.float32, name="window"))
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete], module)
    if int8_weights:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        # Per-channel dense layers raise the operator's version past what tflite-runtime 2.14 knows.
        converter._experimental_disable_per_channel_quantization_for_dense_layers = True
    try:
        model: bytes = converter.convert()
    except Exception as fault:  # noqa: BLE001 - the converter's errors have no common base below Exception
        raise ExportError(f"tflite: the model does not convert: {str(fault).strip().splitlines()[0]}") from None
    check_graph(model, count_lstm_layers(twin))
    return model


def operators(model: bytes) -> list[str]:
    """The operators of a TFLite file in the order they run; a custom one by its own name."""
    return [name for name, _ in _operators(model)]


def operator_versions(model: bytes) -> dict[str, int]:
    """The operators of a TFLite file, each with the newest version of it there, by name."""
    return dict(sorted(_operators(model)))  # the newest comes last


def _operators(model: bytes) -> list[tuple[str, int]]:
    """The operators, each with its version."""
    from tensorflow.lite.python import schema_py_generated as schema

    names = {code: name for name, code in vars(schema.BuiltinOperator).items() if isinstance(code, int)}
    root = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(model, 0))
    codes = [
        (
            code.customCode.decode() if code.customCode else names[max(code.builtinCode, code.deprecatedBuiltinCode)],
            code.version,
        )
        for code in root.operatorCodes
    ]
    return [codes[operator.opcodeIndex] for graph in root.subgraphs for operator in graph.operators]


def check_graph(model: bytes, lstm_layers: int) -> None:
    """Raise `ExportError` naming an operator that is not allowed or too new, or if an LSTM layer is not one fused kernel."""
    found = []
    for operator, version in _operators(model):
        found.append(operator)
        if operator not in ALLOWED:
            raise ExportError(f"tflite: unexpected operator {operator}, allowed: {', '.join(sorted(ALLOWED))}")
        if version > ALLOWED[operator]:
            raise ExportError(
                f"tflite: expected {operator} of version {ALLOWED[operator]} or older, which tflite-runtime runs, got {version}"
            )
    fused = found.count("UNIDIRECTIONAL_SEQUENCE_LSTM")
    if fused != lstm_layers:
        raise ExportError(f"tflite: expected {lstm_layers} UNIDIRECTIONAL_SEQUENCE_LSTM, got {fused}")


def count_lstm_layers(model: Any) -> int:
    """How many LSTM layers a Keras model has."""
    return sum(type(layer).__name__ == "LSTM" for layer in model.layers)
