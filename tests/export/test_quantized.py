"""The written int8 file answers as numpy says it will, in one piece of XNNPACK."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edge_runtime.engines import open_engine
from edge_runtime.errors import ExportError
from export.quantized import convert
from export.tflite import operators
from tests.training.test_quantize import SHAPE, halve_scale, model, normal
from training.families import LSTMAutoencoder
from training.flatten_int8 import flatten_int8
from training.quantization import evaluate_int8
from training.quantize import plain

pytest.importorskip("ai_edge_litert")


def answers(data: bytes, windows: Any) -> Any:
    """What LiteRT answers to windows (B, T, F)."""
    engine = open_engine("litert", data, SHAPE, SHAPE)
    outputs = engine.run(windows)
    engine.close()
    return outputs


@pytest.mark.parametrize("float_cell", [False, True])
def test_litert_answers_as_numpy_does(float_cell: bool) -> None:
    """Far nearer than int8 is to the trained model: the same roundings, but for a few sums on the edge."""
    trained, windows = model(), normal()
    quantization = plain(trained, windows, float_cell=float_cell)
    simulated = evaluate_int8(flatten_int8(trained, SHAPE, float_cell=float_cell), quantization, windows)
    difference = np.abs(answers(convert(trained, SHAPE, quantization), windows) - simulated).mean()
    assert difference < 0.2 * np.abs(simulated - np.asarray(trained(windows))).mean()


def test_halved_scale_is_far_off() -> None:
    """What the parity gate has to notice."""
    trained, windows = model(), normal()
    whole = plain(trained, windows)
    wanted = np.asarray(trained(windows))
    errors = [
        np.abs(answers(convert(trained, SHAPE, each), windows) - wanted).mean() for each in (whole, halve_scale(whole))
    ]
    assert errors[1] > 2 * errors[0]


def test_operators_are_the_expected_ones() -> None:
    """Nothing that a delegate leaves to the slow kernels."""
    found = set(operators(convert(model(), SHAPE, plain(model(), normal()))))
    assert found == {
        "FULLY_CONNECTED", "RELU_N1_TO_1", "QUANTIZE", "DEQUANTIZE", "RESHAPE", "SLICE", "SPLIT", "CONCATENATION",
        "LOGISTIC", "TANH", "MUL", "ADD",
    }  # fmt: skip


def test_quantization_of_another_model_is_refused() -> None:
    """By the export's own error."""
    with pytest.raises(ExportError, match=r"tflite: quantization: expected .* of another model"):
        convert(model(LSTMAutoencoder("lstm_autoencoder", units=4)), SHAPE, plain(model(), normal()))
