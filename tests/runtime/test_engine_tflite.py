"""What the TFLite engines do beyond the contract: graphs of other kinds, silence, threads, half precision."""

from __future__ import annotations

import struct
import subprocess
import sys

import handmade
import numpy as np
import pytest

from edge_runtime.engines import Engine, Options, installed_engines, open_engine
from edge_runtime.engines.tflite import dequantize, largest_batch, quantize
from edge_runtime.engines.tflite_file import HALF, is_stateful, without_half

ENGINES = [name for name in installed_engines() if handmade.FILES[name] == ".tflite"]
SHAPE = (8, 3)
MODELS = handmade.DATA / "models"


def opened(engine: str, name: str, options: Options = Options()) -> Engine:  # noqa: B008 - a tuple
    """One of the committed models with the weights of t8-c3."""
    return open_engine(engine, (MODELS / f"{name}.tflite").read_bytes(), SHAPE, options=options)


def windows(B: int) -> np.ndarray:
    """Random windows (B, 8, 3)."""
    return np.random.default_rng(5).normal(size=(B, *SHAPE)).astype(np.float32)


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("name", ["unrolled", "unrolled-batch"])
@pytest.mark.parametrize("engine", ENGINES)
def test_an_unrolled_graph_is_the_fused_one(engine: str, name: str, half: bool) -> None:
    """The same weights, the same outputs, for one window and for many; in half precision, where the CPU has it, nearly."""
    given = windows(11)
    expected = opened(engine, "t8-c3").run(given)
    model = opened(engine, name, Options(half=half))
    single = np.concatenate([model.run(given[i : i + 1]) for i in range(11)])
    for got in (single, model.run(given), np.concatenate([model.run(given[:3]), model.run(given[3:])])):
        assert np.abs(got - expected).max() < (2e-2 if half else 1e-5)
    again = np.concatenate([model.run(given[i : i + 1]) for i in reversed(range(11))])[::-1]
    assert again.tobytes() == single.tobytes()


@pytest.mark.parametrize("engine", ENGINES)
def test_int8_goes_in_and_out(engine: str) -> None:
    """Float32 for who calls; every output is a multiple of the output tensor's scale; far values are clipped, not wrapped."""
    given = windows(20)
    expected = opened(engine, "t8-c3").run(given)
    model = opened(engine, "full-int8")
    got = model.run(given)
    assert got.dtype == np.float32
    assert 0 < np.abs(got - expected).max() < 0.15 * np.abs(expected).max()
    steps = np.unique(np.diff(np.unique(got)))
    assert np.allclose(steps / steps[0], np.rint(steps / steps[0]), atol=1e-3)
    assert (
        model.run(np.full((1, *SHAPE), 1e6, np.float32)).tobytes()
        == model.run(np.full((1, *SHAPE), 1e9, np.float32)).tobytes()
    )


def test_quantizing_rounds_to_the_nearest_and_clips() -> None:
    """And back again within half a step."""
    values = np.array([-1e9, -0.26, -0.24, 0.0, 0.249, 0.26, 1e9], np.float32)
    stored = quantize(values, (0.5, 3))
    assert stored.tolist() == [-128, 2, 3, 3, 3, 4, 127]
    assert dequantize(stored, (0.5, 3)).tolist() == [-65.5, -0.5, 0, 0, 0, 0.5, 62]


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("engine", ENGINES)
def test_nothing_is_printed_and_no_thread_is_started_for_one(engine: str, threads: int) -> None:
    """A gateway's standard error is its log. With one thread the process has as many as after the import."""
    code = f"""
import os, sys
import numpy as np
from pathlib import Path
from edge_runtime.engines import Options, open_engine
open_engine({engine!r}, Path({str(MODELS / "t8-c3.tflite")!r}).read_bytes(), (8, 3)).close()
before = len(os.listdir("/proc/self/task"))
for name in ("unrolled", "unrolled-batch", "full-int8", "conv"):
    shape = (33, 3) if name == "conv" else (8, 3)
    path = Path({str(MODELS)!r}) / (name.replace("conv", "conv-float32") + ".tflite")
    model = open_engine({engine!r}, path.read_bytes(), shape, options=Options({threads}))
    for B in (1, 5):
        model.run(np.zeros((B, *shape), np.float32))
    if {threads} == 1:
        assert len(os.listdir("/proc/self/task")) == before, name
os.write(2, b"still there")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "still there")


@pytest.mark.parametrize("name", ["unrolled", "unrolled-batch", "conv-float32", "conv-int8", "linear_autoencoder"])
def test_graphs_without_state(name: str) -> None:
    """Are those without an LSTM kernel."""
    assert not is_stateful((MODELS / f"{name}.tflite").read_bytes())


@pytest.mark.parametrize("name", ["t8-c3", "full-int8", "lstm_forecaster"])
def test_graphs_with_state(name: str) -> None:
    """And no damaged file is taken for one without: cut off, or with any four bytes changed, it gives an answer."""
    model = (MODELS / f"{name}.tflite").read_bytes()
    assert is_stateful(model)
    assert is_stateful(b"")
    assert is_stateful(model[:8])
    rng = np.random.default_rng(2)
    for _ in range(300):
        place = int(rng.integers(0, 200)) * 4
        damaged = model[:place] + struct.pack("<I", int(rng.integers(0, 1 << 32))) + model[place + 4 :]
        assert is_stateful(damaged) in (True, False)


def test_half_precision_is_hidden_without_moving_a_byte() -> None:
    """One file is two variants."""
    model = (MODELS / "unrolled.tflite").read_bytes()
    hidden = without_half(model)
    assert HALF in model
    assert HALF not in hidden
    assert len(hidden) == len(model)
    assert sum(a != b for a, b in zip(model, hidden, strict=True)) == 1
    fused = (MODELS / "t8-c3.tflite").read_bytes()
    assert without_half(fused) == fused


def test_the_largest_batch() -> None:
    """Of signatures that say one."""
    assert largest_batch({}) == largest_batch({"serving_default": {}, "batch_x": {}}) == 1
    assert largest_batch({"batch_1": {}, "batch_16": {}}) == 16
