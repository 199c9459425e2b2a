"""TFLite conversion: the fused kernel or an error that names the operator."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from family_specs import untrained

from edge_runtime.engines import open_engine
from edge_runtime.errors import ExportError
from export import tflite, tflite_graph
from training.config import DenseAutoencoder, LSTMAutoencoder
from training.models import build

SHAPE = (8, 3)


@pytest.fixture(scope="module")
def twin() -> Any:
    """An untrained two-layer autoencoder in tf_keras."""
    import tf_keras

    tf_keras.utils.set_random_seed(3)
    return build(LSTMAutoencoder("lstm_autoencoder", layers=2, units=5, latent=4), *SHAPE, tf_keras)


@pytest.mark.parametrize("int8_weights", [False, True])
def test_every_lstm_layer_is_one_fused_kernel(twin: Any, int8_weights: bool) -> None:
    """Four LSTM layers, four UNIDIRECTIONAL_SEQUENCE_LSTM, no loop."""
    model = tflite.convert(twin, SHAPE, int8_weights=int8_weights)
    found = tflite.operators(model)
    assert found.count("UNIDIRECTIONAL_SEQUENCE_LSTM") == 4
    assert set(found) <= set(tflite_graph.FUSED)


def test_the_converted_model_reconstructs_as_keras_does(twin: Any) -> None:
    """Float32 rounding apart."""
    windows = np.random.default_rng(1).normal(size=(5, *SHAPE)).astype(np.float32)
    engine = open_engine("litert", tflite.convert(twin, SHAPE), SHAPE)
    assert np.abs(engine.run(windows) - np.asarray(twin(windows))).max() < 1e-6


def test_int8_weights_make_the_file_smaller(twin: Any) -> None:
    """Otherwise the converter has quantized nothing."""
    import tf_keras

    large = build(LSTMAutoencoder("lstm_autoencoder", units=32), *SHAPE, tf_keras)
    assert len(tflite.convert(large, SHAPE, int8_weights=True)) < 0.7 * len(tflite.convert(large, SHAPE))
    assert twin is not large


def test_an_lstm_that_becomes_a_loop_is_refused_by_the_operators_name() -> None:
    """A relu LSTM has no fused kernel; its graph would hold a WHILE."""
    import tf_keras

    window = tf_keras.Input(SHAPE, name="window")
    hidden = tf_keras.layers.LSTM(4, activation="relu", return_sequences=True)(window)
    model = tf_keras.Model(window, tf_keras.layers.Dense(SHAPE[1])(hidden))
    with pytest.raises(ExportError, match="unexpected operator") as refused:
        tflite.convert(model, SHAPE)
    assert not {word.strip(",") for word in str(refused.value).split("allowed:")[0].split()} & set(tflite_graph.FUSED)


def test_an_operator_outside_the_list_is_refused_by_name() -> None:
    """Here a softmax layer."""
    import tf_keras

    window = tf_keras.Input(SHAPE, name="window")
    model = tf_keras.Model(window, tf_keras.layers.Softmax()(window))
    with pytest.raises(ExportError, match="unexpected operator SOFTMAX"):
        tflite.convert(model, SHAPE)


def test_a_graph_with_fewer_kernels_than_layers_is_refused(twin: Any) -> None:
    """A layer that the converter dropped or split is noticed."""
    model = tflite.convert(twin, SHAPE)
    with pytest.raises(ExportError, match="expected 5 UNIDIRECTIONAL_SEQUENCE_LSTM, got 4"):
        tflite.check_graph(model, 5)


def test_an_operator_that_is_too_new_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The file says that tflite-runtime runs it, which does not know every version that LiteRT knows."""
    import tf_keras

    model = build(DenseAutoencoder("dense_autoencoder"), *SHAPE, tf_keras)
    monkeypatch.setitem(tflite_graph.FUSED, "FULLY_CONNECTED", 0)
    with pytest.raises(ExportError, match="expected FULLY_CONNECTED of version 0 or older, which tflite-runtime runs"):
        tflite.convert(model, SHAPE)


def test_full_int8_takes_and_gives_int8() -> None:
    """The engine still takes and gives float32, and the estimate is the model's within a tenth."""
    import tf_keras
    from ai_edge_litert.interpreter import Interpreter

    model = untrained(LSTMAutoencoder("lstm_autoencoder", units=16), SHAPE, tf_keras)
    windows = np.random.default_rng(1).normal(size=(64, *SHAPE)).astype(np.float32)
    data = tflite.convert(model, SHAPE, representative=windows)
    assert tflite.operators(data).count("UNIDIRECTIONAL_SEQUENCE_LSTM") == 2
    interpreter = Interpreter(model_content=data)
    (given,), (made,) = interpreter.get_input_details(), interpreter.get_output_details()
    assert given["dtype"] is made["dtype"] is np.int8
    expected = np.asarray(model(windows))
    got = open_engine("litert", data, SHAPE).run(windows)
    assert got.dtype == np.float32
    assert 0 < np.abs(got - expected).max() < 0.1 * np.abs(expected).max()


def test_windows_of_another_shape_give_no_ranges(twin: Any) -> None:
    """Nor do none at all."""
    for wrong in (np.zeros((3, 4, 3), np.float32), np.zeros((0, *SHAPE), np.float32)):
        with pytest.raises(ExportError, match=r"expected windows \(B, 8, 3\) for int8, got \("):
            tflite.convert(twin, SHAPE, representative=wrong)


def test_the_versions_of_a_file() -> None:
    """The newest of each operator."""
    import keras

    model = build(DenseAutoencoder("dense_autoencoder"), *SHAPE, keras)
    assert tflite.operator_versions(tflite.convert_unrolled(model, SHAPE)) == {"RESHAPE": 1, "FULLY_CONNECTED": 1}


def test_an_unrolled_model_that_has_no_operations_is_refused() -> None:
    """By the layer's name."""
    import keras

    window = keras.Input(SHAPE, name="window")
    with pytest.raises(ExportError, match="tflite: layer 'soft': expected LSTM"):
        tflite.convert_unrolled(keras.Model(window, keras.layers.Softmax(name="soft")(window)), SHAPE)
