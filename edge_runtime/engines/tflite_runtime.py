"""The tflite-runtime engine: for 32-bit Raspberry Pi OS, where LiteRT has no wheel."""

from __future__ import annotations

from typing import Any

import numpy as np

from edge_runtime.engines import Options
from edge_runtime.engines.tflite import TFLiteEngine
from edge_runtime.errors import EngineError


def open_model(
    model: bytes,
    shape: tuple[int, int],
    output_shape: tuple[int, int],
    options: Options = Options(),  # noqa: B008 - a tuple
) -> TFLiteEngine:
    """Open a TFLite model of windows `shape` (T, F) and outputs (K, F). Raises `EngineError`, also where numpy is too new for the package."""
    if int(np.__version__.split(".")[0]) >= 2:
        raise EngineError(f"tflite: tflite-runtime needs numpy below 2, got {np.__version__}: pip install 'numpy<2'")
    return TFLiteEngine(_interpreter(), "tflite", model, shape, output_shape, options)


def _interpreter() -> Any:
    """The module, imported without what it does to the CPU.

    Loading its 32-bit ARM library has the CPU flush subnormal numbers to zero, for everything this process calculates from then
    on; numpy warns of it. So the floating-point environment from before is put back (C11, 7.6.4).
    """
    import ctypes

    library = ctypes.CDLL(None)
    before = ctypes.create_string_buffer(256)  # larger than any fenv_t
    library.fegetenv(before)
    try:
        from tflite_runtime import interpreter
    finally:
        library.fesetenv(before)
    return interpreter
