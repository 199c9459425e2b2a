"""`python -m benchmarks.conversions`: the ways from a Keras LSTM autoencoder to TFLite, side by side in one run.

The same weights (T=32, C=4, LSTM(32), seeded) by each way: does it convert, does it run, microseconds a window, size,
largest difference from Keras, and whether the LSTM is one fused operator or a WHILE loop. Needs the extra `train`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from statistics import median
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
import tf_keras
from ai_edge_litert.interpreter import Interpreter
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from benchmarks.reference_bundle import CHANNELS, LENGTH, SEED, UNITS
from export.tflite import convert, operators
from training.config import LSTMAutoencoder
from training.models import build

SHAPE = (1, LENGTH, CHANNELS)


def main() -> None:
    """Print one row for each way."""
    keras.utils.set_random_seed(SEED)
    spec = LSTMAutoencoder(family="lstm_autoencoder", units=UNITS)
    model, twin = (build(spec, LENGTH, CHANNELS, namespace) for namespace in (keras, tf_keras))
    twin.set_weights(model.get_weights())
    window = np.random.default_rng(SEED).normal(size=SHAPE).astype(np.float32)
    expected = model.predict(window, verbose=0)
    print(f"keras.Model.predict: {_microseconds(lambda: model.predict(window, verbose=0), 30):.0f} us a window")
    function, tensor = tf.function(model), tf.constant(window)
    print(f"tf.function: {_microseconds(lambda: function(tensor), 300):.0f} us a window")

    lite = tf.lite.TFLiteConverter
    frozen = convert_variables_to_constants_v2
    ways: dict[str, Callable[[], bytes]] = {
        "Keras 3, from_keras_model": lambda: lite.from_keras_model(model).convert(),
        "Keras 3, from_concrete_functions": lambda: lite.from_concrete_functions([_concrete(model)], model).convert(),
        "Keras 3, frozen": lambda: lite.from_concrete_functions([frozen(_concrete(model))]).convert(),
        "tf_keras twin, float32": lambda: convert(twin, SHAPE[1:]),
        "tf_keras twin, int8 weights": lambda: convert(twin, SHAPE[1:], int8_weights=True),
    }
    for name, way in ways.items():
        try:
            print(f"{name}: {_describe(way(), window, expected)}")
        except Exception as fault:  # noqa: BLE001 - a way that fails is a row of the table
            print(f"{name}: fails: {str(fault).strip().splitlines()[-1][:150]}")


def _concrete(model: Any) -> Any:
    return tf.function(lambda window: model(window)).get_concrete_function(tf.TensorSpec(SHAPE, tf.float32))


def _describe(file: bytes, window: np.ndarray, expected: np.ndarray) -> str:
    interpreter = Interpreter(model_content=file, num_threads=1)
    interpreter.allocate_tensors()
    at, out = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]

    def run() -> np.ndarray:
        interpreter.reset_all_variables()
        interpreter.set_tensor(at, window)
        interpreter.invoke()
        return interpreter.get_tensor(out)

    difference = np.abs(run() - expected).max()
    found = operators(file)
    lstm = [f"{found.count(name)} {name}" for name in ("UNIDIRECTIONAL_SEQUENCE_LSTM", "WHILE") if name in found]
    return f"{_microseconds(run, 1000):.0f} us a window, {len(file) / 1000:.0f} kB, off by {difference:.1e}, {', '.join(lstm)}"


def _microseconds(function: Callable[[], object], calls: int) -> float:
    function()
    taken = []
    for _ in range(calls):
        start = time.perf_counter()
        function()
        taken.append(time.perf_counter() - start)
    return median(taken) * 1e6


if __name__ == "__main__":
    main()
