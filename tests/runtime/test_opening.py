"""Which engine and variant a bundle is opened with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import handmade
import pytest

import edge_runtime.opening as opening
from edge_runtime.bundle import Bundle
from edge_runtime.detector import Detector
from edge_runtime.errors import EngineError
from edge_runtime.manifest import Requires, Variant
from edge_runtime.opening import choose_variant, load, obstacle
from edge_runtime.tflite_operators import TFLITE_RUNTIME


def bundle_of(*variants: Variant) -> Bundle:
    """Never opened, only chosen from."""
    return Bundle(handmade.manifest(variants=variants), {}, "pump.anomalite")


HALF = replace(
    handmade.variant("tflite-unrolled-float16", "u.tflite", "litert", "tflite"), boards=("aarch64-fp16",), half=True
)
UNROLLED = replace(
    handmade.variant("tflite-unrolled-float32", "u.tflite", "litert", "tflite"), boards=("aarch64-fp16", "aarch64")
)
ONNX = replace(handmade.variant("onnx-float32", "m.onnx", "onnx"), boards=("x86_64",))
FUSED = replace(handmade.variant("tflite-float32", "m.tflite", "litert", "tflite"), boards=("armv7l",))
NUMPY = replace(handmade.variant("numpy-float32", "m.npz", "numpy"), boards=("armv6l",))
ALL = bundle_of(HALF, UNROLLED, ONNX, FUSED, NUMPY)
EVERY_ENGINE = ["onnx", "litert", "tflite", "numpy"]


@pytest.mark.parametrize(
    ("cpu", "installed", "expected"),
    [
        ("aarch64-fp16", EVERY_ENGINE, ("litert", "tflite-unrolled-float16")),
        ("aarch64", EVERY_ENGINE, ("litert", "tflite-unrolled-float32")),
        ("aarch64", ["onnx", "numpy"], ("onnx", "onnx-float32")),
        ("x86_64", EVERY_ENGINE, ("onnx", "onnx-float32")),
        ("armv7l", ["tflite", "numpy"], ("tflite", "tflite-float32")),
        ("armv6l", ["numpy"], ("numpy", "numpy-float32")),
        ("riscv64", EVERY_ENGINE, ("onnx", "onnx-float32")),
        ("x86_64", ["litert", "numpy"], ("litert", "tflite-unrolled-float32")),  # half precision is for others
    ],
)
def test_auto_takes_what_is_made_for_the_cpu_and_can_run(
    cpu: str, installed: list[str], expected: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nothing is made for it, the engines' order decides."""
    monkeypatch.setattr(opening, "cpu_kind", lambda: cpu)
    monkeypatch.setattr(opening, "installed_engines", lambda: installed)
    name, variant = choose_variant(ALL)
    assert (name, variant.name) == expected


def test_what_a_variant_requires_is_respected(monkeypatch: pytest.MonkeyPatch) -> None:
    """By auto, and with its reason where someone insists."""
    new = replace(UNROLLED, requires=Requires({"TANH": TFLITE_RUNTIME["TANH"], "FULLY_CONNECTED": 12}))
    monkeypatch.setattr(opening, "cpu_kind", lambda: "aarch64")
    monkeypatch.setattr(opening, "installed_engines", lambda: ["tflite", "numpy"])
    assert choose_variant(bundle_of(new, NUMPY)) == ("numpy", NUMPY)
    reason = r"it needs FULLY_CONNECTED of version 12, tflite-runtime has version \d+"
    with pytest.raises(EngineError, match=rf"expected a variant for tflite, got .*; tflite-unrolled-float32: {reason}"):
        choose_variant(bundle_of(new, NUMPY), "tflite")
    assert obstacle(new, "litert", "aarch64") is None
    assert "has none" in str(obstacle(replace(new, requires=Requires({"GELU": 1})), "tflite", "aarch64"))
    other = replace(NUMPY, requires=Requires(cpus=("aarch64",)))
    assert obstacle(other, "numpy", "x86_64") == "it is for aarch64, this is x86_64"
    assert obstacle(other, "numpy", "aarch64") is None


def test_a_variants_own_threshold_and_batch_reach_the_detector(tmp_path: Path) -> None:
    """Its scores are judged by its own threshold, and no engine call holds more windows than it may."""
    one = replace(handmade.variant("numpy-float32", "m.npz", "numpy"), largest_batch=1, threshold=0.75)
    model = handmade.lstm_model(8, 3)
    path = tmp_path / "own.anomalite"
    opening_bundle = handmade.seal(path, handmade.manifest(8, 3, variants=(one,)), {one.name: model}, None)
    assert opening_bundle.manifest.threshold.value == 1.0
    detector = load(path, batch=64)
    assert detector.manifest.threshold.value == 0.75
    sizes = _batch_sizes(detector)
    detector.score_windows(handmade.np.zeros((5, 8, 3), handmade.np.float32))
    assert sizes == [1] * 5


def _batch_sizes(detector: Detector) -> list[int]:
    """What is handed to the engine from now on."""
    sizes: list[int] = []
    run = detector.engine.run
    detector.engine.run = lambda windows: sizes.append(len(windows)) or run(windows)  # type: ignore[method-assign,func-returns-value]
    return sizes
