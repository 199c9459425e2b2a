"""The contract of an engine, held against every module of `edge_runtime.engines` that has an `open_model`."""

from __future__ import annotations

import os
import pkgutil
import subprocess
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import handmade
import numpy as np
import pytest

import edge_runtime.engines
from edge_runtime.engines import ENGINES, Engine, check_shape, installed_engines, is_installed, open_engine
from edge_runtime.errors import EngineError, ExtraMissingError

MODULES = [f"edge_runtime.engines.{module.name}" for module in pkgutil.iter_modules(edge_runtime.engines.__path__)]
SHARED = {f"edge_runtime.engines.{name}" for name in ("tflite", "tflite_file", "numpy_layers", "numpy_lstm")}
"""What engines are made of: no engine."""
INSTALLED = installed_engines()
GARBAGE = {
    "empty": b"",
    "text": b"not a model at all",
    "zeros": bytes(4096),
    "random": np.random.default_rng(1).bytes(4096),
    "a zip without anything": b"PK\5\6" + bytes(18),
    "the beginning of a zip": b"PK\3\4" + bytes(100),
    "a table": b"time,a,b\n0,1,2\n",
}


def opened(engine: str, T: int = 8, C: int = 3) -> Engine:
    """The engine with the committed model of windows (T, C)."""
    return open_engine(engine, handmade.model_file(engine, T, C), (T, C))


def windows(B: int, T: int = 8, C: int = 3) -> np.ndarray:
    """Windows of very different sizes, so that a state that is carried over shows."""
    rng = np.random.default_rng(T * C)
    return (rng.normal(0, 1, (B, T, C)) * rng.choice([0.1, 1.0, 20.0], (B, 1, 1))).astype(np.float32)


def test_every_engine_is_under_this_contract() -> None:
    """A module here is in the table `ENGINES`, with a model file to hold it against the contract, or shared code without `open_model`."""
    assert {info.module for info in ENGINES.values()} == set(MODULES) - SHARED
    assert set(handmade.FILES) == set(ENGINES)
    for name, info in ENGINES.items():
        assert info.name == name
        assert (info.package is None) == (info.extra is None)
    for module in MODULES:
        assert hasattr(import_module(module), "open_model") == (module not in SHARED)


def test_the_engines_that_this_environment_promises_are_installed() -> None:
    """nox says which ones it expects; without it at least numpy is there. The tests below run over all that are installed."""
    expected = os.environ.get("ANOMALITE_EXPECT_ENGINES")
    assert "numpy" in INSTALLED
    if expected is not None:
        assert set(INSTALLED) == {"numpy", *filter(None, expected.split(","))}
    assert [name for name in ENGINES if name in INSTALLED] == INSTALLED  # the fastest first


def test_importing_the_package_imports_no_engine() -> None:
    """Nor does importing every engine's module: the heavy import is inside `open_model`."""
    code = f"""
import importlib, sys
for module in {MODULES!r}:
    importlib.import_module(module)
print([name for name in ("onnxruntime", "ai_edge_litert", "tflite_runtime", "tensorflow") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(("T", "C"), handmade.SHAPES)
@pytest.mark.parametrize("engine", INSTALLED)
def test_float32_in_and_out(engine: str, T: int, C: int) -> None:
    """(B, T, C) float32 in, (B, T, C) float32 out, for any B, and the input stays as it was."""
    model = opened(engine, T, C)
    for B in (1, 2, 5):
        given = windows(B, T, C)
        given.flags.writeable = False
        got = model.run(given)
        assert (got.shape, got.dtype) == ((B, T, C), np.float32)
        assert np.isfinite(got).all()


@pytest.mark.parametrize(("T", "C"), handmade.SHAPES)
@pytest.mark.parametrize("engine", INSTALLED)
def test_engines_agree(engine: str, T: int, C: int) -> None:
    """The same weights in every format give the numpy engine's reconstructions."""
    given = windows(6, T, C)
    assert np.allclose(opened(engine, T, C).run(given), opened("numpy", T, C).run(given), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("family", handmade.FAMILIES)
@pytest.mark.parametrize("engine", INSTALLED)
def test_engines_agree_on_every_family(engine: str, family: str) -> None:
    """Also where the model estimates fewer readings than it is given: (B, K, C) for any B, without memory."""
    shape, output_shape = handmade.FAMILIES[family]
    model = open_engine(engine, handmade.family_file(engine, family), shape, output_shape)
    other = open_engine("numpy", handmade.family_file("numpy", family), shape, output_shape)
    given = windows(70, *shape)
    expected = other.run(given)
    single = np.concatenate([model.run(given[i : i + 1]) for i in reversed(range(70))])[::-1]
    assert expected.shape == (70, *output_shape)
    for got in (single, model.run(given), np.concatenate([model.run(given[:7]), model.run(given[7:])])):
        assert (got.shape, got.dtype) == (expected.shape, np.float32)
        assert np.abs(got - expected).max() <= 1e-5 * np.abs(expected).max()


@pytest.mark.parametrize("engine", [name for name in INSTALLED if handmade.FILES[name] == ".tflite"])
def test_int8_weights_run_where_tflite_does(engine: str) -> None:
    """Convolutions and dense layers with weights in int8: within a few percent of the same weights in float32."""
    shape = (33, 3)
    given = windows(5, *shape)
    quantized, exact = (
        open_engine(engine, (handmade.DATA / "models" / f"conv-{kind}.tflite").read_bytes(), shape).run(given)
        for kind in ("int8", "float32")
    )
    assert 0 < np.abs(quantized - exact).max() < 0.05 * np.abs(exact).max()


@pytest.mark.parametrize("engine", INSTALLED)
def test_outputs_of_another_shape_are_refused(engine: str) -> None:
    """A model of the last two readings is neither one of three nor one of the whole window."""
    model = handmade.family_file(engine, "lstm_forecaster")
    for output_shape in ((3, 3), (1, 3), None):
        with pytest.raises(EngineError, match=rf"{engine}: expected a model of outputs .*, got \(.*2, 3\)"):
            open_engine(engine, model, (7, 3), output_shape)


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="counts the threads that Linux lists")
@pytest.mark.parametrize("engine", INSTALLED)
def test_no_thread_is_started_and_nothing_is_printed(engine: str) -> None:
    """With one thread asked for: those that importing numpy started stay all there are. More may be asked for."""
    code = f"""
import os, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
import numpy as np
import handmade
from edge_runtime.engines import Options, open_engine
count = lambda: len(os.listdir("/proc/self/task"))
before = count()
model = open_engine({engine!r}, handmade.model_file({engine!r}, 8, 3), (8, 3))
for B in (1, 1, 64, 200):
    model.run(np.ones((B, 8, 3), np.float32))
assert count() == before, (before, count())
model.close()
more = open_engine({engine!r}, handmade.model_file({engine!r}, 8, 3), (8, 3), None, Options(threads=2))
assert np.isfinite(more.run(np.ones((64, 8, 3), np.float32))).all()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("engine", INSTALLED)
def test_an_engine_keeps_no_state(engine: str) -> None:
    """Windows forward, in reverse, repeated, and in a fresh engine: equal bits."""
    model, given = opened(engine), windows(12)
    forward = [model.run(given[i : i + 1])[0].tobytes() for i in range(12)]
    reverse = [model.run(given[i : i + 1])[0].tobytes() for i in reversed(range(12))][::-1]
    repeated = [[model.run(given[i : i + 1])[0].tobytes() for _ in range(3)][-1] for i in range(12)]
    fresh = [opened(engine).run(given[i : i + 1])[0].tobytes() for i in range(12)]
    assert forward == reverse == repeated == fresh
    assert len(set(forward)) == 12


@pytest.mark.parametrize("engine", INSTALLED)
def test_a_result_is_not_overwritten_by_the_next(engine: str) -> None:
    """What `run` returned stays what it was."""
    model, given = opened(engine), windows(4)
    first = model.run(given[:1])
    before = first.copy()
    model.run(given[1:])
    assert np.array_equal(first, before)


@pytest.mark.parametrize("engine", INSTALLED)
def test_a_batch_is_its_windows_one_by_one(engine: str) -> None:
    """Within 1e-6 of the largest value at any batch and in any order, to the last bit at batch 1 or where a batch is a loop."""
    model, given = opened(engine), windows(70)
    single = np.concatenate([model.run(given[i : i + 1]) for i in range(70)])
    for B in (1, 2, 7, model.best_batch, 70):
        for part in (slice(0, B), slice(70 - B, 70)):
            got = model.run(given[part])
            if B == 1 or engine in ("litert", "tflite"):
                assert got.tobytes() == single[part].tobytes()
            assert np.abs(got - single[part]).max() <= 1e-6 * max(1.0, np.abs(single).max())


@pytest.mark.parametrize("engine", INSTALLED)
def test_a_view_is_as_good_as_a_copy(engine: str) -> None:
    """The ring buffer hands over views: slices, other strides and read-only arrays give the same bits."""
    model, given = opened(engine), windows(4)
    expected = model.run(given[1:2]).tobytes()
    assert model.run(np.repeat(given, 2, axis=1)[1:2, ::2]).tobytes() == expected
    assert model.run(np.asfortranarray(given[1:2])).tobytes() == expected
    ring = np.concatenate([np.zeros((3, 3), np.float32), given[1], np.ones((5, 3), np.float32)])
    view = np.lib.stride_tricks.sliding_window_view(ring, 8, axis=0).swapaxes(1, 2)[3]
    assert model.run(view[None]).tobytes() == expected


@pytest.mark.parametrize("shape", [(7, 3), (9, 3), (8, 2), (8, 4), (3, 8), (24, 1)])
@pytest.mark.parametrize("engine", INSTALLED)
def test_a_model_of_another_shape_is_refused(engine: str, shape: tuple[int, int]) -> None:
    """On opening, with what the manifest says and what the model is."""
    with pytest.raises(
        EngineError,
        match=rf"{engine}: expected a model of windows \(batch, {shape[0]}, {shape[1]}\) as in the manifest, got \(.*8, 3\)",
    ):
        open_engine(engine, handmade.model_file(engine, 8, 3), shape)


@pytest.mark.parametrize("garbage", GARBAGE)
@pytest.mark.parametrize("engine", INSTALLED)
def test_garbage_is_refused(engine: str, garbage: str) -> None:
    """Bytes that are no model: an EngineError of one line that names the engine."""
    with pytest.raises(EngineError) as caught:
        open_engine(engine, GARBAGE[garbage], (8, 3))
    assert str(caught.value).startswith(f"{engine}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("engine", INSTALLED)
def test_another_engines_model_is_refused(engine: str) -> None:
    """TFLite bytes are no ONNX model, and so on."""
    for other, kind in handmade.FILES.items():
        if kind != handmade.FILES[engine]:
            with pytest.raises(EngineError, match=f"^{engine}: "):
                open_engine(engine, handmade.model_file(other, 8, 3), (8, 3))


@pytest.mark.parametrize("engine", INSTALLED)
def test_a_closed_engine_does_not_run(engine: str) -> None:
    """It never answers as if nothing had happened; closing twice is fine."""
    model = opened(engine)
    model.run(windows(1))
    model.close()
    model.close()
    for B in (1, 2):
        with pytest.raises(EngineError, match="closed"):
            model.run(windows(B))


@pytest.mark.parametrize("engine", [name for name in INSTALLED if name != "numpy"])
def test_windows_of_another_shape_do_not_run(engine: str) -> None:
    """What the engine's package raises becomes an EngineError."""
    with pytest.raises(EngineError, match=f"^{engine}: "):
        opened(engine).run(windows(1, 9, 3))


def test_an_unknown_engine() -> None:
    """The known ones are listed."""
    with pytest.raises(EngineError, match="unknown engine 'tensorrt', known: onnx, litert, tflite, numpy"):
        open_engine("tensorrt", b"", (8, 3))


@pytest.mark.parametrize("engine", [name for name, info in ENGINES.items() if info.package])
def test_an_engine_that_is_not_installed(engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Says which extra installs it."""
    monkeypatch.setattr(edge_runtime.engines, "find_spec", lambda package: None)
    monkeypatch.setattr(edge_runtime.engines, "sys", SimpleNamespace(version_info=(3, 11)))
    assert not is_installed(engine)
    assert installed_engines() == ["numpy"]
    with pytest.raises(ExtraMissingError, match=rf"pip install 'anomalite\[{ENGINES[engine].extra}\]'"):
        open_engine(engine, b"", (8, 3))


def test_an_engine_that_this_python_cannot_have(monkeypatch: pytest.MonkeyPatch) -> None:
    """tflite-runtime has no wheel after CPython 3.11: the extra would install nothing, so it is not what to ask for."""
    monkeypatch.setattr(edge_runtime.engines, "find_spec", lambda package: None)
    monkeypatch.setattr(edge_runtime.engines, "sys", SimpleNamespace(version_info=(3, 13)))
    with pytest.raises(EngineError, match=r"the engine 'tflite' needs CPython 3\.11 or older, this is 3\.13"):
        open_engine("tflite", b"", (8, 3))


@pytest.mark.parametrize("engine", [name for name, info in ENGINES.items() if info.package])
def test_an_engine_whose_package_is_broken(engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Installed, but its import fails (a missing shared library is common on small boards): an EngineError with the reason."""
    monkeypatch.setattr(edge_runtime.engines, "find_spec", lambda package: object())
    for package in (
        "onnxruntime",
        "ai_edge_litert",
        "ai_edge_litert.interpreter",
        "tflite_runtime",
        "tflite_runtime.interpreter",
    ):
        monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(EngineError, match=f"^{engine}: ") as caught:
        open_engine(engine, b"", (8, 3))
    assert "halted" in str(caught.value) or "needs numpy below 2" in str(caught.value)


@pytest.mark.skipif(find_spec("tflite_runtime") is not None, reason="for numpy 2, where it cannot be installed")
def test_tflite_runtime_with_numpy_2_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would crash the process on import."""
    monkeypatch.setattr(np, "__version__", "2.1.0")
    with pytest.raises(EngineError, match=r"needs numpy below 2, got 2\.1\.0"):
        import_module("edge_runtime.engines.tflite_runtime").open_model(b"", (8, 3), (8, 3))


@pytest.mark.parametrize(
    "got", [(), (1,), (1, 8), (1, 8, 3, 1), (1, 3, 8), (8, 3), (1, "T", 3), (None, None, None)], ids=str
)
def test_check_shape(got: tuple[Any, ...]) -> None:
    """Three axes, the last two the manifest's; the first is the batch, which is free."""
    with pytest.raises(EngineError, match="expected a model of windows"):
        check_shape("x", got, (8, 3))
    for batch in (1, "batch", None):
        check_shape("x", (batch, 8, 3), (8, 3))


@pytest.mark.parametrize("engine", INSTALLED)
def test_an_engine_leaves_arithmetic_as_it_was(engine: str) -> None:
    """Subnormal numbers are not flushed to zero afterwards, as tflite-runtime's 32-bit library would have it."""
    code = """
import sys, handmade
from edge_runtime.engines import open_engine
open_engine(sys.argv[1], handmade.model_file(sys.argv[1], 8, 3), (8, 3))
print(sys.float_info.min / 4 > 0)
"""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    done = subprocess.run(
        [sys.executable, "-c", code, engine], capture_output=True, text=True, check=True, env=environment
    )
    assert done.stdout.strip() == "True"


@pytest.mark.parametrize("engine", INSTALLED)
def test_no_windows_have_no_estimates(engine: str) -> None:
    """An empty batch is answered as such, not with the end of the process."""
    for T, C in handmade.SHAPES[:2]:
        got = open_engine(engine, handmade.model_file(engine, T, C), (T, C)).run(np.empty((0, T, C), np.float32))
        assert got.shape == (0, T, C)
        assert got.dtype == np.float32
