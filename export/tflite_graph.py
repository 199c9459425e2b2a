"""What a TFLite file may hold: the operators and their versions that every runtime it is made for has."""

from __future__ import annotations

from typing import Any

from edge_runtime.errors import ExportError
from edge_runtime.tflite_operators import TFLITE_RUNTIME

_LAYERS = (
    "UNIDIRECTIONAL_SEQUENCE_LSTM",
    "FULLY_CONNECTED",
    "CONV_2D",
    "ADD",
    "RESHAPE",
    "STRIDED_SLICE",
    "TILE",
    "DEQUANTIZE",
)
_STEPS = (
    "FULLY_CONNECTED", "CONV_2D", "TANH", "LOGISTIC", "ADD", "SUB", "MUL", "CONCATENATION", "SPLIT", "SLICE", "RESHAPE", "RELU_N1_TO_1", "QUANTIZE",
    "DEQUANTIZE",
)  # fmt: skip
FUSED = {name: TFLITE_RUNTIME[name] for name in _LAYERS}
"""The operators of a graph with the fused kernel: that, dense and convolutional layers, and what moves data between them. Each with
the newest version of it that tflite-runtime 2.14 has, which runs these files too, on boards where nothing newer does."""
FULL_INT8 = FUSED | {name: TFLITE_RUNTIME[name] for name in ("QUANTIZE", "CONCATENATION", "PACK")}
"""The same where every number is int8."""
UNROLLED = {name: TFLITE_RUNTIME[name] for name in _STEPS}
"""The operators of a flat program: all of them XNNPACK's. Versions as above."""


NEWEST = 99
"""No operator has so new a version."""


def operators(model: bytes) -> list[str]:
    """The operators of a TFLite file in the order they run; a custom one by its own name."""
    return [name for name, _ in _operators(model)]


def operator_versions(model: bytes) -> dict[str, int]:
    """The newest version of each operator that a TFLite file uses."""
    versions: dict[str, int] = {}
    for name, version in _operators(model):
        versions[name] = max(version, versions.get(name, 0))
    return versions


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


def check_operators(model: bytes, allowed: dict[str, int]) -> None:
    """Raise `ExportError` naming an operator that is not allowed or newer than tflite-runtime 2.14 runs."""
    for operator, version in operator_versions(model).items():
        if operator not in allowed:
            raise ExportError(f"tflite: unexpected operator {operator}, allowed: {', '.join(sorted(allowed))}")
        if version > allowed[operator]:
            raise ExportError(
                f"tflite: expected {operator} of version {allowed[operator]} or older, which tflite-runtime runs, got {version}"
            )


def check_int8(model: bytes) -> None:
    """Raise `ExportError` unless some weights are int8: the converter leaves small ones as they are."""
    from tensorflow.lite.python import schema_py_generated as schema

    root = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(model, 0))
    if not any(tensor.type == schema.TensorType.INT8 for graph in root.subgraphs for tensor in graph.tensors):
        raise ExportError("tflite: no weight is int8: all are so small that the converter leaves them in float32")


def check_names(model: bytes, allowed: dict[str, int]) -> None:
    """As `check_operators`, in whatever version: for files that tflite-runtime is not meant to run."""
    check_operators(model, {name: max(version, NEWEST) for name, version in allowed.items()})


def check_graph(model: bytes, lstm_layers: int, allowed: dict[str, int] = FUSED) -> None:
    """As `check_operators`, and raise `ExportError` if an LSTM layer is not one fused kernel."""
    check_operators(model, allowed)
    fused = operators(model).count("UNIDIRECTIONAL_SEQUENCE_LSTM")
    if fused != lstm_layers:
        raise ExportError(f"tflite: expected {lstm_layers} UNIDIRECTIONAL_SEQUENCE_LSTM, got {fused}")


def count_lstm_layers(model: Any) -> int:
    """How many LSTM layers a Keras model has."""
    return sum(type(layer).__name__ == "LSTM" for layer in model.layers)
