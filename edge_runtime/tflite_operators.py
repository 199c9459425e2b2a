"""The operators that tflite-runtime 2.14 has, each with the newest version of it, as far as exported files use them."""

from __future__ import annotations

from collections.abc import Mapping

TFLITE_RUNTIME = {
    "ADD": 5,
    "CONCATENATION": 3,
    "CONV_2D": 7,
    "DEQUANTIZE": 5,
    "FULLY_CONNECTED": 10,
    "LOGISTIC": 3,
    "MUL": 4,
    "PACK": 4,
    "QUANTIZE": 3,
    "RELU_N1_TO_1": 1,
    "RESHAPE": 1,
    "SLICE": 3,
    "SPLIT": 4,
    "STRIDED_SLICE": 8,
    "SUB": 3,
    "TANH": 3,
    "TILE": 3,
    "UNIDIRECTIONAL_SEQUENCE_LSTM": 4,
}


def too_new(operators: Mapping[str, int]) -> str | None:
    """Which of the operators, each with its version, tflite-runtime does not have, for people; None if it has all."""
    for operator, version in operators.items():
        if version > TFLITE_RUNTIME.get(operator, 0):
            newest = TFLITE_RUNTIME.get(operator)
            has = "none" if newest is None else f"version {newest}"
            return f"it needs {operator} of version {version}, tflite-runtime has {has}"
    return None
