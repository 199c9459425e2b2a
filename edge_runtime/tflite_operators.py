"""The operators that tflite-runtime 2.14 has, each with the newest version of it.

From what that release registers (`tensorflow/lite/core/kernels/register.cc`, tag v2.14.0), for the operators that export makes.
"""

from __future__ import annotations

from collections.abc import Mapping

TFLITE_RUNTIME = {
    "ADD": 5,
    "CONCATENATION": 4,
    "CONV_2D": 7,
    "DEQUANTIZE": 5,
    "FULLY_CONNECTED": 10,
    "MUL": 6,
    "QUANTIZE": 3,
    "RESHAPE": 1,
    "SLICE": 5,
    "SPLIT": 4,
    "STRIDED_SLICE": 8,
    "SUB": 5,
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
