"""Every model family builds the same model in both Keras namespaces."""

from __future__ import annotations

from typing import get_args, get_type_hints

import numpy as np
import pytest

from training.config import DenseAutoencoder, LSTMAutoencoder, Model
from training.extra import import_keras
from training.models import FAMILIES, build

SPECS = [
    LSTMAutoencoder("lstm_autoencoder", units=5),
    LSTMAutoencoder("lstm_autoencoder", layers=2, units=4, latent=3),
    DenseAutoencoder("dense_autoencoder", hidden=(7, 5), latent=2),
]


def test_every_family_is_configurable_and_tested():
    """A family is one entry in the registry and one class of the configuration, and has a specification in these tests."""
    tags = {get_args(get_type_hints(cls)["family"])[0] for cls in get_args(Model)}
    assert tags == set(FAMILIES) == {spec.family for spec in SPECS}


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: f"{spec.family}-{getattr(spec, 'layers', '')}")
def test_twin_takes_the_weights_and_answers_the_same(spec):
    """With the trained weights the tf_keras twin reconstructs what the Keras 3 model does, within float32 rounding."""
    import tf_keras

    keras = import_keras()
    keras.utils.set_random_seed(3)
    model, twin = build(spec, 6, 2, keras), build(spec, 6, 2, tf_keras)
    windows = np.random.default_rng(0).normal(size=(5, 6, 2)).astype(np.float32)
    expected = model.predict_on_batch(windows)
    assert expected.shape == windows.shape
    assert np.abs(twin.predict_on_batch(windows) - expected).max() > 1e-3  # its own random weights
    twin.set_weights(model.get_weights())
    np.testing.assert_allclose(twin.predict_on_batch(windows), expected, atol=1e-6)
    assert [layer.name for layer in twin.layers] == [layer.name for layer in model.layers]
    assert model.input.name == "window"


def test_decoder_has_no_time_distributed_layer():
    """The last layer is a plain Dense on the sequence: TimeDistributed costs one matrix product a step in ONNX."""
    layers = build(SPECS[1], 6, 2, import_keras()).layers
    assert [type(layer).__name__ for layer in layers] == [
        *("InputLayer", "LSTM", "LSTM", "Dense", "RepeatVector", "LSTM", "LSTM", "Dense")
    ]


def test_dense_decoder_mirrors_the_encoder():
    """The dense layers narrow to the latent size and widen again in reverse, to all numbers of the window."""
    layers = build(SPECS[2], 6, 2, import_keras()).layers
    assert [layer.units for layer in layers if hasattr(layer, "units")] == [7, 5, 2, 5, 7, 12]
