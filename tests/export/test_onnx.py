"""ONNX conversion: a graph of known operators that answers as Keras does, or an error that names what cannot be converted."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx as onnx_package
import pytest
from family_specs import SPECS, untrained
from onnx import TensorProto, helper

from edge_runtime.engines import open_engine
from edge_runtime.errors import ExportError
from export import onnx

SHAPE = (8, 3)
LSTM_LAYERS = {"lstm": 2, "lstm-stacked": 4, "lstm-skip": 2, "forecaster": 1, "forecaster-stacked": 2}
"""Of each specification that has any."""


@pytest.fixture(scope="module")
def models() -> dict[str, Any]:
    """An untrained Keras model for each specification."""
    import keras

    return {name: untrained(spec, SHAPE, keras) for name, spec in SPECS.items()}


def windows(count: int) -> np.ndarray:
    """Of normal numbers, (count, T, F)."""
    return np.random.default_rng(count).normal(size=(count, *SHAPE)).astype(np.float32)


@pytest.mark.parametrize("name", SPECS)
def test_the_graph_answers_as_keras_does(name: str, models: dict[str, Any]) -> None:
    """One fused LSTM a layer, nothing outside the list; one window and several, which go through the graph another way."""
    model = onnx.convert(models[name], SHAPE)
    found = onnx.operators(model)
    assert set(found) <= onnx.ALLOWED
    assert found.count("LSTM") == LSTM_LAYERS.get(name, 0)
    expected = {count: models[name].predict_on_batch(windows(count)) for count in (1, 2, 5)}
    engine = open_engine("onnx", model, SHAPE, expected[1].shape[1:])
    for count, answer in expected.items():
        assert np.abs(engine.run(windows(count)) - answer).max() <= 2e-6 * max(1.0, np.abs(answer).max())


@pytest.mark.parametrize("name", SPECS)
def test_weights_in_int8_are_near_keras(name: str, models: dict[str, Any]) -> None:
    """Smaller where there is much to store, and off by a few percent; several windows are run one by one: equal bits."""
    model = onnx.convert_int8(models[name], SHAPE)
    found = onnx.operators(model)
    assert set(found) <= onnx.ALLOWED
    assert found.count("com.microsoft.DynamicQuantizeLSTM") == LSTM_LAYERS.get(name, 0)
    expected = models[name].predict_on_batch(windows(5))
    engine = open_engine("onnx", model, SHAPE, expected.shape[1:])
    assert engine.best_batch == 1
    got = engine.run(windows(5))
    assert np.abs(got - expected).max() <= 0.05 * np.abs(expected).max()
    single = [engine.run(window[None])[0] for window in windows(5)]
    assert np.array_equal(np.stack(single), got)


def test_int8_stores_a_byte_a_weight() -> None:
    """LSTM and large dense layers; scales and graph come on top."""
    import keras

    from training.config import DenseAutoencoder, LSTMAutoencoder

    for spec in (LSTMAutoencoder("lstm_autoencoder"), DenseAutoencoder("dense_autoencoder")):
        model = untrained(spec, (32, 4), keras)
        exact, small = len(onnx.convert(model, (32, 4))), len(onnx.convert_int8(model, (32, 4)))
        assert exact < 4 * model.count_params() + 5_000
        assert small < 0.36 * exact
        stored = onnx_package.load_from_string(onnx.convert_int8(model, (32, 4))).graph.initializer
        assert max(stored, key=lambda each: np.prod(each.dims)).data_type == TensorProto.UINT8


@pytest.mark.parametrize("name", SPECS)
def test_files_are_valid_and_old_enough(name: str, models: dict[str, Any]) -> None:
    """ONNX's own checker, and the versions that ONNX Runtime 1.12 reads; all that int8 needs beside is ONNX Runtime's own."""
    for convert, domains in ((onnx.convert, {"": 17}), (onnx.convert_int8, {"": 17, "com.microsoft": 1})):
        model = onnx_package.load_from_string(convert(models[name], SHAPE))
        onnx_package.checker.check_model(model)
        assert model.ir_version == 8
        assert {each.domain: each.version for each in model.opset_import} == domains


@pytest.mark.parametrize("name", SPECS)
def test_there_is_nothing_left_to_optimize(name: str, models: dict[str, Any], tmp_path: Any) -> None:
    """ONNX Runtime's portable optimizations remove no operator, so the device is spared them."""
    import onnxruntime

    model = onnx.convert(models[name], SHAPE)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    assert len(onnx.operators((tmp_path / "optimized.onnx").read_bytes())) == len(onnx.operators(model))


def test_what_one_window_repeats_is_calculated_once(models: dict[str, Any]) -> None:
    """The decoder's LSTM is fed its projected input as a bias, but for several windows the repeated input."""
    model = onnx_package.load_from_string(onnx.convert(models["lstm"], SHAPE))
    (branch,) = [node for node in model.graph.node if node.op_type == "If"]
    single, batch = (
        [node.op_type for node in attribute.g.node]
        for attribute in sorted(branch.attribute, key=lambda a: a.name)[::-1]
    )
    assert single == ["Gemm", "Concat", "LSTM"]
    assert batch == ["Expand", "Unsqueeze", "LSTM"]


def _around(layer: Any) -> Any:
    import keras

    window = keras.Input(SHAPE, name="window")
    return keras.Model(window, layer(window))


@pytest.mark.parametrize("convert", [onnx.convert, onnx.convert_int8])
def test_a_layer_that_cannot_be_converted_is_named(convert: Any) -> None:
    """With what can."""
    import keras

    with pytest.raises(ExportError, match=r"layer 'my_softmax': expected LSTM, Dense, .*, got Softmax"):
        convert(_around(keras.layers.Softmax(name="my_softmax")), SHAPE)
    with pytest.raises(ExportError, match=r"onnx: expected a reshape to \(F\) or \(T, F\), got \(2, 4, 3\)"):
        convert(_around(keras.layers.Reshape((2, 4, 3))), SHAPE)


def test_branches_share_their_beginning() -> None:
    """It is written once, and answers as Keras does; layers in an order that no family has."""
    import keras

    window = keras.Input(SHAPE, name="window")
    shared = keras.layers.Conv1D(4, 3, padding="same", activation="tanh")(window)
    turned = keras.layers.Dense(5, activation="relu")(shared)
    branches = [
        keras.layers.Dense(3)(keras.layers.LSTM(4, return_sequences=True)(shared)),
        keras.layers.Dense(3)(turned),
    ]
    model = keras.Model(window, keras.layers.Add()(branches))
    data = onnx.convert(model, SHAPE)
    assert onnx.operators(data).count("Conv") == 1
    engine = open_engine("onnx", data, SHAPE)
    for count in (1, 3):
        expected = model.predict_on_batch(windows(count))
        assert np.abs(engine.run(windows(count)) - expected).max() < 1e-5


@pytest.mark.parametrize("operator", ["Loop", "Scan"])
@pytest.mark.parametrize("is_nested", [False, True])
def test_an_lstm_unrolled_step_by_step_is_refused(operator: str, is_nested: bool) -> None:
    """A graph with a Loop or a Scan runs, ten times slower; the way of several windows is looked at too."""
    graph = _graph(operator)
    if is_nested:
        node = helper.make_node("If", ["x"], ["y"], then_branch=_graph("Add"), else_branch=graph)
        graph = helper.make_graph([node], "g", [], list(graph.output))
    with pytest.raises(ExportError, match=f"unexpected operator {operator}"):
        onnx.check_graph(helper.make_model(graph).SerializeToString(), 0)


def _graph(operator: str) -> Any:
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])
    return helper.make_graph([helper.make_node(operator, ["x"], ["y"])], "g", [], [out])


def test_a_graph_with_fewer_lstms_than_layers_is_refused(models: dict[str, Any]) -> None:
    """A layer that was dropped is noticed, on either way through the graph."""
    model = onnx.convert(models["lstm-stacked"], SHAPE)
    with pytest.raises(ExportError, match="expected 5 LSTM, got 4"):
        onnx.check_graph(model, 5)
    graph = onnx_package.load_from_string(model)
    (branch,) = [node for node in graph.graph.node if node.op_type == "If"]
    (several,) = [attribute for attribute in branch.attribute if attribute.name == "else_branch"]
    several.g.node[-1].op_type = "Identity"
    with pytest.raises(ExportError, match="expected 4 LSTM, got 3"):
        onnx.check_graph(graph.SerializeToString(), 4)
