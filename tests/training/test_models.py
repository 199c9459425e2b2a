"""Every model family builds the same model in both Keras namespaces."""

from __future__ import annotations

from typing import get_args, get_type_hints

import numpy as np
import pytest
from family_specs import SPECS, untrained

from training.config import Model
from training.extra import import_keras
from training.models import FAMILIES, build, copy_model, estimates, linear_part

SHAPES = [(7, 1), (6, 19)]


def test_every_family_is_configurable_and_tested():
    """A family is one entry in the registry and one class of the configuration, and has a specification in these tests."""
    tags = {get_args(get_type_hints(cls)["family"])[0] for cls in get_args(Model)}
    assert tags == set(FAMILIES) == {spec.family for spec in SPECS.values()}


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: f"{shape[0]}x{shape[1]}")
@pytest.mark.parametrize("name", SPECS)
def test_twin_takes_the_weights_and_answers_the_same(name, shape):
    """With the trained weights the tf_keras twin estimates what the Keras 3 model does, within float32 rounding."""
    import tf_keras

    keras, spec = import_keras(), SPECS[name]
    model = untrained(spec, shape, keras)
    windows = np.random.default_rng(0).normal(size=(5, *shape)).astype(np.float32)
    expected = model.predict_on_batch(windows)
    assert expected.shape == (5, estimates(spec) or shape[0], shape[1])
    twin = copy_model(spec, model, tf_keras)
    near = 1e-6 * max(1.0, np.abs(expected).max())
    np.testing.assert_allclose(twin.predict_on_batch(windows), expected, atol=near)
    other = build(spec, *shape, tf_keras, components=3)
    assert np.abs(other.predict_on_batch(windows) - expected).max() > 1e-3  # its own random weights
    assert {layer.name for layer in twin.layers} == {layer.name for layer in model.layers}
    assert model.input.name == "window"
    again = copy_model(spec, model, keras)
    assert again.predict_on_batch(windows).tobytes() == expected.tobytes()


@pytest.mark.parametrize("T", range(1, 12))
def test_convolutions_take_any_length(T):
    """Each halving rounds up, each doubling back cuts off the step too many."""
    model = untrained(SPECS["conv-deep"], (T, 2), import_keras())
    assert model.output_shape == (None, T, 2)


@pytest.mark.parametrize("name", SPECS)
def test_linear_part_is_named(name):
    """The layers whose weights are computed are dense ones of the model, and only where the specification asks for them."""
    spec = SPECS[name]
    names = linear_part(spec)
    assert bool(names) == (getattr(spec, "skip", False) or spec.family == "linear_autoencoder")
    model = untrained(spec, (6, 2), import_keras())
    assert all(type(model.get_layer(each)).__name__ == "Dense" for each in names)


def test_decoder_has_no_time_distributed_layer():
    """The last layer is a plain Dense on the sequence: TimeDistributed costs one matrix product a step in ONNX."""
    layers = [
        layer for layer in untrained(SPECS["lstm-stacked"], (6, 2), import_keras()).layers if layer.count_params()
    ]
    assert [type(layer).__name__ for layer in layers] == ["LSTM", "LSTM", "Dense", "LSTM", "LSTM", "Dense"]


def test_dense_decoder_mirrors_the_encoder():
    """The dense layers narrow to the latent size and widen again in reverse, to all numbers of the window."""
    layers = build(SPECS["dense"], 6, 2, import_keras()).layers
    assert [layer.units for layer in layers if hasattr(layer, "units")] == [9, 6, 2, 6, 9, 12]


@pytest.mark.parametrize("name", ["lstm-stacked", "forecaster-stacked"])
def test_dropout_follows_every_lstm_layer(name):
    """Between the layers, where it costs nothing on the device, and it changes nothing outside training."""
    model = untrained(SPECS[name], (6, 2), import_keras())
    kinds = [type(layer).__name__ for layer in model.layers]
    assert kinds.count("Dropout") == kinds.count("LSTM")
    windows = np.ones((2, 6, 2), np.float32)
    assert np.array_equal(model(windows), model(windows))
    assert not np.array_equal(model(windows, training=True), model(windows, training=True))
