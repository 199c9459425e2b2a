"""A flat program is the Keras model it was made from."""

from __future__ import annotations

import family_specs
import keras
import numpy as np
import pytest
from family_specs import SPECS

from training.flat import Split, evaluate, output_shapes
from training.flatten import flatten

SHAPES = [(8, 3), (9, 2), (1, 1), (33, 1)]
"""Of windows (T, F): even, odd, the smallest, longer than what is joined at once."""


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", SPECS)
def test_a_flat_program_estimates_as_keras_does(name: str, shape: tuple[int, int]) -> None:
    """For every family, within float32 rounding."""
    if name.startswith("forecaster") and shape[0] <= getattr(SPECS[name], "horizon", 0):
        pytest.skip("the horizon is longer than the window")
    model = family_specs.untrained(SPECS[name], shape, keras)
    program = flatten(model, shape)
    windows = np.random.default_rng(1).normal(size=(5, *shape)).astype(np.float32)
    expected = np.asarray(model(windows))
    got = evaluate(program, windows)
    assert (got.shape, got.dtype) == (expected.shape, np.float32)
    assert np.abs(got - expected).max() <= 1e-5 * max(1.0, np.abs(expected).max())


@pytest.mark.parametrize("name", SPECS)
def test_every_tensor_has_its_shape(name: str) -> None:
    """As promised and as calculated; nothing is left over."""
    shape = (8, 3)
    program = flatten(family_specs.untrained(SPECS[name], shape, keras), shape)
    seen = {}

    def look(name: str, values: np.ndarray) -> np.ndarray:
        seen[name] = values.shape[1:]
        assert values.shape[0] == 2
        return values

    evaluate(program, np.ones((2, *shape), np.float32), look)
    assert seen == program.shapes
    read = {each for operation in program.operations for each in operation.inputs}
    written = {each for operation in program.operations for each in operation.outputs}
    assert set(program.constants) <= read
    assert program.output in written
    for operation in program.operations:
        assert output_shapes(operation, program.shapes, program.constants) == [
            program.shapes[o] for o in operation.outputs
        ]
        if not isinstance(operation, Split):
            assert set(operation.outputs) <= read | {program.output}


def test_a_layer_that_no_operation_calculates_is_refused_by_name() -> None:
    """And so is a setting of one."""
    window = keras.Input((8, 3), name="window")
    layers = keras.layers
    for layer, message in (
        (layers.Softmax(name="soft"), "layer 'soft': expected LSTM, .*, got Softmax"),
        (
            layers.LSTM(3, activation="relu", name="odd"),
            "layer 'odd': expected an LSTM with tanh and sigmoid, got relu",
        ),
        (
            layers.Dense(3, activation="elu", name="odd"),
            "layer 'odd': expected the activation linear, relu or tanh, got elu",
        ),
        (layers.Conv1D(3, 2, name="odd"), "layer 'odd': expected padding 'same'.*'valid'"),
    ):
        with pytest.raises(ValueError, match=message):
            flatten(keras.Model(window, layer(window)), (8, 3))
