"""ONNX conversion: fused LSTM operators or an error that names the operator."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edge_runtime.engines import open_engine
from edge_runtime.errors import ExportError
from export import onnx
from training.config import DenseAutoencoder, LSTMAutoencoder, Model
from training.models import build

SHAPE = (8, 3)
SPECS: list[Model] = [
    LSTMAutoencoder("lstm_autoencoder", layers=2, units=5, latent=4),
    DenseAutoencoder("dense_autoencoder", hidden=(6,), latent=2),
]


def _twin(spec: Model) -> Any:
    import tf_keras

    tf_keras.utils.set_random_seed(3)
    return build(spec, *SHAPE, tf_keras)


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.family)
def test_the_graph_is_fused_and_reconstructs_as_keras_does(spec: Model) -> None:
    """One LSTM operator a layer, nothing outside the list, any batch."""
    twin = _twin(spec)
    model = onnx.convert(twin, SHAPE)
    found = onnx.operators(model)
    assert set(found) <= onnx.ALLOWED
    assert found.count("LSTM") == sum(type(layer).__name__ == "LSTM" for layer in twin.layers)
    engine = open_engine("onnx", model, SHAPE)
    for count in (1, 5):
        windows = np.random.default_rng(count).normal(size=(count, *SHAPE)).astype(np.float32)
        assert np.abs(engine.run(windows) - np.asarray(twin(windows))).max() < 1e-6


def test_an_operator_outside_the_list_is_refused_by_name() -> None:
    """Here a softmax layer."""
    import tf_keras

    window = tf_keras.Input(SHAPE, name="window")
    model = tf_keras.Model(window, tf_keras.layers.Softmax()(window))
    with pytest.raises(ExportError, match="unexpected operator Softmax"):
        onnx.convert(model, SHAPE)


@pytest.mark.parametrize("operator", ["Loop", "Scan"])
def test_an_lstm_unrolled_step_by_step_is_refused(operator: str) -> None:
    """A graph with a Loop or a Scan runs, ten times slower."""
    from onnx import TensorProto, helper

    node = helper.make_node(operator, ["x"], ["y"])
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])
    model = helper.make_model(helper.make_graph([node], "g", [value], [out])).SerializeToString()
    with pytest.raises(ExportError, match=f"unexpected operator {operator}"):
        onnx.check_graph(model, 0)


def test_a_graph_with_fewer_lstms_than_layers_is_refused() -> None:
    """A layer that the converter dropped is noticed."""
    model = onnx.convert(_twin(SPECS[0]), SHAPE)
    with pytest.raises(ExportError, match="expected 5 LSTM, got 4"):
        onnx.check_graph(model, 5)
