"""The numpy engine against layers in plain loops, and the models it refuses."""

from __future__ import annotations

import io
import json
import zipfile
from functools import partial
from typing import Any

import handmade
import numpy as np
import pytest
from effort import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import run_layers

from edge_runtime.engines import open_engine
from edge_runtime.engines.numpy import (
    ConvLayer,
    DenseLayer,
    LSTMLayer,
    Program,
    RepeatLayer,
    ReshapeLayer,
    SumLayer,
)
from edge_runtime.errors import EngineError


def arrays_of(model: bytes) -> dict[str, Any]:
    """A model file's members."""
    with np.load(io.BytesIO(model)) as archive:
        return {name: archive[name] for name in archive.files}


def by_hand(model: bytes, window: np.ndarray) -> np.ndarray:
    """The oracle's reconstruction of one window (T, C)."""
    members = arrays_of(model)
    layers = json.loads(str(members.pop("layers")))["layers"]
    return np.array(run_layers(layers, {name: weights.tolist() for name, weights in members.items()}, window.tolist()))


@settings(max_examples=examples(40))
@given(
    make=st.sampled_from(
        [handmade.lstm_model, handmade.dense_model, handmade.conv_model, partial(handmade.forecaster_model, K=1)]
    ),
    T=st.integers(2, 9),
    C=st.integers(1, 5),
    units=st.integers(1, 6),
    seed=st.integers(0, 10**6),
    size=st.sampled_from([0.0, 1e-3, 1.0, 100.0]),
)
def test_layers_are_as_in_plain_loops(make: Any, T: int, C: int, units: int, seed: int, size: float) -> None:
    """LSTM (gates in Keras's order), dense and convolution with each activation, repeat, reshape, crop and sum, for any shape."""
    model = make(T, C, units, seed)
    windows = (np.random.default_rng(seed).normal(0, 1, (3, T, C)) * size).astype(np.float32)
    expected = np.stack([by_hand(model, window) for window in windows])
    got = open_engine("numpy", model, (T, C), expected.shape[1:]).run(windows)
    assert np.allclose(got, expected, rtol=1e-4, atol=1e-5 * max(1.0, np.abs(expected).max()))


def test_sequences_and_last_outputs() -> None:
    """A stacked LSTM: every step's output feeds the next layer, the last one's the decoder."""
    rng = np.random.default_rng(5)
    layers = (LSTMLayer("lstm", "a", True), LSTMLayer("lstm", "b", True), DenseLayer("dense", "c", "tanh"))
    shapes = {
        "a.kernel": (2, 12),
        "a.recurrent": (3, 12),
        "a.bias": (12,),
        "b.kernel": (3, 8),
        "b.recurrent": (2, 8),
        "b.bias": (8,),
        "c.kernel": (2, 2),
        "c.bias": (2,),
    }
    model = handmade.numpy_model(
        Program((5, 2), layers), {name: rng.normal(0, 1, shape).astype(np.float32) for name, shape in shapes.items()}
    )
    window = rng.normal(0, 1, (5, 2)).astype(np.float32)
    assert np.allclose(open_engine("numpy", model, (5, 2)).run(window[None])[0], by_hand(model, window), atol=1e-5)


def test_weights_of_the_committed_models() -> None:
    """What export wrote, in plain loops."""
    for T, C in handmade.SHAPES:
        model = handmade.model_file("numpy", T, C)
        window = np.random.default_rng(T).normal(0, 1, (T, C)).astype(np.float32)
        assert np.allclose(open_engine("numpy", model, (T, C)).run(window[None])[0], by_hand(model, window), atol=1e-5)
    for family, (shape, output_shape) in handmade.FAMILIES.items():
        model = handmade.family_file("numpy", family)
        window = np.random.default_rng(1).normal(0, 1, shape).astype(np.float32)
        got = open_engine("numpy", model, shape, output_shape).run(window[None])[0]
        assert np.allclose(got, by_hand(model, window), atol=1e-5)


@settings(max_examples=examples(60))
@given(
    steps=st.integers(1, 12),
    size=st.integers(1, 7),
    stride=st.integers(1, 5),
    inputs=st.integers(1, 3),
    filters=st.integers(1, 3),
)
def test_a_convolution_of_any_size_and_stride(steps: int, size: int, stride: int, inputs: int, filters: int) -> None:
    """Kernels longer than the window and strides longer than the kernel among them."""
    rng = np.random.default_rng(steps)
    weights = {"a.kernel": rng.normal(0, 1, (size, inputs, filters)), "a.bias": rng.normal(0, 1, filters)}
    program = Program((steps, inputs), (ConvLayer("conv", "a", stride, "linear"),))
    model = handmade.numpy_model(program, {name: array.astype(np.float32) for name, array in weights.items()})
    windows = rng.normal(0, 1, (2, steps, inputs)).astype(np.float32)
    expected = np.stack([by_hand(model, window) for window in windows])
    got = open_engine("numpy", model, (steps, inputs), expected.shape[1:]).run(windows)
    assert np.allclose(got, expected, rtol=1e-4, atol=1e-5)


GOOD = arrays_of(handmade.lstm_model(4, 2))
PROGRAM = json.loads(str(GOOD["layers"]))
DENSE = {"d.kernel": np.zeros((2, 2), np.float32), "d.bias": np.zeros(2, np.float32)}


def conv(name: str, stride: int) -> dict[str, Any]:
    """A convolution's entry in a program."""
    return {"kind": "conv", "name": name, "stride": stride, "activation": "linear"}


def with_layers(**changes: Any) -> bytes:
    """The good model with another program."""
    return handmade.npz(**{**GOOD, "layers": np.array(json.dumps({**PROGRAM, **changes}))})


BAD_WEIGHTS: dict[str, dict[str, Any]] = {
    "missing": {"encoder.kernel": None},
    "missing bias": {"out.bias": None},
    "float64": {"encoder.kernel": GOOD["encoder.kernel"].astype(np.float64)},
    "whole numbers": {"out.kernel": GOOD["out.kernel"].astype(np.int32)},
    "text": {"out.kernel": np.array("x")},
    "one number": {"encoder.recurrent": np.float32(1)},
    "a vector": {"encoder.kernel": np.zeros(12, np.float32)},
    "three axes": {"encoder.kernel": np.zeros((2, 12, 1), np.float32)},
    "a dense number": {"out.kernel": np.float32(1)},
    "a dense vector": {"out.kernel": np.zeros(3, np.float32)},
    "other units": {"encoder.recurrent": np.zeros((4, 12), np.float32)},
    "other inputs": {"encoder.kernel": np.zeros((3, 12), np.float32)},
    "other bias": {"encoder.bias": np.zeros(11, np.float32)},
    "a bias with two axes": {"encoder.bias": np.zeros((1, 12), np.float32)},
    "other outputs": {"out.kernel": np.zeros((3, 5), np.float32), "out.bias": np.zeros(5, np.float32)},
    "a bias that spreads": {"out.kernel": np.zeros((3, 1), np.float32), "out.bias": np.zeros(3, np.float32)},
    "empty": {"encoder.kernel": np.zeros((0, 12), np.float32)},
}


@pytest.mark.parametrize("case", BAD_WEIGHTS)
def test_weights_that_do_not_fit_are_refused(case: str) -> None:
    """On opening: a shape that contradicts another never gets to run."""
    members = {name: array for name, array in {**GOOD, **BAD_WEIGHTS[case]}.items() if array is not None}
    with pytest.raises(EngineError, match=r"^numpy: ") as caught:
        open_engine("numpy", handmade.npz(**members), (4, 2))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"layers": []}, "expected a model with layers, got none"),
        (
            {"layers": [{"kind": "gru", "name": "x"}]},
            "unknown kind 'gru', known: lstm, dense, conv, crop, repeat, resha",
        ),
        ({"layers": [{"kind": "dense", "name": "out", "activation": "gelu"}]}, "unknown value 'gelu'"),
        ({"layers": [{"kind": "dense", "name": "out"}]}, "expected the key 'activation', found none"),
        ({"layers": [{"kind": "reshape", "shape": [5, 7]}]}, "do not fit"),
        ({"layers": [{"kind": "reshape", "shape": [8]}]}, "expected a model of outputs"),
        ({"layers": [{"kind": "repeat", "steps": -1}]}, "do not fit"),
        ({"layers": [{"kind": "repeat", "steps": 2}]}, "expected a model of outputs"),
        ({"layers": [{"kind": "lstm", "name": "encoder", "sequences": False}]}, "expected a model of outputs"),
        ({"layers": [*PROGRAM["layers"][:1], *PROGRAM["layers"][:1]]}, "numpy: "),
        ({"layers": [{"kind": "crop", "end": 1}]}, "expected a model of outputs"),
        ({"layers": [{"kind": "crop", "end": 4}]}, "expected more than 4 steps to leave out 4, got 4"),
        ({"layers": [{"kind": "crop", "end": 0}]}, "expected an end of at least 1, got 0"),
        ({"layers": [{"kind": "crop", "end": -1}]}, "expected an end of at least 1, got -1"),
        ({"layers": [conv("out", 0)]}, "expected a stride of at least 1, got 0"),
        ({"layers": [conv("out", 1)]}, "do not fit"),
        ({"layers": [conv("nowhere", 1)]}, "expected a float32 weight 'nowhere.kernel'"),
        ({"layers": [{"kind": "sum", "branches": []}]}, "expected a sum of one or more branches, got none"),
        ({"layers": [{"kind": "sum", "branches": [[], [{"kind": "crop", "end": 1}]]}]}, "branches of one shape"),
        ({"layers": [{"kind": "sum", "branches": [[], [{"kind": "repeat", "steps": 4}]]}]}, "branches of one shape"),
        (
            {"layers": [{"kind": "sum", "branches": [[], 3]}]},
            r"expected a list, got 3 - at layers\.layers\[0\]\.branches\[1\]",
        ),
        ({"input": [4, 3]}, "expected a model of windows"),
        ({"input": [4]}, "expected a model of windows"),
        ({"more": 1}, "unknown key 'more'"),
    ],
    ids=str,
)
def test_programs_that_do_not_fit_are_refused(changes: dict[str, Any], message: str) -> None:
    """Layers it does not know or that do not end in a window, and an input that is not the manifest's."""
    with pytest.raises(EngineError, match=message):
        open_engine("numpy", with_layers(**changes), (4, 2))


def npz_with(name: str, data: bytes, compression: int = zipfile.ZIP_STORED) -> bytes:
    """The good model with one member's bytes replaced."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(handmade.npz(**GOOD))) as old, zipfile.ZipFile(buffer, "w", compression) as new:
        for each in old.namelist():
            new.writestr(each, data if each == name else old.read(each))
    return buffer.getvalue()


def pickled() -> bytes:
    """An npy member that only pickle could read."""
    buffer = io.BytesIO()
    np.save(buffer, np.array([{}], object), allow_pickle=True)
    return buffer.getvalue()


NPY = b"\x93NUMPY\1\0"
BAD_FILES = {
    "nothing but an array": lambda: (buffer := io.BytesIO(), np.save(buffer, np.zeros(3)), buffer.getvalue())[-1],
    "a pickle": lambda: npz_with("layers.npy", pickled()),
    "no layers": lambda: handmade.npz(**{name: array for name, array in GOOD.items() if name != "layers"}),
    "no JSON": lambda: handmade.npz(**{**GOOD, "layers": np.array("{")}),
    "nested without end": lambda: handmade.npz(**{**GOOD, "layers": np.array("[" * 100_000)}),
    "no text": lambda: handmade.npz(**{**GOOD, "layers": np.zeros(3)}),
    "an empty member": lambda: npz_with("out.bias.npy", b""),
    "a cut member": lambda: npz_with("out.kernel.npy", NPY),
    "a header that is no header": lambda: npz_with("out.kernel.npy", NPY + b"\x10\0" + b"(((((((((((((((("),
    "an array larger than memory": lambda: npz_with("out.kernel.npy", NPY + b"\x60\0" + b"{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999,), }".ljust(95) + b"\n"),
    "a cut file": lambda: handmade.npz(**GOOD)[:-50],
    "a cut front": lambda: handmade.npz(**GOOD)[50:],
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_FILES)
def test_files_that_are_no_model_are_refused(case: str) -> None:
    """Nothing is unpickled, and whatever numpy raises becomes one line."""
    with pytest.raises(EngineError, match=r"^numpy: (the model is refused|expected a float32 weight)") as caught:
        open_engine("numpy", BAD_FILES[case](), (4, 2))
    assert "\n" not in str(caught.value)


def test_every_cut_is_refused() -> None:
    """A model file of any shorter length."""
    model = handmade.npz(**GOOD)
    for length in range(0, len(model), 7):
        with pytest.raises(EngineError):
            open_engine("numpy", model[:length], (4, 2))


def test_other_layers_of_the_same_form() -> None:
    """Repeat, reshape and a sum of nothing else keep what they are given."""
    layers = (
        ReshapeLayer("reshape", (2, 4)),
        ReshapeLayer("reshape", (-1,)),
        RepeatLayer("repeat", 1),
        ReshapeLayer("reshape", (4, 2)),
        SumLayer("sum", ((),)),
    )
    window = np.arange(8, dtype=np.float32).reshape(1, 4, 2)
    assert np.array_equal(
        open_engine("numpy", handmade.numpy_model(Program((4, 2), layers), {}), (4, 2)).run(window), window
    )
