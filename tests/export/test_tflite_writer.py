"""The file holds the program: run by LiteRT it gives what numpy gives."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from family_specs import SPECS, untrained

from edge_runtime.engines import open_engine
from edge_runtime.engines.tflite_file import HALF, is_stateful
from export.tflite_graph import UNROLLED, check_operators, operators
from export.tflite_writer import Quantization, write
from training.flat import FullyConnected, Program, evaluate
from training.flatten import flatten

SHAPE = (9, 3)


@pytest.mark.parametrize("name", SPECS)
def test_a_file_estimates_as_its_program_does(name: str) -> None:
    """For every family, one by one and by the signature of 4; every operation is one operator that every runtime has."""
    program = flatten(untrained(SPECS[name], SHAPE, keras), SHAPE)
    windows = np.random.default_rng(1).normal(size=(6, *SHAPE)).astype(np.float32)
    expected = evaluate(program, windows)
    for batches in ((1,), (1, 4)):
        data = write(program, batches, half=True)
        check_operators(data, UNROLLED)
        assert len(operators(data)) == len(batches) * len(program.operations)
        assert HALF in data
        assert not is_stateful(data)
        got = open_engine("litert", data, SHAPE, expected.shape[1:]).run(windows)
        assert np.abs(got - expected).max() <= 1e-5 * max(1.0, np.abs(expected).max())


def test_signatures_share_their_constants() -> None:
    """A second one costs its operators, not the weights again."""
    program = flatten(untrained(SPECS["dense"], SHAPE, keras), SHAPE)
    assert len(write(program, (1, 16))) < len(write(program)) + 3000


def test_quantized_tensors() -> None:
    """One product in int8, per channel, from the scales that are given: within the steps of its tensors."""
    rng = np.random.default_rng(4)
    weights, bias = rng.normal(size=(5, 6)).astype(np.float32), rng.normal(size=5).astype(np.float32)
    product = FullyConnected(("window", "weights", "bias"), ("out",))
    shapes = {"window": (2, 6), "out": (2, 5)}
    program = Program("window", "out", shapes, {"weights": weights, "bias": bias}, (product,))
    scales = tuple(float(each) for each in np.abs(weights).max(1) / 127)
    data = write(
        program,
        quantizations={
            "window": Quantization("int8", (0.04,), 3),
            "weights": Quantization("int8", scales[:1]),
            "bias": Quantization("int32", (0.04 * scales[0],)),
            "out": Quantization("int8", (0.1,), -5),
        },
    )
    largest = np.abs(weights).max()
    program = Program(
        "window",
        "out",
        shapes,
        {"weights": np.clip(weights, -127 * scales[0], 127 * scales[0]), "bias": bias},
        (product,),
    )
    windows = rng.uniform(-1, 1, size=(1, 2, 6)).astype(np.float32)
    got = open_engine("litert", data, (2, 6), (2, 5)).run(windows)
    assert 0 < np.abs(got - evaluate(program, windows)).max() < 0.05 + 6 * (0.02 * largest + scales[0] / 2)


def test_quantizing_rounds_to_the_nearest() -> None:
    """Along its axis, clipped to what the type holds."""
    values = np.array([[0.26, -9], [0.24, 400]], np.float32)
    assert Quantization("int8", (0.5, 2.0)).quantize(values).tolist() == [[1, -18], [0, 127]]
    assert Quantization("int8", (0.5, 2.0), axis=1).quantize(values).tolist() == [[1, -4], [0, 127]]
    assert Quantization("int8", (0.5,), 3).quantize(values).tolist() == [[4, -15], [3, 127]]
