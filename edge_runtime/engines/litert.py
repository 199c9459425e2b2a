"""The LiteRT engine (package ai-edge-litert)."""

from __future__ import annotations

from edge_runtime.engines import Options
from edge_runtime.engines.tflite import TFLiteEngine


def open_model(
    model: bytes,
    shape: tuple[int, int],
    output_shape: tuple[int, int],
    options: Options = Options(),  # noqa: B008 - a tuple
) -> TFLiteEngine:
    """Open a TFLite model of windows `shape` (T, F) and outputs (K, F). Raises `EngineError`."""
    from ai_edge_litert import interpreter

    return TFLiteEngine(interpreter, "litert", model, shape, output_shape, options)
